// A plan on device memory whose messages are in the order of its stream as well.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/device_plan.cuh>
#include <tutti/cuda/stream_execution.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace tutti::cuda::detail {

/// The parts that these collectives take; memories and codecs are not among them.
template <class... Parts> constexpr void explain_parts() {
  using tutti::detail::count_parts;
  static_assert(count_parts<codec_part, Parts...> + count_parts<memory_part, Parts...> == 0,
                "tutti::cuda::all_reduce: messages between devices are not encoded - leave the codec out, or give a "
                "cuda::staging, which travels through the host");
}

/// All of it by a communicator that enqueues, whose messages are in the order of the stream as well.
template <class Comm, class Plan> void enqueue_all(Comm& comm, Plan& all, const options& how) {
  const channel on = comm.in_flight().next_channel();
  all.begin();
  for (std::size_t r = 0; r < all.rounds(); ++r) {
    all.prepare(r);
    static_cast<void>(comm.exchange(stream_execution{all.on(), how}, on, all.messages(r)));
    all.absorb(r);
  }
  all.end();
}

template <class Comm, class T>
tutti::detail::call_data data_of(const Comm&, device_span<T> data) {
  return {reinterpret_cast<std::byte*>(data.data()), data.size(), data.size() * sizeof(T), nullptr};
}

/// What every call does: its plan is made or found and enqueued; what fails here fails on all ranks.
template <class Comm, class T, class Math, class Topology>
void enqueue_plan(tutti::detail::collective_call<Comm>& call, const stream& on, device_span<T> data, const Math& math,
                  const Topology& schedule, bool gathers) {
  try {
    detail::refuse_capture(on, call.work.call, "memory for what arrives is had in every call; capture cuda::native{}");
    device_plan<T, Math> all{on, tutti::detail::plan_for(call, schedule, gathers), data, math};
    detail::enqueue_all(call.comm, all, call.how);
  } catch (const error& e) {
    tutti::detail::fail_call(call.comm, call.work.call, e.details(), [] {});
  }
}

/// An all_reduce that all ranks agree on: use(call, math) carries it out.
template <class Built, class Comm, class T, class R, class Use>
void with_reduction(const char* name, Comm& comm, const stream& on, device_span<T> data, const R& r, const options& how,
                    Use&& use) {
  using math_type = device_arithmetic<Built, R, T>;
  if (const auto wrong = tutti::detail::reducer_objection(r, comm.size()); !wrong.empty())
    throw error{{.code = error_code::invalid_argument, .call = name, .rank = comm.rank(), .detail = wrong.in_words()}};
  tutti::detail::task work{name};
  work.math = math_type::sizes();
  work.total = double(comm.size());
  if constexpr (is_weighted<R>) tutti::detail::agree_on_weights<R>(tutti::control_of(comm), how, work);
  tutti::detail::collective_call<Comm> call{comm, collective::all_reduce, 0, detail::data_of(comm, data), work, how};
  exact_coder<T> exact;
  use(call, math_type{on, r, work, exact});
}
template <class Built, class Comm, class T, class R, class Topology>
void enqueue_reduction(const char* name, Comm& comm, const stream& on, device_span<T> data, const R& r,
                       const Topology& schedule, const options& how) {
  detail::with_reduction<Built>(name, comm, on, data, r, how, [&](auto& call, const auto& math) {
    detail::enqueue_plan(call, on, data, math, schedule, Topology::gathers);
  });
}

template <class Comm, class T, class Topology>
void enqueue_copies(const char* name, Comm& comm, const stream& on, device_span<T> data, int root,
                    const Topology& schedule, const options& how) {
  tutti::detail::task work{name};
  work.math = no_device_arithmetic<T>::sizes();
  tutti::detail::collective_call<Comm> call{comm, collective::broadcast, root, detail::data_of(comm, data), work, how};
  detail::enqueue_plan(call, on, data, no_device_arithmetic<T>{}, schedule, false);
}

} // namespace tutti::cuda::detail
