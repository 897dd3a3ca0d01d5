// gather, scatter, all_to_all, barrier: the collectives that no topology carries; blocks go straight to their
// destination. What they promise is in collectives/collectives.hpp.
#pragma once

#include <tutti/collectives/copies.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace tutti {

namespace detail {

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

template <class Comm, class T, class Use>
decltype(auto) start_gather(const called<Comm>& call, const buffer<const T>& mine, const buffer<T>& all,
                            const options& how, Use&& use) {
  const std::span<const T> from = mine.values;
  const std::span<T> to = all.values;
  const int rank = call.comm.rank(), size = call.comm.size(), root = call.root;
  objection wrong = detail::root_objection(root, size);
  if (wrong.empty()) wrong = detail::data_objection(mine);
  if (rank == root && wrong.empty()) wrong = detail::data_objection(all);
  if (rank == root && wrong.empty()) wrong = detail::block_objection(rank, size, from, to);
  detail::check_call<T>(call, from.size(), wrong);
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
        detail::stationary(call.comm), blocks.finish(),
        detail::block_task<block_call::gather, T>(root, from.data(), to.data()), how};
  });
}

template <class Comm, class T, class Use>
decltype(auto) start_scatter(const called<Comm>& call, const buffer<const T>& all, const buffer<T>& mine,
                             const options& how, Use&& use) {
  const std::span<const T> from = all.values;
  const std::span<T> to = mine.values;
  const int rank = call.comm.rank(), size = call.comm.size(), root = call.root;
  objection wrong = detail::root_objection(root, size);
  if (wrong.empty()) wrong = detail::data_objection(mine);
  if (rank == root && wrong.empty()) wrong = detail::data_objection(all);
  if (rank == root && wrong.empty()) wrong = detail::block_objection(rank, size, to, from);
  detail::check_call<T>(call, to.size(), wrong);
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
        detail::stationary(call.comm), blocks.finish(),
        detail::block_task<block_call::scatter, T>(root, from.data(), to.data()), how};
  });
}

template <class Comm, class T, class Use>
decltype(auto) start_all_to_all(const called<Comm>& call, const buffer<const T>& send, const buffer<T>& receive,
                                const options& how, Use&& use) {
  const std::span<const T> from = send.values;
  const std::span<T> to = receive.values;
  const int rank = call.comm.rank(), size = call.comm.size();
  const std::size_t n = to.size() / std::size_t(size);
  objection wrong = detail::data_objection(send, receive);
  if (wrong.empty()) wrong = detail::blocks_objection(size, n, from.size());
  if (wrong.empty()) wrong = detail::blocks_objection(size, n, to.size());
  if (wrong.empty() && detail::overlap(from, to))
    wrong = {"send and receive overlap: blocks would be written over before they are sent - give two "
             "buffers"};
  detail::check_call<T>(call, n, wrong);
  return use([&] {
    const std::size_t own = std::size_t(rank) * n;
    detail::copy_own<T>(from.subspan(own, n), to.subspan(own, n));
    block_plan<> blocks{rank, size, 0, n, sizeof(T)};
    for (int k = 1; k < size; ++k) blocks.publish((rank + k) % size, (rank + k) % size);
    for (int k = 1; k < size; ++k) blocks.store((rank + size - k) % size, (rank + size - k) % size);
    return execution<stationary_type<Comm>>{
        detail::stationary(call.comm), blocks.finish(),
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
  const detail::called call{"gather", comm, root};
  detail::with_buffers<detail::as::input>(
      std::forward<Mine>(mine), std::forward<All>(all), [&](const auto& from, const auto& to) {
        detail::start_gather(call, from, to, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class Mine, class All>
request async_gather(Comm& comm, Mine&& mine, All&& all, int root = 0, const options& how = {}) {
  const detail::called call{"gather", comm, root};
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<Mine>(mine), std::forward<All>(all),
                     [&](const auto& from, const auto& to) {
                       return detail::start_gather(call, from, to, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

template <communicator Comm, class All, class Mine>
void scatter(Comm& comm, All&& all, Mine&& mine, int root = 0, const options& how = {}) {
  const detail::called call{"scatter", comm, root};
  detail::with_buffers<detail::as::input>(
      std::forward<All>(all), std::forward<Mine>(mine), [&](const auto& from, const auto& to) {
        detail::start_scatter(call, from, to, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class All, class Mine>
request async_scatter(Comm& comm, All&& all, Mine&& mine, int root = 0, const options& how = {}) {
  const detail::called call{"scatter", comm, root};
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<All>(all), std::forward<Mine>(mine),
                     [&](const auto& from, const auto& to) {
                       return detail::start_scatter(call, from, to, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

template <communicator Comm, class Send, class Receive>
void all_to_all(Comm& comm, Send&& send, Receive&& receive, const options& how = {}) {
  const detail::called call{"all_to_all", comm};
  detail::with_buffers<detail::as::input>(
      std::forward<Send>(send), std::forward<Receive>(receive), [&](const auto& from, const auto& to) {
        detail::start_all_to_all(call, from, to, how, detail::runs_now(comm));
      });
}
template <communicator Comm, class Send, class Receive>
request async_all_to_all(Comm& comm, Send&& send, Receive&& receive, const options& how = {}) {
  const detail::called call{"all_to_all", comm};
  return request{detail::with_buffers<detail::as::kept_input>(
                     std::forward<Send>(send), std::forward<Receive>(receive),
                     [&](const auto& from, const auto& to) {
                       return detail::start_all_to_all(call, from, to, how, detail::is_kept(comm));
                     }),
                 comm.in_flight()};
}

namespace detail {

/// An all-reduce of one byte: nobody has its result before everybody has contributed.
template <class Comm, class Use>
decltype(auto) start_barrier(Comm& comm, const options& how, Use&& use) {
  static constexpr max reduce{};
  static constexpr identity exact{};
  detail::check_call(called{"barrier", comm}, 0);
  const call_name& name = name_of_block_call<block_call::barrier, std::uint8_t>;
  std::unique_ptr<std::byte[]> own{new std::byte[1]{}};
  task work{name.call, own.get()};
  work.own = std::move(own);
  work.word = detail::word_of<int(block_call::barrier), std::uint8_t>(0);
  work.name = &name;
  work.math = detail::arithmetic_of<std::uint8_t>(reduce, exact);
  collective_call<stationary_type<Comm>> call{
      detail::stationary(comm), collective::all_reduce, 0, {work.out, 1, 1}, work, how};
  return detail::carry_out<true, false>(call, recursive_doubling{}, use);
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
