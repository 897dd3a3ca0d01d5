// What every collective call begins with: its parts, its checks, and running to the end.
#pragma once

#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/collectives/call_word.hpp>
#include <tutti/collectives/checks.hpp>
#include <tutti/collectives/data.hpp>
#include <tutti/collectives/executor.hpp>
#include <tutti/collectives/kept_plans.hpp>
#include <tutti/collectives/shared_execution.hpp>
#include <tutti/communicators/forwarding.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/reducers/elementary.hpp>

#include <string>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {

inline objection root_objection(int root, int size) {
  if (root >= 0 && root < size) [[likely]]
    return {};
  return {"root is %, ranks are 0 to %", root, size - 1};
}

/// A topology whose numbers leave nothing to do would do nothing, silently.
template <class Comm, class Topology>
objection topology_objection(const Comm& comm, const Topology& topology) {
  if constexpr (schedule_topology<Topology> && !std::is_empty_v<Topology>)
    if (tutti::chunks_of(topology, detail::layout_of(comm)) < 1)
      return {"this topology cuts the data into no chunks - give it at least one server, segment, "
              "branch or rank a node"};
  return {};
}

/// Of a reducer that counts every rank alike.
inline constexpr const char* unused_weight =
    "options::weight is given, and this reducer counts every contribution alike - use "
    "tutti::weighted_mean, or leave the weight out";

/// A call as it was made: by its name, for errors, on a communicator, from or to a root.
template <class Comm>
struct called {
  const char* name;
  Comm& comm;
  int root = 0;
};
template <class Comm>
called(const char*, Comm&, int = 0) -> called<Comm>;

/// Before a call moves anything. On a verifying communicator all ranks make the same call, and none of
/// them with arguments that cannot work; otherwise a rank that objects tells the others, who may be
/// under way already: no later call of theirs meets an earlier one of this rank.
template <class... Types, class Comm>
void check_call(const called<Comm>& call, std::size_t n, const objection& wrong = {}) {
  Comm& comm = call.comm;
  comm.in_flight().require_no_visitor(call.name, comm.rank());
  if constexpr (verifying_communicator<Comm>) {
    const std::uint64_t numbers[] = {n, type_hash<void(Types...)>(), std::uint64_t(call.root)};
    comm.verify(call.name, numbers, wrong.empty());
  }
  if (wrong.empty()) [[likely]]
    return;
  failure f{
      .code = error_code::invalid_argument, .call = call.name, .rank = comm.rank(), .detail = wrong.in_words()};
  if constexpr (!verifying_communicator<Comm>) {
    failure told = f;
    told.peer = comm.rank();
    comm.revoke(told);
  }
  throw error{std::move(f)};
}

/// In a catch block: the other ranks are told that this one could not begin a call.
template <class Comm>
void tell_others(Comm& comm) {
  try {
    throw;
  } catch (const error& e) {
    comm.revoke(e.details());
  } catch (...) {
    comm.revoke({.code = error_code::peer_lost,
                 .peer = comm.rank(),
                 .detail = "rank " + std::to_string(comm.rank()) + " could not begin a call"});
  }
}

/// make(), a part of a call that is no operation yet; mostly it makes one. When it throws on this
/// rank, the others are told.
template <class Comm, class Make>
auto made(Comm& comm, Make&& make) {
  try {
    return make();
  } catch (...) {
    detail::tell_others(comm);
    throw;
  }
}

/// Runs one operation to its end on this stack. Without messages, neighbours answer at once: a moment of
/// looking comes before anything else.
template <class Comm, class Operation>
void run_now(Comm& comm, Operation& what) {
  struct entered {
    operations& all;
    Operation& one;
    bool done_at_once() {
      const auto held = all.hold();
      all.start(one);
      if constexpr (requires(Operation& o) { o.spin(); }) {
        if (one.spin()) return true;
      } else if (one.advance()) {
        return true;
      }
      all.enter(one);
      return false;
    }
    ~entered() {
      const auto held = all.hold();
      all.leave(one);
    }
  } entry{comm.in_flight(), what};
  if (!entry.done_at_once()) entry.all.wait(what);
}
/// What is made runs to its end on this stack; without anything to make, nothing.
template <class Comm>
struct runs_now {
  explicit runs_now(Comm& c) : comm{c} {}
  template <class Make>
  void operator()(Make&& make) const {
    const operations::visit now{comm.in_flight(), "a collective", comm.rank()};
    auto op = detail::made(comm, make);
    detail::run_now(comm, op);
  }
  void operator()() const {}

  Comm& comm;
};
/// What is made is kept on the heap, to be started.
template <class Comm>
struct is_kept {
  explicit is_kept(Comm& c) : comm{c} {}
  template <class Make>
  std::unique_ptr<operation> operator()(Make&& make) const {
    const operations::visit now{comm.in_flight(), "a collective", comm.rank()};
    const auto held = comm.in_flight().hold();
    using type = decltype(make());
    return detail::made(comm, [&] { return std::unique_ptr<operation>{new type(make())}; });
  }
  std::unique_ptr<operation> operator()() const { return {}; }

  Comm& comm;
};

/// Included by communicators that have stages or are attached to each other's memory: others need not
/// compile them (mpi/communicator.hpp).
template <direct_access_communicator Comm>
class staged_execution;
template <direct_access_communicator Comm>
class attached_execution;

/// use(make) with the operation that carries a call out by messages, on t's schedule; contributions may gather on it
/// until they meet.
template <bool Gathers, class Comm, class Topology, class Use>
decltype(auto) carry_out_by_messages(collective_call<Comm>& call, const Topology& t, Use&& use) {
  return use([&] {
    return execution<Comm>{call.comm, detail::plan_for(call, t, Gathers), std::move(call.work), call.how};
  });
}
/// The same for data that no slot holds, of ranks that share memory: without messages if there is a way to it.
template <bool Gathers, class Comm, class Topology, class Use>
decltype(auto) carry_out_beside_slots(collective_call<Comm>& call, const Topology& t, Use&& use) {
  Comm& comm = call.comm;
  if (Comm::one_address_space || call.data.memory) return use([&] { return in_place_execution<Comm>{call}; });
  if constexpr (requires { comm.attached(); })
    if (comm.attached() && call.data.bytes >= comm.attached()->from())
      return use([&] { return attached_execution<Comm>{call}; });
  if constexpr (requires { comm.stages(); })
    if (!comm.stages().empty() && call.work.math.value_bytes <= staged_execution<Comm>::unit_bytes(comm.size()))
      return use([&] { return staged_execution<Comm>{call}; });
  return detail::carry_out_by_messages<Gathers>(call, t, use);
}

/// The same on topology t: of the operations that need no messages the one for the data, if the call may share memory
/// and there is any. (In three parts, so that compilers inline what a short call goes through.)
template <bool MayShare, bool Gathers, class Comm, class Topology, class Use>
decltype(auto) carry_out(collective_call<Comm>& call, const Topology& t, Use&& use) {
  if constexpr (asks_for_traffic<Comm>)
    call.work.sent = tutti::traffic_of(t, call.what, call.root, detail::layout_of(call.comm), call.data.n);
  if constexpr (MayShare && direct_access_communicator<Comm>)
    if (call.comm.shared()) {
      const symmetric_memory*& memory = call.data.memory;
      if (memory && !call.comm.reaches(*memory)) memory = nullptr; // of another communicator
      if (call.data.bytes <= signals::slot_bytes) return use([&] { return slot_execution<Comm>{call}; });
      return detail::carry_out_beside_slots<Gathers>(call, t, use);
    }
  return detail::carry_out_by_messages<Gathers>(call, t, use);
}

template <class... Parts>
struct call_sentences {
  static_assert(count_parts<sync_part, Parts...> + count_parts<communicator_part, Parts...> +
                        count_parts<training_part, Parts...> == 0,
                "tutti: a collective takes a reducer, a topology, a codec and tutti::options - sync "
                "policies and training options belong to a tutti::strategy");
};

/// As the executors take it.
template <class T>
call_data data_of(const buffer<T>& data) {
  return {data.bytes(), data.values.size(), data.values.size_bytes(), data.memory};
}

/// The parts of a call, each as it was given or as its default.
template <class... Parts>
struct call_parts {
  using reducer = std::remove_cvref_t<part_type<reducer_part, sum, Parts...>>;
  using topology = std::remove_cvref_t<part_type<topology_part, default_topology, Parts...>>;
  using codec = std::remove_cvref_t<part_type<codec_part, identity, Parts...>>;
  using memory = std::remove_cvref_t<part_type<memory_part, no_codec_memory, Parts...>>;
};

} // namespace detail
} // namespace tutti
