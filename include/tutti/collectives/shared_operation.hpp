// What collectives without messages have in common: their turn, their announcements, their
// failures, and who does what.
//
// One rule covers all of them: rank r is in charge of a part of the data, folds it from the ranks
// that contribute to it - in rank order, as `direct`, `one_shot` and `star` say, so with the same
// bits as by messages - and everyone who is to have the result gets it from there.
//
//                    in charge of     contribute   are to have it
//   all_reduce       an equal part    all          all
//   reduce_scatter   its shard        all          itself
//   reduce           an equal part    all          the root
//   all_gather       its shard        itself       all
//   broadcast        an equal part    the root     all
#pragma once

#include <tutti/collectives/executor.hpp>
#include <tutti/communicators/direct_access.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/one_shot.hpp>
#include <tutti/topologies/star.hpp>

#include <string>
#include <thread>
#include <type_traits>

namespace tutti::detail {

/// Topologies whose reductions are one fold in rank order, whoever does it.
template <class Topology>
inline constexpr bool works_in_shared_memory =
    std::is_same_v<Topology, direct> || std::is_same_v<Topology, one_shot> ||
    std::is_same_v<Topology, star>;

/// The data of a call, and where every rank's is when it is symmetric.
struct call_data {
  std::byte* own = nullptr;
  std::size_t n = 0;
  std::size_t bytes = 0;
  const symmetric_memory* memory = nullptr;
};

/// A call as all ways of carrying it out take it: made once, and passed on. The operation that does it takes the work.
template <class Comm>
struct collective_call {
  Comm& comm; ///< one that does not move
  collective what;
  int root;
  call_data data;
  task& work;
  const options& how;
};

/// A communicator that is told what a call without messages would have sent by messages.
template <class Comm>
concept asks_for_traffic = requires(Comm& c) { c.carried(std::uint64_t{}, std::uint64_t{}); };

/// Of a communicator that takes the time, its stopwatch.
template <class Comm>
auto timed(Comm& comm) {
  if constexpr (requires { comm.timed(); })
    return comm.timed();
  else
    return 0;
}

template <direct_access_communicator Comm> class shared_operation : public operation {
public:
  explicit shared_operation(collective_call<Comm>& call)
      : comm_{call.comm}, signals_{*call.comm.shared()}, what_{call.what}, root_{call.root}, data_{call.data},
        task_{std::move(call.work)}, rank_{call.comm.rank()}, size_{call.comm.size()},
        timeout_{call.how.timeout} {}

  bool advance() final {
    [[maybe_unused]] const auto timing = detail::timed(comm_);
    try {
      return run();
    } catch (const error& e) {
      fail(e.details());
    } catch (...) {
      give_up("what it called threw");
      throw;
    }
  }
  /// A few looks before anything costs time; whether it is complete.
  bool spin() {
    eager_ = (std::min)(comm_.looks(), 64);
    for (int k = 0, looks = comm_.looks(); k < looks; k += eager_) {
      if (advance()) return true;
      if (!begun_) break; // what is in the way has to move first
    }
    eager_ = 1;
    return false;
  }

  bool refers_to(const void* communicator) const noexcept final { return communicator == &comm_; }
  std::uint64_t progress() final { return comm_.progress(); }
  void idle(std::uint64_t seen) final { comm_.idle(seen, comparing_.before(until())); }
  void check_deadline() final {
    if (deadline_polls_++ % 64 != 0 && !comm_blocks) return;
    const deadline now = tutti::now_of(comm_);
    if (now < until()) {
      if (comparing_.is_due(now, timeout_))
        detail::compare_calls(comm_, waiting_for(), [&](failure why) { fail(std::move(why)); });
      return;
    }
    fail({.code = error_code::timeout,
          .peer = waiting_for(),
          .detail = "no answer within " + std::to_string(timeout_.count()) +
                    " ms - raise tutti::options::timeout if the peer is only slow"});
  }
  deadline until() final {
    if (deadline_ == deadline{}) deadline_ = options{.timeout = timeout_}.until(tutti::now_of(comm_));
    return deadline_;
  }
  bool takes_turns() const noexcept final { return true; }
  void abandon() noexcept final { give_up("the rank dropped a request in flight while unwinding"); }

protected:
  /// One after the other: what is in the way is done, then begin(), then work() until it is true.
  virtual bool work() = 0;
  /// Before begin() of another start.
  virtual void reset() = 0;
  /// Whom it waits for.
  virtual int awaited() const { return signals_.missing(signals_.now()); }

  std::size_t bytes_of(std::size_t n) const { return n * task_.math.value_bytes; }
  bool reduces() const { return what_ != collective::all_gather && what_ != collective::broadcast; }
  bool contributes(int rank, int to_part_of) const {
    if (what_ == collective::broadcast) return rank == root_;
    return what_ == collective::all_gather ? rank == to_part_of : true;
  }
  bool is_to_have(int rank, int part_of) const {
    if (what_ == collective::reduce_scatter) return rank == part_of;
    return what_ == collective::reduce ? rank == root_ : true;
  }
  /// What a rank is in charge of. Equal parts begin on cache lines where the data does.
  shard part_of(int rank) const {
    if (what_ == collective::reduce_scatter || what_ == collective::all_gather)
      return shard_of(data_.n, rank, size_);
    const std::size_t unit = 64 % task_.math.value_bytes == 0 ? 64 / task_.math.value_bytes : 1;
    const std::size_t lines = (data_.n + unit - 1) / unit;
    const shard mine = shard_of(lines, rank, size_);
    return {(std::min)(mine.begin * unit, data_.n), (std::min)(mine.end * unit, data_.n)};
  }
  stores stores_to_data() const {
    return data_.bytes > comm_.last_cache_bytes() / std::size_t(size_) ? stores::streaming
                                                                       : stores::cached;
  }
  void spread(std::span<const std::byte* const> in, std::span<std::byte* const> out, shard part,
              stores how) const {
    if (part.end > part.begin && !out.empty())
      task_.math.spread(task_.math, in, task_.weights, out, part.end - part.begin, part.begin,
                        task_.total, how);
  }

  /// Whether the next epoch may be written. A broadcast does not wait for everyone, so what all said
  /// then is compared here.
  bool free() {
    if (!signals_.free()) return false;
    if (signals_.pays_comparison()) [[unlikely]] {
      const signal_line& own = signals_.said(rank_, signals_.now());
      for (int r = 0; r < size_; ++r)
        if (!alike(signals_.said(r, signals_.now()), own)) {
          say_what_differs(r);
          throw error{{.code = error_code::mismatch,
                       .peer = r,
                       .detail = "in the call before this one, rank " + std::to_string(r) +
                                 " made another call, or named another root - make the same call on "
                                 "every rank"}};
        }
    }
    return true;
  }
  void announce() {
    signals_.announce(code_, data_.bytes);
    comm_.announced();
  }
  /// Looks once, or in a blocking call as often as costs next to nothing.
  bool everyone_has_announced() {
    for (int k = 0; k < eager_; ++k)
      if (signals_.reached(signals_.now())) return true;
    return false;
  }
  /// What all ranks announced last is the same call; throws a mismatch.
  void compare_calls() const {
    for (int r = 0; r < size_; ++r)
      if (r != rank_) compare_call(r);
  }
  static bool alike(const signal_line& a, const signal_line& b) {
    return a.call == b.call && a.bytes == b.bytes;
  }
  void compare_call(int other) const {
    const signal_line& said = signals_.said(other, signals_.now());
    if (said.call != code_ || said.bytes != data_.bytes) [[unlikely]]
      differs(other, said);
  }
  void say_what_differs(int other) const {
    if constexpr (requires { comm_.compare_calls(other, true); }) comm_.compare_calls(other, true);
  }
  [[noreturn]] [[gnu::noinline]] void differs(int other, const signal_line& said) const {
    if (said.call != code_) say_what_differs(other);
    const std::string them = "rank " + std::to_string(other);
    throw error{{.code = error_code::mismatch,
                 .peer = other,
                 .detail = said.call == code_
                               ? them + " gave " + std::to_string(said.bytes) + " bytes, rank " +
                                     std::to_string(rank_) + " " + std::to_string(data_.bytes) +
                                     " - give all ranks the same lengths and types"
                               : them + " makes another call, or names another root or symmetric "
                                        "buffer - make the same call on every rank"}};
  }

  /// Within signals::work: throws when a rank has withdrawn its memory.
  void look_who_withdrew() const {
    const int gone = signals_.withdrawn();
    if (gone < 0) [[likely]]
      return;
    comm_.require_usable();
    throw error{{.code = error_code::peer_lost,
                 .peer = gone,
                 .detail = "rank " + std::to_string(gone) + " has failed"}};
  }

  Comm& comm_;
  signals& signals_;
  const collective what_;
  const int root_;
  const call_data data_;
  task task_;
  const int rank_, size_;
  std::uint64_t code_ = 0; ///< on all ranks the calls of one epoch have the same
  const std::byte* in_[most_shared_ranks];
  std::byte* out_[most_shared_ranks];

private:
  static constexpr bool comm_blocks = requires { requires Comm::idle_blocks; };

  void begin() final {
    turn_ = signals_.take_turn();
    code_ = detail::hashed(comm_.in_flight().history()->add(task_.word, data_.n, root_, task_.name),
                           data_.memory ? data_.memory->number : 0);
    deadline_ = {};
    comparing_ = {};
    begun_ = false;
    if constexpr (asks_for_traffic<Comm>)
      comm_.carried(task_.sent.messages, task_.sent.elements * task_.math.value_bytes);
    reset();
  }
  bool run() {
    if (!begun_) {
      comm_.require_usable();
      begun_ = signals_.is_turn(turn_);
    }
    if (!begun_ || !work()) return held_up();
    signals_.end_turn();
    return true;
  }

  /// Looks for failures every 64th time, or on every wake-up.
  bool held_up() {
    if (++polls_ % 64 == 0 || comm_blocks) comm_.watch(waiting_for());
    return false;
  }
  /// A peer that has not announced what this one has; -1 while earlier calls are in the way.
  int waiting_for() const { return begun_ ? awaited() : -1; }

  [[noreturn]] void fail(failure why) {
    detail::fail_call(comm_, task_.call, std::move(why), [&] { retire(); });
  }
  void give_up(const char* why) noexcept {
    detail::give_up_call(comm_, task_.call, why, [&] { retire(); });
  }
  /// After it was revoked: nobody is at work in this rank's memory, and nobody begins to be.
  void retire() noexcept {
    if constexpr (requires { comm_.is_here(); }) // in a child this is the memory of its parent's rank
      if (!comm_.is_here()) return;
    signals_.withdraw();
    const deadline until = clock::now() + std::chrono::seconds{20}; // the real clock: it copies now, or never
    for (int r = 0; r < size_; ++r)
      while (r != rank_ && signals_.is_at_work(r)) {
        std::this_thread::yield();
        if constexpr (requires { comm_.end_job(""); }) // a process may be stopped or gone
          if (clock::now() > until)
            comm_.end_job("a rank is at work in this one's memory and does not go on");
      }
  }

  const std::chrono::milliseconds timeout_;
  std::uint64_t turn_ = 0;
  comparing comparing_;
  deadline deadline_{}; ///< of the first time it is asked for, soon after the beginning
  bool begun_ = false;
  int eager_ = 1; ///< looks at once
  unsigned polls_ = 0, deadline_polls_ = 0;
};

} // namespace tutti::detail
