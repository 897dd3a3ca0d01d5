// What is in flight on a communicator.
#pragma once

#include <tutti/communicators/call_history.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti {

/// One collective under way: a state machine that is pushed along by whoever waits.
class operation {
public:
  operation() = default;
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;
  virtual ~operation() = default;

  /// Takes its place among the operations of its communicator: first when it was made, and again
  /// whenever it is complete and is to be done once more.
  void start() {
    done_ = false;
    fault_ = nullptr;
    begin();
  }
  /// Goes as far as it can without blocking; true once complete. Throws its failure.
  virtual bool advance() = 0;
  /// Lets the transport work; the number of events so far.
  virtual std::uint64_t progress() = 0;
  /// Sleeps until more than `seen` events have happened, or until the operation's own deadline.
  virtual void idle(std::uint64_t seen) = 0;
  /// Throws the timeout of this operation when its deadline has passed.
  virtual void check_deadline() = 0;
  /// That deadline; once asked for it stands, until another start.
  virtual deadline until() { return (deadline::max)(); }
  /// Tells all ranks that it will not be completed.
  virtual void abandon() noexcept = 0;
  /// Whether it works through this communicator, which then may not end before it.
  virtual bool refers_to(const void* /*communicator*/) const noexcept { return false; }
  /// Whether it begins only when those of its kind that were started before it are complete.
  virtual bool takes_turns() const noexcept { return false; }
  /// Whether it is there until it is taken out, and never complete: nobody waits for it, and a communicator
  /// that ends abandons it.
  virtual bool stays() const noexcept { return false; }
  /// By when it has to be looked at though nothing happens: asked of those that operations::remind() is told of.
  virtual deadline alarm() const { return (deadline::max)(); }

  bool done() const noexcept { return done_; }
  std::exception_ptr fault() const noexcept { return fault_; }

  /// Advances and keeps the outcome; never throws.
  void step() noexcept {
    if (done_) return;
    try {
      done_ = advance();
      if (!done_) check_deadline();
    } catch (...) {
      fault_ = std::current_exception();
      done_ = true;
    }
  }

protected:
  virtual void begin() = 0;

private:
  friend class operations;
  void end_with(std::exception_ptr why) noexcept {
    fault_ = std::move(why);
    done_ = true;
  }

  bool done_ = false;
  bool entered_ = false; ///< it is among the operations of its communicator, between these two:
  bool waits_ = false;   ///< for its turn
  operation* before_ = nullptr;
  operation* after_ = nullptr;
  std::uint64_t first_channel_ = 0; ///< the first that may be its own
  std::exception_ptr fault_;
};

/// What a thread of the communicator's own, that pushes its operations along, shares with the rank.
struct progress_sharing {
  std::recursive_mutex guard; ///< held by whoever touches what is in flight
  std::condition_variable_any begun;

  /// While it lives, nobody else touches what is in flight. Of nothing, it costs nothing.
  class [[nodiscard]] holding {
  public:
    explicit holding(progress_sharing* with) : with_{with} {
      if (with_) with_->guard.lock();
    }
    holding(const holding&) = delete;
    holding& operator=(const holding&) = delete;
    ~holding() {
      if (with_) with_->guard.unlock();
    }

  private:
    progress_sharing* with_;
  };
};

/// The operations in flight on one communicator, in the order in which they were started, and the numbering
/// of their channels. All of them advance whenever one is waited for, so the order in which ranks wait
/// cannot deadlock them. It does not move: operations and requests refer to it.
///
/// Any number may be in flight. By messages one in 16,384 at a time has a channel: what is started when
/// all are taken first waits for the oldest to be complete on this rank, at most until that one's deadline.
/// Cost: starting, ending and waiting do not depend on how many others there are; whoever waits looks at
/// `looks_at_once` others between two looks at its own.
class operations {
public:
  operations() = default;
  operations(const operations&) = delete;
  operations& operator=(const operations&) = delete;
  ~operations() { end(); }

  /// Whatever collectives keep between calls on this communicator (collectives/kept_plans.hpp).
  struct kept {
    virtual ~kept() = default;
  };
  std::unique_ptr<kept> kept_between_calls;

  /// Of all calls on this communicator, in the order in which they were started.
  const std::shared_ptr<detail::call_history>& history() const noexcept { return history_; }

  /// A channel for the next operation; equal on all ranks that start operations in the same order. They
  /// come again after `channel_count`, when what had them before is complete on this rank: messages of
  /// one sender on one channel do not overtake each other, so its peers need not be as far.
  std::uint32_t next_channel() {
    if (next_ - oldest_ >= channel_count) [[unlikely]]
      free_a_channel();
    return std::uint32_t(next_++ % channel_count);
  }
  static constexpr std::uint32_t channel_count = 1u << 14;

  void start(operation& o) {
    o.first_channel_ = next_;
    o.start();
  }
  /// After it was started.
  void enter(operation& o) noexcept {
    const bool in_turn = o.takes_turns();
    o.entered_ = true;
    o.waits_ = in_turn && has_turn_;
    if (in_turn && !o.waits_) has_turn_ = &o;
    (o.waits_ ? waiting_ : moving_).add(o);
    if (shared_) shared_->begun.notify_all();
  }
  /// Whoever waits wakes for the alarm() of this one as well, which has entered and stays.
  void remind(operation& o) { reminded_.push_back(&o); }
  /// The first of those alarms.
  deadline alarm() {
    const auto held = hold();
    deadline first = (deadline::max)();
    for (const operation* o : reminded_) first = (std::min)(first, o->alarm());
    return first;
  }
  /// What is complete has left by itself.
  void leave(operation& o) noexcept {
    if (!o.entered_) return;
    o.entered_ = false;
    if (!reminded_.empty()) std::erase(reminded_, &o);
    if (at_ == &o) at_ = o.after_;
    (o.waits_ ? waiting_ : moving_).remove(o);
    if (has_turn_ != &o) return;
    has_turn_ = waiting_.first;
    if (!has_turn_) return;
    waiting_.remove(*has_turn_);
    has_turn_->waits_ = false;
    moving_.add(*has_turn_);
    at_ = has_turn_;
  }
  /// Of those that are not complete.
  std::size_t count() const noexcept { return moving_.count + waiting_.count; }
  bool pending() const noexcept { return moving_.first != nullptr; }

  /// Another thread steps these operations as well, whenever nobody holds them.
  void share(progress_sharing* with) noexcept { shared_ = with; }
  /// While the result lives, no other thread steps them. Costs nothing where none does.
  progress_sharing::holding hold() { return progress_sharing::holding{shared_}; }

  /// Advances some, each as far as it goes now, and goes on behind them the next time. One that ends may
  /// let the one behind it begin. True when all have been looked at since one has ended, or since
  /// another `seen` than the last time: after that only an event can move them on.
  bool step(std::uint64_t seen = 0) noexcept {
    const auto held = hold();
    if (seen != seen_) seen_ = seen, at_rest_ = 0;
    for (std::size_t k = 0; k < looks_at_once && at_rest_ < moving_.count; ++k) {
      operation& o = at_ ? *at_ : *moving_.first;
      at_ = o.after_;
      at_rest_ = step(o) ? 0 : at_rest_ + 1;
    }
    if (at_rest_ < moving_.count) return false;
    at_rest_ = 0;
    return true;
  }

  /// Advances all until `o` is done; throws its failure. Not to be called by who holds them: between
  /// two looks the other thread has its turn, and so have communicators that share its guard.
  void wait(operation& o) {
    complete(o);
    if (o.fault()) std::rethrow_exception(o.fault());
  }
  /// Advances this one; true when it is complete.
  bool step(operation& o) noexcept {
    o.step();
    if (!o.done()) return false;
    leave(o);
    return true;
  }

  /// By a communicator that ends: what is in flight is waited for, or abandoned while an exception is
  /// under way. Requests that are still held keep the outcome, and cannot be started again.
  void end() noexcept {
    end([](const operation&) { return true; });
    *place_ = nullptr;
  }
  /// The same for those that refer to something which ends, as decorators do.
  void end_those_on(const void* communicator) noexcept {
    end([&](const operation& o) { return o.refers_to(communicator); });
  }
  /// Where requests find these operations: null once they have ended.
  const std::shared_ptr<operations*>& place() const noexcept { return place_; }

  /// Throws as a visit does, and is none: at the beginning of a call, which knows its name.
  void require_no_visitor(const char* call, int rank) const {
    const void* const other = visitor_.load(std::memory_order_relaxed);
    if (other && other != visit::this_thread()) [[unlikely]]
      visit::refuse(call, rank);
  }

  /// A call on the communicator, by the thread that makes it: while it lives, one of another thread is
  /// refused. Calls within a call are part of it.
  class [[nodiscard]] visit {
  public:
    /// Throws invalid_argument when another thread is in a call.
    visit(operations& all, const char* call, int rank = -1) : all_{enter(all)} {
      if (all_ == &all || all.visitor_.load(std::memory_order_relaxed) == this_thread()) [[likely]]
        return;
      refuse(call, rank);
    }
    /// In a destructor, which cannot refuse: waits for its turn.
    explicit visit(operations& all) noexcept : all_{enter(all)} {
      while (all_ != &all && all.visitor_.load(std::memory_order_relaxed) != this_thread()) {
        std::this_thread::yield();
        all_ = enter(all);
      }
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() {
      if (all_) all_->visitor_.store(nullptr, std::memory_order_relaxed);
    }

  private:
    friend class operations;
    /// An address of this thread's own.
    static const void* this_thread() noexcept {
      static thread_local char own;
      return &own;
    }
    static operations* enter(operations& all) noexcept {
      if (all.visitor_.load(std::memory_order_relaxed)) [[unlikely]]
        return nullptr;
      all.visitor_.store(this_thread(), std::memory_order_relaxed);
      return &all;
    }
    [[noreturn]] [[gnu::noinline]] static void refuse(const char* call, int rank) {
      throw error{{.code = error_code::invalid_argument,
                   .call = call,
                   .rank = rank,
                   .detail = "another thread of this rank is in a call on the same communicator - make "
                             "calls from one thread at a time, or give each thread a communicator of "
                             "its own (split)"}};
    }

    operations* all_; ///< null within another visit
  };

private:
  friend class reserved_channel;
  static constexpr std::size_t looks_at_once = 32;

  template <class Chosen>
  operation* find(Chosen&& chosen) noexcept {
    const auto held = hold();
    for (const list* l : {&moving_, &waiting_})
      for (operation* o = l->first; o; o = o->after_)
        if (chosen(*o)) return o;
    return nullptr;
  }
  template <class Chosen>
  void end(Chosen&& chosen) noexcept {
    while (operation* const o = find(chosen)) {
      try {
        if (std::uncaught_exceptions() == 0 && !o->stays())
          complete(*o);
        else
          abandon(*o);
      } catch (...) {
        abandon(*o);
      }
    }
  }
  void abandon(operation& o) noexcept {
    const auto held = hold();
    if (o.done()) return leave(o);
    o.abandon();
    o.end_with(std::make_exception_ptr(
        error{{.code = error_code::peer_lost,
               .detail = "the communicator ended while this was in flight - wait for what is in flight "
                         "before its communicator ends"}}));
    leave(o);
  }
  void complete(operation& o) {
    const auto done_after = [&](auto&& turn) {
      const auto held = hold();
      turn();
      return step(o);
    };
    std::uint64_t seen = 0;
    bool rests = false;
    if (done_after([] {})) return;
    while (!done_after([&] { seen = o.progress(), rests = step(seen); }))
      if (rests) idle(o, seen);
  }
  /// As the operation does that is waited for, or as the one that has to be looked at before that.
  void idle(operation& o, std::uint64_t seen) {
    operation* first = &o;
    if (!reminded_.empty()) {
      const auto held = hold();
      deadline until = o.until();
      for (operation* r : reminded_)
        if (const deadline at = r->alarm(); at < until) first = r, until = at;
    }
    first->idle(seen);
  }
  void free_a_channel() {
    for (;;) {
      operation* const first = find([](const operation& o) { return !o.stays(); });
      oldest_ = first ? first->first_channel_ : next_;
      if (next_ - oldest_ < channel_count) return;
      complete(*first);
    }
  }

  struct list {
    operation* first = nullptr;
    operation* last = nullptr;
    std::size_t count = 0;

    void add(operation& o) noexcept {
      o.before_ = last;
      o.after_ = nullptr;
      (last ? last->after_ : first) = &o;
      last = &o;
      ++count;
    }
    void remove(operation& o) noexcept {
      (o.before_ ? o.before_->after_ : first) = o.after_;
      (o.after_ ? o.after_->before_ : last) = o.before_;
      --count;
    }
  };

  std::shared_ptr<detail::call_history> history_ = std::make_shared<detail::call_history>();
  list moving_;                   ///< what may move now
  list waiting_;                  ///< for its turn
  operation* has_turn_ = nullptr; ///< of those that take turns
  operation* at_ = nullptr;       ///< the next to be looked at; null is the first
  std::size_t at_rest_ = 0;       ///< how many have been looked at in vain since anything has happened
  std::uint64_t seen_ = 0;
  progress_sharing* shared_ = nullptr;
  std::uint64_t next_ = 0, oldest_ = 0; ///< channels, counted without end
  std::vector<operation*> reminded_;
  std::vector<std::uint32_t> reserved_;
  std::uint32_t next_reserved_ = 0;
  std::atomic<const void*> visitor_{nullptr};
  const std::shared_ptr<operations*> place_ = std::make_shared<operations*>(this);
};

} // namespace tutti
