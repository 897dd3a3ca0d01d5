// top_k on device memory: the bytes that it has on the host.
#pragma once

#include <tutti/codecs/top_k.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/cuda/scanning_block.cuh>
#include <tutti/kernels/selection.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace tutti::cuda {

namespace detail {

using selection_block = scanning_block<tuning::lanes>;

template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes)
    begin_kernel(kernels::selection<T> of, std::size_t k) {
  device_block<tuning::lanes> block;
  kernels::begin_selecting(block, of, k);
}
template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    count_kernel(kernels::selection<T> of) {
  __shared__ std::uint32_t scratch[kernels::digits];
  device_block<tuning::lanes> block;
  kernels::count_digits(block, scratch, of);
}
template <class Built> TUTTI_KERNEL void __launch_bounds__(tuning::lanes) choose_kernel(kernels::selecting* s) {
  __shared__ selection_block::scratch scratch;
  selection_block block{scratch};
  kernels::choose_digit(block, *s);
}
template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    tally_kernel(kernels::selection<T> of) {
  __shared__ selection_block::scratch scratch;
  selection_block block{scratch};
  kernels::count_tiles(block, of);
}
template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes)
    add_up_kernel(kernels::selection<T> of) {
  __shared__ selection_block::scratch scratch;
  selection_block block{scratch};
  kernels::add_up_tiles(block, of);
}
template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    gather_kernel(kernels::selection<T> of) {
  __shared__ selection_block::scratch scratch;
  selection_block block{scratch};
  kernels::gather_candidates(block, of);
}
template <class Built, class T> TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    keep_kernel(kernels::selection<T> of) {
  __shared__ selection_block::scratch scratch;
  selection_block block{scratch};
  kernels::keep_values(block, of);
}

/// All of it, enqueued.
template <class Built, class T>
void select_largest(const stream& on, const char* call, const kernels::selection<T>& of, std::size_t k) {
  const std::size_t tiles = kernels::selection_parts::tiles_of<selection_block>(of.n);
  const auto blocks = unsigned((std::min)(tiles, tuning::selection_blocks));
  const auto choose = [&] {
    detail::launch(on, call, blocks, &count_kernel<Built, T>, of);
    detail::launch(on, call, 1u, &choose_kernel<Built>, of.state);
  };
  const auto tally = [&] {
    detail::launch(on, call, blocks, &tally_kernel<Built, T>, of);
    detail::launch(on, call, 1u, &add_up_kernel<Built, T>, of);
  };
  detail::launch(on, call, 1u, &begin_kernel<Built, T>, of, k);
  choose();
  tally();
  detail::launch(on, call, blocks, &gather_kernel<Built, T>, of);
  for (int low = kernels::key_bits<T> - kernels::digit_bits; low > 0; low -= kernels::next_digit(low)) choose();
  tally();
  detail::launch(on, call, blocks, &keep_kernel<Built, T>, of);
}

} // namespace detail

/// Room for encoding up to `n` values by top_k on one stream: 1.5 bytes for each, and some.
class top_k_workspace {
public:
  top_k_workspace(const stream& on, std::size_t n)
      : n_{n}, selecting_{on, 1}, tiles_{on, tiles_of(n)},
        candidates_{on, n / tuning::candidate_share}, places_{on, n / tuning::candidate_share} {}

  std::size_t size() const noexcept { return n_; }
  device_span<detail::kernels::selecting> selecting() const noexcept { return selecting_.span(); }
  device_span<detail::kernels::tile_count> tiles() const noexcept { return tiles_.span(); }
  device_span<double> candidates() const noexcept { return candidates_.span(); } ///< or as many of another type
  device_span<std::uint32_t> places() const noexcept { return places_.span(); }

  static std::size_t tiles_of(std::size_t n) {
    return detail::kernels::selection_parts::tiles_of<detail::selection_block>(n);
  }

private:
  std::size_t n_;
  device_buffer<detail::kernels::selecting> selecting_;
  device_buffer<detail::kernels::tile_count> tiles_;
  device_buffer<double> candidates_;
  device_buffer<std::uint32_t> places_;
};

/// Writes the bytes that codec.encode(values) writes on the host, of a top_k whose message is indices and values:
/// exactly k, of equal magnitudes those with the lowest index, from run to run. Of float and double, fewer than 2^32
/// values. Returns when the work is enqueued; allocates nothing. Cost: three reads of the values, where no more than an
/// eighth of them are about as large as the k-th or larger - that is, not below it with all but three of its digits
/// behind the point cut off, of double all; otherwise six, of double nine. Errors: invalid_argument; unsupported where
/// all values would travel; transport.
template <class T, class Built = detail::built_for> void encode(const stream& on, const top_k& codec,
                                                                device_span<const T> values,
                                                                device_span<std::byte> wire, top_k_workspace& with) {
  namespace kernels = detail::kernels;
  static_assert(sizeof(T) % 4 == 0,
                "tutti::cuda::encode: top_k takes float or double, whose values follow their indices "
                "aligned - convert shorter ones first");
  const char* const call = "cuda::encode";
  const auto refuse = [&](error_code code, const char* why) {
    throw error{{.code = code, .call = call, .detail = why}};
  };
  if (const char* wrong = codec.objection()) refuse(error_code::invalid_argument, wrong);
  const std::size_t n = values.size(), k = codec.kept(n), bytes = codec.template bytes<T>(n);
  detail::require_one_device(on, call, values, wire, with.selecting());
  detail::require_message(call, wire, bytes);
  detail::require_no_overlap(call, wire, values);
  if (n == 0) return;
  if (n > (std::numeric_limits<std::uint32_t>::max)())
    refuse(error_code::unsupported, "top_k has indices of 32 bits, and a message more values - use smaller buckets");
  if (bytes == n * sizeof(T))
    refuse(error_code::unsupported, "so many values are kept that all of them travel - copy them, or keep fewer");
  if (n > with.size()) refuse(error_code::invalid_argument, "the workspace is for fewer values - make one for as many");
  auto* const indices = reinterpret_cast<std::uint32_t*>(wire.data());
  auto* const kept = reinterpret_cast<T*>(wire.data() + k * sizeof(std::uint32_t));
  if (reinterpret_cast<std::uintptr_t>(kept) % alignof(T) != 0)
    refuse(error_code::invalid_argument,
           "the values of this message would not be aligned - begin it four bytes further on");

  const std::size_t head = kernels::head_of(n, kernels::packet<T>::length, values.data());
  detail::select_largest<Built>(on, call,
                                kernels::selection<T>{values.data(), n, head,
                                                      reinterpret_cast<T*>(with.candidates().data()),
                                                      with.places().data(), with.places().size(),
                                                      with.selecting().data(), with.tiles().data(), indices, kept},
                                k);
}

} // namespace tutti::cuda
