// Collectives of device memory by tutti's own schedules: messages and kernels in the order of one stream, with any
// reducer, on a communicator that moves device memory (nccl_communicator).
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/enqueued_plan.cuh>
#include <tutti/cuda/nccl_operators.hpp>

#include <concepts>
#include <string>
#include <type_traits>

namespace tutti::cuda {

/// In place, in the order of `on`: every rank gives as many values, of float, bfloat16 or any other element, and any
/// reducer that folds in kernels or is median or trimmed_mean. Without a topology, NCCL's own collective is taken where
/// it computes the same (nccl_computes), and otherwise the schedule of default_topology; with one, that; with
/// cuda::native{}, NCCL's own. On schedules the bits are those of tutti::all_reduce on the host with the same topology,
/// NaN payloads aside. Returns when the work is enqueued: comm.wait(on) waits for it. Collective, in the same order on
/// all ranks. Cost: that of the topology; on schedules memory of the stream for what arrives (cudaMallocAsync) and a
/// launch a fold. Errors: invalid_argument; unsupported while the stream is captured, but for native; those of the
/// communicator, on all ranks.
template <class Comm, class T, class... Parts, class Built = detail::built_for>
requires communicator<Comm, stream_execution>
void all_reduce(Comm& comm, const stream& on, device_span<T> data, const Parts&... parts) {
  using reducer = std::remove_cvref_t<tutti::detail::part_type<reducer_part, sum, Parts...>>;
  using topology = std::remove_cvref_t<tutti::detail::part_type<topology_part, default_topology, Parts...>>;
  constexpr bool is_native = std::same_as<topology, native>;
  constexpr bool may_be_native = requires(reducer r, options how) { comm.native_all_reduce(on, r, data, how); };
  const char* const call = "cuda::all_reduce";
  detail::explain_parts<Parts...>();
  detail::require_one_device(on, call, data);
  const reducer& r = tutti::detail::picked<reducer_part, reducer>(parts...);
  const options& how = tutti::detail::picked<options_part, options>(parts...);
  if constexpr (is_native || (std::same_as<topology, default_topology> && may_be_native && nccl_computes<reducer, T>)) {
    detail::explain_native<reducer, T>();
    if constexpr (detail::nccl_takes<reducer, T>) static_cast<void>(comm.native_all_reduce(on, r, data, how));
  } else {
    detail::explain_enqueued<reducer, T>();
    if constexpr (detail::is_enqueued<reducer, T>) {
      const topology& t = tutti::detail::picked<topology_part, topology>(parts...);
      tutti::detail::with_topology<collective::all_reduce, needs_every_contribution<reducer, T>>(
          t, comm, data.size() * sizeof(T),
          [&](const auto& schedule) { detail::enqueue_reduction<Built>(call, comm, on, data, r, schedule, how); });
    }
  }
}

/// What the root holds, in place, to all ranks, in the order of `on`; as all_reduce.
template <class Comm, class T, class... Parts>
requires communicator<Comm, stream_execution>
void broadcast(Comm& comm, const stream& on, device_span<T> data, int root = 0, const Parts&... parts) {
  using topology = std::remove_cvref_t<tutti::detail::part_type<topology_part, default_topology, Parts...>>;
  const char* const call = "cuda::broadcast";
  detail::require_one_device(on, call, data);
  if (root < 0 || root >= comm.size())
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .rank = comm.rank(),
                 .detail = "root is " + std::to_string(root) + ", ranks are 0 to " + std::to_string(comm.size() - 1)}};
  const topology& t = tutti::detail::picked<topology_part, topology>(parts...);
  const options& how = tutti::detail::picked<options_part, options>(parts...);
  tutti::detail::with_topology<collective::broadcast, false>(
      t, comm, data.size() * sizeof(T),
      [&](const auto& schedule) { detail::enqueue_copies(call, comm, on, data, root, schedule, how); });
}

} // namespace tutti::cuda
