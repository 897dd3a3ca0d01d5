// all_reduce of device memory over a communicator of the host: in its messages where it takes them, staged otherwise.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/device_execution.cuh>
#include <tutti/cuda/staging.hpp>

#include <memory>
#include <type_traits>

namespace tutti::cuda {

/// How one rank's device memory travels over a communicator of the host, made once and used by one call at a time: by
/// its messages, where the communicator says that they may name device memory and a look at it shows that they do, and
/// otherwise through pinned slots. Making one is collective; the answer is the same on all ranks.
class host_transport {
public:
  template <communicator Comm> host_transport(Comm& comm, const stream& on, int slots = 3) {
    if (!detail::moves_device_memory(comm, on)) through_ = std::make_unique<staging>(slots);
  }
  bool is_staged() const noexcept { return through_ != nullptr; }
  /// Of one that is.
  staging& through() const noexcept { return *through_; }

private:
  std::unique_ptr<staging> through_;
};

/// In place, in the order of `on`, over MPI for one: every rank gives as many values. Where it is not staged messages
/// name the device's memory and folds are kernels, for reducers that fold in kernels, median and trimmed_mean, without
/// codecs; data is then memory of cudaMalloc (plain_buffer), as an MPI need not take other. Otherwise it is
/// cuda::all_reduce through `by`'s slots. The bits of tutti::all_reduce over the same topology, NaN payloads aside - of
/// chunks where it is staged. Waits for what `on` was given before; returns when the last copy or kernel is enqueued.
/// Collective. Cost: that of the topology; memory for what arrives is had in every call. Errors: those of all_reduce;
/// unsupported while the stream is captured, as the host takes part; transport.
template <communicator Comm, class T, class... Parts, class Built = detail::built_for>
void aware_all_reduce(Comm& of, const stream& on, device_span<T> data, host_transport& by, const Parts&... parts) {
  using reducer = std::remove_cvref_t<tutti::detail::part_type<reducer_part, sum, Parts...>>;
  using topology = std::remove_cvref_t<tutti::detail::part_type<topology_part, default_topology, Parts...>>;
  if (by.is_staged()) return cuda::all_reduce(of, on, data, by.through(), parts...);
  const char* const call = "cuda::aware_all_reduce";
  detail::explain_parts<Parts...>();
  detail::explain_enqueued<reducer, T>();
  if constexpr (detail::is_enqueued<reducer, T> && device_aware_communicator<Comm>) {
    detail::require_one_device(on, call, data);
    detail::refuse_capture(on, call, "leave it out of the capture, as the host takes part in it");
    const reducer& r = tutti::detail::picked<reducer_part, reducer>(parts...);
    const options& how = tutti::detail::picked<options_part, options>(parts...);
    auto& comm = tutti::detail::stationary(of);
    tutti::detail::with_topology<collective::all_reduce, needs_every_contribution<reducer, T>>(
        tutti::detail::picked<topology_part, topology>(parts...), comm, data.size() * sizeof(T),
        [&](const auto& schedule) { detail::run_reduction<Built>(call, comm, on, data, r, schedule, how); });
  }
}

} // namespace tutti::cuda
