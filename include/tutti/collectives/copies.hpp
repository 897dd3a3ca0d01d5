// all_gather, broadcast: the collectives that only move data, along a schedule. Those that no topology
// carries are in collectives/blocks.hpp.
// What they promise is in collectives/collectives.hpp.
#pragma once

#include <tutti/collectives/call.hpp>

#include <memory>

namespace tutti {

namespace detail {

template <class T>
concept copyable_element = std::is_trivially_copyable_v<T>;

template <class T>
task copy_task(const char* call, const void* in, void* out) {
  static_assert(copyable_element<T>, "tutti: only trivially copyable elements can be moved between "
                                     "ranks - send the bytes of a serialised form instead");
  task work{call, static_cast<std::byte*>(out)};
  work.math = detail::copying(sizeof(T));
  work.in = static_cast<const std::byte*>(in);
  return work;
}

template <class T>
void copy_own(std::span<const T> from, std::span<T> to) {
  if (!from.empty() && from.data() != to.data()) std::copy(from.begin(), from.end(), to.begin());
}

/// A copying collective on the parts' topology; `wrong` is what is known to be wrong with it already. Ends with
/// use(make). A copy has no bits to agree on, so the default is free to become one in shared memory.
template <collective What, class Comm, class Data, class Use, class... Parts>
decltype(auto) start_copy(const called<Comm>& given, Data& given_data, objection wrong, Use&& use,
                          const Parts&... parts) {
  using T = element_of<Data>;
  using given_topology = typename call_parts<Parts...>::topology;
  detail::explain<known_parts_sentences<Parts...>, call_sentences<Parts...>>();
  static_assert(count_parts<reducer_part, Parts...> + count_parts<codec_part, Parts...> +
                        count_parts<memory_part, Parts...> == 0,
                "tutti: a collective that only copies takes a topology and tutti::options - leave "
                "reducers and codecs to all_reduce, reduce_scatter and reduce");
  if constexpr (carried<What, given_topology>::value) {
    const auto data = detail::buffer_of(given_data);
    if (wrong.empty()) wrong = detail::root_objection(given.root, given.comm.size());
    if (wrong.empty()) wrong = detail::data_objection(data);
    const auto& topology = detail::picked<topology_part, given_topology>(parts...);
    if (wrong.empty()) wrong = detail::topology_objection(given.comm, topology);
    detail::check_call<T, given_topology>(given, data.values.size(), wrong);
    auto& comm = detail::stationary(given.comm);
    task work = detail::copy_task<T>(given.name, data.bytes(), data.bytes());
    collective_call<stationary_type<Comm>> call{
        comm, What, given.root, detail::data_of(data), work, detail::picked<options_part, options>(parts...)};
    return detail::with_topology<What, false>(topology, comm, call.data.bytes, [&](const auto& t) -> decltype(auto) {
      using topology_type = std::remove_cvref_t<decltype(t)>;
      call.work.word = detail::word_of<number_of<What>, T>(given.root, t);
      call.work.name = &name_of_copy<What, T, topology_type>;
      constexpr bool may_share =
          works_in_shared_memory<topology_type> || std::is_same_v<given_topology, default_topology>;
      return detail::carry_out<may_share, false>(call, t, use);
    });
  } else {
    detail::explain<carried_sentences<What, given_topology>>();
    return use();
  }
}

/// Equal blocks: the own one goes to its place in the whole, and the rest is done there.
template <class Comm, class Use, class Mine, class All, class... Parts>
decltype(auto) start_all_gather_of(Comm& comm, Use&& use, Mine&& mine, All&& all, const Parts&... parts) {
  if constexpr (can_use<handed<as::input, Mine>, handed<as::result, All>>) {
    const auto from = detail::input_of(mine);
    const auto to = detail::buffer_of(all);
    const std::size_t n = from.values.size();
    auto wrong = detail::data_objection(from, to);
    if (wrong.empty())
      wrong = detail::block_objection(comm.rank(), comm.size(), from.values, to.values);
    if (wrong.empty())
      detail::copy_own<element_of<All>>(from.values, to.values.subspan(std::size_t(comm.rank()) * n, n));
    return detail::start_copy<collective::all_gather>(called{"all_gather", comm}, all, wrong, use, parts...);
  } else {
    detail::explain_data<handed<as::input, Mine>, handed<as::result, All>>();
    return use();
  }
}

template <class Comm, class Use, class Data, class... Rest>
decltype(auto) start_all_gather(Comm& comm, Use&& use, Data&& data, Rest&&... rest) {
  if constexpr (data_follows<Data, Rest...>) {
    return detail::start_all_gather_of(comm, use, std::forward<Data>(data), std::forward<Rest>(rest)...);
  } else if constexpr (can_use<handed<as::result, Data>>) {
    return detail::start_copy<collective::all_gather>(called{"all_gather", comm}, data, {}, use, rest...);
  } else {
    detail::explain_data<handed<as::result, Data>>();
    return use();
  }
}

template <class Comm, class Use, class Data, class... Parts>
decltype(auto) start_broadcast(Comm& comm, Use&& use, Data&& data, int root, Parts&&... parts) {
  if constexpr (can_use<handed<as::result, Data>>) {
    return detail::start_copy<collective::broadcast>(called{"broadcast", comm, root}, data, {}, use, parts...);
  } else {
    detail::explain_data<handed<as::result, Data>>();
    return use();
  }
}

} // namespace detail

template <communicator Comm, class Data, class... Rest>
void all_gather(Comm& comm, Data&& data, Rest&&... rest) {
  detail::start_all_gather(comm, detail::runs_now(comm), std::forward<Data>(data),
                           std::forward<Rest>(rest)...);
}

template <communicator Comm, class Data, class... Rest>
request async_all_gather(Comm& comm, Data&& data, Rest&&... rest) {
  return request{detail::start_all_gather(comm, detail::is_kept(comm), std::forward<Data>(data),
                                          std::forward<Rest>(rest)...),
                 comm.in_flight()};
}

template <communicator Comm, class Data, class... Parts>
persistent_request persistent_all_gather(Comm& comm, Data&& data, Parts&&... parts) {
  if constexpr (detail::data_follows<Data, Parts...>) {
    static_assert(detail::always_false<Data>,
                  "tutti::persistent_all_gather: it gathers in place - give the whole, with this rank's "
                  "shard where shard_of says");
    return {};
  } else {
    return {detail::start_all_gather(comm, detail::is_kept(comm), std::forward<Data>(data), parts...),
            comm.in_flight()};
  }
}

template <communicator Comm, class Data, class... Parts>
void broadcast(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  detail::start_broadcast(comm, detail::runs_now(comm), std::forward<Data>(data), root, parts...);
}

template <communicator Comm, class Data, class... Parts>
request async_broadcast(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  return request{
      detail::start_broadcast(comm, detail::is_kept(comm), std::forward<Data>(data), root, parts...),
      comm.in_flight()};
}

template <communicator Comm, class Data, class... Parts>
persistent_request persistent_broadcast(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  return {detail::start_broadcast(comm, detail::is_kept(comm), std::forward<Data>(data), root, parts...),
          comm.in_flight()};
}

} // namespace tutti
