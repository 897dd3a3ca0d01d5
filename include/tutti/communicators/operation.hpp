// What is in flight on a communicator, and the request by which its caller holds on to it.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
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
  /// Tells all ranks that it will not be completed.
  virtual void abandon() noexcept = 0;

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
  bool done_ = false;
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

/// The operations in flight on one communicator, and the numbering of their channels. All of them
/// advance whenever one is waited for, so the order in which ranks wait cannot deadlock them.
class operations {
public:
  /// Whatever collectives keep between calls on this communicator (collectives/kept_plans.hpp).
  struct kept {
    virtual ~kept() = default;
  };
  std::unique_ptr<kept> kept_between_calls;

  /// A channel for the next operation; equal on all ranks that start operations in the same order.
  std::uint32_t next_channel() noexcept { return next_++ & 0x3fffu; }
  /// A channel for longer than one operation, apart from all that next_channel() returns. Below 2^15, as
  /// are the tags that every MPI has; after 16,384 of them they repeat.
  std::uint32_t reserve_channel() noexcept { return 0x4000u | (reserved_++ & 0x3fffu); }

  void enter(operation& o) {
    try {
      active_.push_back(&o);
    } catch (...) {
      o.abandon();
      throw;
    }
    if (shared_) shared_->begun.notify_all();
  }
  void leave(operation& o) noexcept {
    for (std::size_t k = 0; k < active_.size(); ++k)
      if (active_[k] == &o) active_[k] = active_.back(), active_.pop_back();
  }
  std::size_t count() const noexcept { return active_.size(); }

  /// Another thread steps these operations as well, whenever nobody holds them.
  void share(progress_sharing* with) noexcept { shared_ = with; }
  /// While the result lives, no other thread steps them. Costs nothing where none does.
  progress_sharing::holding hold() { return progress_sharing::holding{shared_}; }

  /// Advances every operation as far as it goes now. One that ends may let another begin, so they are
  /// gone through until none has ended: after that only an event can move them on.
  void step() noexcept {
    const auto held = hold();
    for (bool ended = true; ended;) {
      ended = false;
      for (std::size_t k = 0; k < active_.size(); ++k) {
        if (active_[k]->done()) continue;
        active_[k]->step();
        ended = ended || active_[k]->done();
      }
    }
  }
  /// Whether any is left to be stepped.
  bool pending() const noexcept {
    for (const operation* o : active_)
      if (!o->done()) return true;
    return false;
  }

  /// Advances all until `o` is done; throws its failure. Not to be called by who holds them: between
  /// two looks the other thread has its turn, and so have communicators that share its guard.
  void wait(operation& o) {
    const auto done_after = [&](auto&& turn) {
      const auto held = hold();
      turn();
      return o.done();
    };
    std::uint64_t seen = 0;
    if (!done_after([&] { o.step(); }))
      while (!done_after([&] { seen = o.progress(), step(); })) o.idle(seen);
    if (o.fault()) std::rethrow_exception(o.fault());
  }

private:
  std::vector<operation*> active_;
  progress_sharing* shared_ = nullptr;
  std::uint32_t next_ = 0;
  std::uint32_t reserved_ = 0;
};

/// A collective that is made once and started any number of times, on the same data with the same parts:
/// what a start does not do again is plan and allocate. Move-only; empty is the same as complete.
/// The caller's buffers are its own between wait() and start(). Starts count in the order of calls: every
/// rank starts the same collectives in the same order. Made by persistent_all_reduce and its kin; the
/// data, and communicator, outlive it. Dropping one in flight is like dropping a request.
class [[nodiscard]] persistent_request {
public:
  persistent_request() = default;
  persistent_request(std::unique_ptr<operation> o, operations& all)
      : operation_{std::move(o)}, all_{&all} {}
  persistent_request(persistent_request&& other) noexcept
      : operation_{std::move(other.operation_)}, all_{std::exchange(other.all_, nullptr)},
        started_{std::exchange(other.started_, false)} {}
  persistent_request& operator=(persistent_request&& other) noexcept {
    if (this == &other) return *this;
    drop();
    operation_ = std::move(other.operation_);
    all_ = std::exchange(other.all_, nullptr);
    started_ = std::exchange(other.started_, false);
    return *this;
  }
  ~persistent_request() { drop(); }

  /// Throws invalid_argument when it is empty, or in flight already.
  void start() {
    if (!operation_ || started_)
      throw error{{.code = error_code::invalid_argument,
                   .call = "start",
                   .detail = operation_ ? "the collective is in flight already - wait for it first"
                                        : "the persistent request is empty: it was moved from, or "
                                          "never made"}};
    const auto held = all_->hold();
    operation_->start();
    all_->enter(*operation_);
    started_ = true;
    operation_->step();
  }

  /// True once complete, or when it is not started; throws the failure, once. Never blocks.
  bool test() {
    if (!started_) return true;
    const auto held = all_->hold();
    operation_->progress();
    all_->step();
    if (!operation_->done()) return false;
    const auto fault = operation_->fault();
    end();
    if (fault) std::rethrow_exception(fault);
    return true;
  }

  /// Blocks until complete, at most until the operation's deadline; throws its failure.
  void wait() {
    if (!started_) return;
    try {
      all_->wait(*operation_);
    } catch (...) {
      end();
      throw;
    }
    end();
  }

private:
  void end() noexcept {
    const auto held = all_->hold();
    all_->leave(*operation_);
    started_ = false;
  }
  void drop() noexcept {
    if (!started_) return;
    if (std::uncaught_exceptions() > 0) {
      const auto held = all_->hold();
      if (!operation_->done()) operation_->abandon();
      return end();
    }
    try {
      wait();
    } catch (...) {
    }
  }

  std::unique_ptr<operation> operation_;
  operations* all_ = nullptr;
  bool started_ = false;
};

/// Holds an operation in flight, and what it uses. Move-only; empty is the same as complete.
/// The caller's buffers are its own again when wait() has returned, or test() has returned true.
/// Dropping a request waits for it; dropping it while an exception is under way abandons it, and every
/// rank's call fails with `peer_lost` naming this rank.
class [[nodiscard]] request {
public:
  request() = default;
  request(std::unique_ptr<operation> o, operations& all) : once_{std::move(o), all} {
    once_.start();
  }
  request(request&&) = default;
  request& operator=(request&&) = default;

  /// True once complete; throws the failure, once. Never blocks.
  bool test() {
    if (!emptied([&] { return once_.test(); })) return false;
    once_ = {};
    return true;
  }

  /// Blocks until complete, at most until the operation's deadline; throws its failure.
  void wait() {
    emptied([&] { return once_.wait(), true; });
    once_ = {};
  }

private:
  /// A failure ends it, too.
  template <class Use>
  bool emptied(Use&& use) {
    try {
      return use();
    } catch (...) {
      once_ = {};
      throw;
    }
  }

  persistent_request once_;
};

} // namespace tutti
