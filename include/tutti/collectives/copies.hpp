// all_gather, broadcast, gather, scatter, all_to_all, barrier: the collectives that only move data.
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

/// One round in which blocks of n elements go straight to their destination.
template <class Plan = plan>
class block_plan {
public:
  block_plan(int rank, int size, int root, std::size_t n, std::size_t value_bytes)
      : n_{n}, value_bytes_{value_bytes} {
    plan_.rank = rank;
    plan_.size = size;
    plan_.root = root;
    plan_.elements = n;
  }
  void publish(int peer, int block) { add(plan_.sends, action::publish, peer, block); }
  void store(int peer, int block) { add(plan_.receives, action::store, peer, block); }
  std::shared_ptr<const Plan> finish() {
    const auto sends = std::uint32_t(plan_.sends.size());
    const auto receives = std::uint32_t(plan_.receives.size());
    plan_.lay_out();
    if (sends + receives > 0) plan_.rounds.push_back({0, sends, 0, receives, 0, 0, 0, 0});
    return std::make_shared<const Plan>(std::move(plan_));
  }

private:
  void add(std::vector<message>& to, action act, int peer, int block) {
    if (n_ == 0) return;
    const std::size_t begin = std::size_t(block) * n_;
    to.push_back({peer, act, false, false, begin * value_bytes_, n_ * value_bytes_,
                  std::uint32_t(plan_.pieces.size()), 1});
    plan_.pieces.push_back({begin, n_});
  }

  std::size_t n_, value_bytes_;
  Plan plan_;
};

/// The task of a collective of blocks.
template <block_call What, class T>
task block_task(int root, const void* in, void* out) {
  const call_name& name = name_of_block_call<What, T>;
  task work = detail::copy_task<T>(name.call, in, out);
  work.word = detail::word_of<int(What), T>(root);
  work.name = &name;
  return work;
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

namespace detail {

template <class Comm, class T, class Use>
decltype(auto) start_gather(Comm& comm, const buffer<const T>& mine, const buffer<T>& all, int root,
                            const options& how, Use&& use) {
  const std::span<const T> from = mine.values;
  const std::span<T> to = all.values;
  const int rank = comm.rank(), size = comm.size();
  objection wrong = detail::root_objection(root, size);
  if (wrong.empty()) wrong = detail::data_objection(mine);
  if (rank == root && wrong.empty()) wrong = detail::data_objection(all);
  if (rank == root && wrong.empty()) wrong = detail::block_objection(rank, size, from, to);
  detail::check_call<Comm, T>(comm, "gather", from.size(), root, wrong);
  return use([&] {
    block_plan<> blocks{rank, size, root, from.size(), sizeof(T)};
    if (rank != root) {
      blocks.publish(root, 0);
    } else {
      detail::copy_own<T>(from, to.subspan(std::size_t(root) * from.size(), from.size()));
      for (int peer = 0; peer < size; ++peer)
        if (peer != root) blocks.store(peer, peer);
    }
    return execution<stationary_type<Comm>>{
        detail::stationary(comm), blocks.finish(),
        detail::block_task<block_call::gather, T>(root, from.data(), to.data()), how};
  });
}

template <class Comm, class T, class Use>
decltype(auto) start_scatter(Comm& comm, const buffer<const T>& all, const buffer<T>& mine, int root,
                             const options& how, Use&& use) {
  const std::span<const T> from = all.values;
  const std::span<T> to = mine.values;
  const int rank = comm.rank(), size = comm.size();
  objection wrong = detail::root_objection(root, size);
  if (wrong.empty()) wrong = detail::data_objection(mine);
  if (rank == root && wrong.empty()) wrong = detail::data_objection(all);
  if (rank == root && wrong.empty()) wrong = detail::block_objection(rank, size, to, from);
  detail::check_call<Comm, T>(comm, "scatter", to.size(), root, wrong);
  return use([&] {
    block_plan<> blocks{rank, size, root, to.size(), sizeof(T)};
    if (rank != root) {
      blocks.store(root, 0);
    } else {
      detail::copy_own<T>(from.subspan(std::size_t(root) * to.size(), to.size()), to);
      for (int peer = 0; peer < size; ++peer)
        if (peer != root) blocks.publish(peer, peer);
    }
    return execution<stationary_type<Comm>>{
        detail::stationary(comm), blocks.finish(),
        detail::block_task<block_call::scatter, T>(root, from.data(), to.data()), how};
  });
}

template <class Comm, class T, class Use>
decltype(auto) start_all_to_all(Comm& comm, const buffer<const T>& send, const buffer<T>& receive,
                                const options& how, Use&& use) {
  const std::span<const T> from = send.values;
  const std::span<T> to = receive.values;
  const int rank = comm.rank(), size = comm.size();
  const std::size_t n = to.size() / std::size_t(size);
  objection wrong = detail::data_objection(send, receive);
  if (wrong.empty()) wrong = detail::blocks_objection(size, n, from.size());
  if (wrong.empty()) wrong = detail::blocks_objection(size, n, to.size());
  if (wrong.empty() && detail::overlap(from, to))
    wrong = {"send and receive overlap: blocks would be written over before they are sent - give two "
             "buffers"};
  detail::check_call<Comm, T>(comm, "all_to_all", n, 0, wrong);
  return use([&] {
    const std::size_t own = std::size_t(rank) * n;
    detail::copy_own<T>(from.subspan(own, n), to.subspan(own, n));
    block_plan<> blocks{rank, size, 0, n, sizeof(T)};
    for (int k = 1; k < size; ++k) blocks.publish((rank + k) % size, (rank + k) % size);
    for (int k = 1; k < size; ++k) blocks.store((rank + size - k) % size, (rank + size - k) % size);
    return execution<stationary_type<Comm>>{
        detail::stationary(comm), blocks.finish(),
        detail::block_task<block_call::all_to_all, T>(0, from.data(), to.data()), how};
  });
}

/// start(input, result) of the two buffers of a call.
template <as Input, class From, class To, class Start>
auto with_buffers(From&& from, To&& to, Start&& start) {
  if constexpr (can_use<handed<Input, From>, handed<as::result, To>>) {
    return start(detail::input_of(from), detail::buffer_of(to));
  } else {
    detail::explain_data<handed<Input, From>, handed<as::result, To>>();
    return std::unique_ptr<operation>{};
  }
}

} // namespace detail

template <communicator Comm, class Mine, class All>
void gather(Comm& comm, Mine&& mine, All&& all, int root = 0, const options& how = {}) {
  detail::with_buffers<detail::as::input>(
      std::forward<Mine>(mine), std::forward<All>(all), [&](const auto& from, const auto& to) {
        detail::start_gather(comm, from, to, root, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class Mine, class All>
request async_gather(Comm& comm, Mine&& mine, All&& all, int root = 0, const options& how = {}) {
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<Mine>(mine), std::forward<All>(all),
                     [&](const auto& from, const auto& to) {
                       return detail::start_gather(comm, from, to, root, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

template <communicator Comm, class All, class Mine>
void scatter(Comm& comm, All&& all, Mine&& mine, int root = 0, const options& how = {}) {
  detail::with_buffers<detail::as::input>(
      std::forward<All>(all), std::forward<Mine>(mine), [&](const auto& from, const auto& to) {
        detail::start_scatter(comm, from, to, root, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class All, class Mine>
request async_scatter(Comm& comm, All&& all, Mine&& mine, int root = 0, const options& how = {}) {
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<All>(all), std::forward<Mine>(mine),
                     [&](const auto& from, const auto& to) {
                       return detail::start_scatter(comm, from, to, root, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

template <communicator Comm, class Send, class Receive>
void all_to_all(Comm& comm, Send&& send, Receive&& receive, const options& how = {}) {
  detail::with_buffers<detail::as::input>(
      std::forward<Send>(send), std::forward<Receive>(receive), [&](const auto& from, const auto& to) {
        detail::start_all_to_all(comm, from, to, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class Send, class Receive>
request async_all_to_all(Comm& comm, Send&& send, Receive&& receive, const options& how = {}) {
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<Send>(send), std::forward<Receive>(receive),
                     [&](const auto& from, const auto& to) {
                       return detail::start_all_to_all(comm, from, to, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

namespace detail {

/// An all-reduce of one byte: nobody has its result before everybody has contributed.
template <class Comm, class Use>
decltype(auto) start_barrier(Comm& comm, const options& how, Use&& use) {
  static constexpr max reduce{};
  static constexpr identity exact{};
  detail::check_call<Comm>(comm, "barrier", 0, 0);
  task work = detail::block_task<block_call::barrier, std::uint8_t>(0, nullptr, nullptr);
  work.math = detail::arithmetic_of<std::uint8_t>(reduce, exact);
  work.own.reset(new std::byte[1]{});
  work.out = work.own.get();
  work.in = work.out;
  const call_data data{work.out, 1, 1};
  auto& at = detail::stationary(comm);
  if constexpr (asks_for_traffic<stationary_type<Comm>>)
    work.sent = tutti::traffic_of(recursive_doubling{}, collective::all_reduce, 0, detail::layout_of(at), 1);
  return detail::without_messages(
      at, collective::all_reduce, 0, data, work, how, use, [&]() -> decltype(auto) {
        return use([&] {
          return execution<stationary_type<Comm>>{at,
                                 detail::plan_for(at, recursive_doubling{}, collective::all_reduce,
                                                  0, 1, false, work.math),
                                 std::move(work), how};
        });
      });
}

} // namespace detail

template <communicator Comm>
void barrier(Comm& comm, const options& how = {}) {
  detail::start_barrier(comm, how, detail::runs_now(comm));
}
template <communicator Comm>
persistent_request persistent_barrier(Comm& comm, const options& how = {}) {
  return {detail::start_barrier(comm, how, detail::is_kept(comm)), comm.in_flight()};
}
template <communicator Comm>
request async_barrier(Comm& comm, const options& how = {}) {
  return request{detail::start_barrier(comm, how, detail::is_kept(comm)), comm.in_flight()};
}

} // namespace tutti
