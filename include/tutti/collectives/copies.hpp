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
  task work;
  work.call = call;
  work.math = copying(sizeof(T));
  work.in = static_cast<const std::byte*>(in);
  work.out = static_cast<std::byte*>(out);
  return work;
}

/// A copying collective on the parts' topology, prepared; ends with use(make). A copy has no bits to
/// agree on, so the default is free to become one in shared memory.
template <collective What, class Topology, class T, class Comm, class Use>
decltype(auto) prepare_copy(const char* call, Comm& comm, const call_data& data, int root,
                            const Topology& topology, const options& how, Use&& use) {
  task work = detail::copy_task<T>(call, data.own, data.own);
  const auto on = [&](const auto& t) -> decltype(auto) {
    work.word = detail::word_of<number_of<What>, T>(root, t);
    work.name = &name_of_copy<What, T, std::remove_cvref_t<decltype(t)>>;
    if constexpr (asks_for_traffic<Comm>)
      work.sent = tutti::traffic_of(t, What, root, detail::layout_of(comm), data.n);
    const auto by_messages = [&]() -> decltype(auto) {
      return use([&] {
        return execution<Comm>{comm,
                               detail::plan_for(comm, t, What, root, data.n, false, work.math),
                               std::move(work), how};
      });
    };
    if constexpr (works_in_shared_memory<std::remove_cvref_t<decltype(t)>> ||
                  std::is_same_v<Topology, default_topology>)
      return detail::without_messages(comm, What, root, data, work, how, use, by_messages);
    else
      return by_messages();
  };
  return detail::with_topology<What, false>(topology, comm, data.bytes, on);
}

template <class T>
void copy_own(std::span<const T> from, std::span<T> to) {
  if (!from.empty() && from.data() != to.data()) std::copy(from.begin(), from.end(), to.begin());
}

template <collective What, class Data, class Comm, class Use, class... Parts>
decltype(auto) start_copy(const char* call, Comm& comm, Data& given_data, int root, Use&& use,
                          objection wrong, Parts&&... given) {
  using T = element_of<Data>;
  using topology_type = typename call_parts<Parts...>::topology;
  detail::explain<known_parts_sentences<Parts...>, call_sentences<Parts...>>();
  static_assert(count_parts<reducer_part, Parts...> + count_parts<codec_part, Parts...> == 0,
                "tutti: a collective that only copies takes a topology and tutti::options - leave "
                "reducers and codecs to all_reduce, reduce_scatter and reduce");
  if constexpr (carried<What, topology_type>::value) {
    const auto data = detail::buffer_of(given_data);
    if (wrong.empty()) wrong = detail::root_objection(root, comm.size());
    if (wrong.empty()) wrong = detail::data_objection(data);
    const auto& topology = detail::pick<topology_part, topology_type>(given...);
    if (wrong.empty()) wrong = detail::topology_objection(comm, topology);
    const call_data all = detail::data_of(data);
    detail::check_call<Comm, T, topology_type>(comm, call, all.n, root, wrong);
    const auto& how = detail::pick<options_part, options>(given...);
    return detail::prepare_copy<What, topology_type, T>(call, detail::stationary(comm), all, root,
                                                        topology, how, use);
  } else {
    detail::explain<carried_sentences<What, topology_type>>();
    return use();
  }
}

/// Equal blocks: the own one goes to its place in the whole, and the rest is done there.
template <class Comm, class Use, class Mine, class All, class... Parts>
decltype(auto) start_all_gather_of(Comm& comm, Use&& use, Mine&& mine, All&& all, Parts&&... parts) {
  if constexpr (can_use<handed<as::input, Mine>, handed<as::result, All>>) {
    const auto from = detail::input_of(mine);
    const auto to = detail::buffer_of(all);
    const std::size_t n = from.values.size();
    auto wrong = detail::data_objection(from, to);
    if (wrong.empty())
      wrong = detail::block_objection(comm.rank(), comm.size(), from.values, to.values);
    if (wrong.empty())
      detail::copy_own<element_of<All>>(from.values, to.values.subspan(std::size_t(comm.rank()) * n, n));
    return detail::start_copy<collective::all_gather>("all_gather", comm, all, 0, use, wrong, parts...);
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
    return detail::start_copy<collective::all_gather>("all_gather", comm, data, 0, use, {}, rest...);
  } else {
    detail::explain_data<handed<as::result, Data>>();
    return use();
  }
}

template <class Comm, class Use, class Data, class... Parts>
decltype(auto) start_broadcast(Comm& comm, Use&& use, Data&& data, int root, Parts&&... parts) {
  if constexpr (can_use<handed<as::result, Data>>) {
    return detail::start_copy<collective::broadcast>("broadcast", comm, data, root, use, {}, parts...);
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
