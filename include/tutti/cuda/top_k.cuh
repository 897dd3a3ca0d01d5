// top_k on device memory: the bytes that it has on the host.
#pragma once

#include <tutti/codecs/top_k.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/selection.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace tutti::cuda {

namespace detail {

using selection_block = device_block<tuning::lanes>;

template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes) begin_kernel(kernels::selecting* s, std::size_t k) {
  selection_block block;
  block.each([&](unsigned lane) {
    for (std::size_t d = lane; d < kernels::digits; d += tuning::lanes) s->count[d] = 0;
    if (lane == 0) kernels::begin_selecting<T>(*s, k);
  });
}
template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    count_kernel(const T* values, std::size_t n, std::size_t head, kernels::selecting* s) {
  __shared__ std::uint32_t scratch[kernels::digits];
  selection_block block;
  kernels::count_digits(block, scratch, values, n, head, *s);
}
template <class Built> TUTTI_KERNEL void __launch_bounds__(tuning::lanes) choose_kernel(kernels::selecting* s) {
  selection_block block;
  kernels::choose_digit(block, *s);
}
template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    tally_kernel(const T* values, std::size_t n, const kernels::selecting* s, kernels::tile_count* tiles) {
  __shared__ kernels::tile_count scratch;
  selection_block block;
  kernels::count_tiles(block, scratch, values, n, *s, tiles);
}
template <class Built>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes) add_up_kernel(std::size_t all, kernels::tile_count* tiles) {
  __shared__ kernels::tile_count scratch[tuning::lanes];
  selection_block block;
  kernels::add_up_tiles(block, scratch, all, tiles);
}
template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    keep_kernel(const T* values, std::size_t n, const kernels::selecting* s, const kernels::tile_count* tiles,
                std::uint32_t* indices, T* kept) {
  __shared__ kernels::tile_count scratch[tuning::lanes];
  selection_block block;
  kernels::keep_values(block, scratch, values, n, *s, tiles, indices, kept);
}

} // namespace detail

/// Room for encoding up to `n` values by top_k on one stream.
class top_k_workspace {
public:
  top_k_workspace(const stream& on, std::size_t n) : selecting_{on, 1}, tiles_{on, tiles_of(n)} {}

  std::size_t size() const noexcept { return tiles_.size() * detail::kernels::tile<detail::selection_block>; }
  device_span<detail::kernels::selecting> selecting() const noexcept { return selecting_.span(); }
  device_span<detail::kernels::tile_count> tiles() const noexcept { return tiles_.span(); }

  static std::size_t tiles_of(std::size_t n) {
    constexpr std::size_t tile = detail::kernels::tile<detail::selection_block>;
    return n / tile + (n % tile != 0);
  }

private:
  device_buffer<detail::kernels::selecting> selecting_;
  device_buffer<detail::kernels::tile_count> tiles_;
};

/// Writes the bytes that codec.encode(values) writes on the host, of a top_k whose message is indices and values:
/// exactly k, of equal magnitudes those with the lowest index, from run to run. Of float and double, fewer than 2^32
/// values. Returns when the work is enqueued; allocates nothing. Cost: five reads of the values, double eight. Errors:
/// invalid_argument; unsupported where all values would travel; transport.
template <class T, class Built = detail::built_for>
void encode(const stream& on, const top_k& codec, device_span<const T> values, device_span<std::byte> wire,
            top_k_workspace& with) {
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

  constexpr std::size_t length = kernels::packet<T>::length;
  const std::size_t head = kernels::head_of(n, length, values.data());
  kernels::selecting* const s = with.selecting().data();
  detail::launch(on, call, 1u, &detail::begin_kernel<Built, T>, s, k);
  for (int low = kernels::key_bits<T>; low > 0; low -= kernels::next_digit(low)) {
    detail::launch(on, call, detail::packet_blocks(n, head, length), &detail::count_kernel<Built, T>, values.data(), n,
                   head, s);
    detail::launch(on, call, 1u, &detail::choose_kernel<Built>, s);
  }
  const std::size_t tiles = top_k_workspace::tiles_of(n);
  const auto blocks = unsigned(tiles < tuning::most_blocks ? tiles : tuning::most_blocks);
  const auto* const chosen = static_cast<const kernels::selecting*>(s);
  detail::launch(on, call, blocks, &detail::tally_kernel<Built, T>, values.data(), n, chosen, with.tiles().data());
  detail::launch(on, call, 1u, &detail::add_up_kernel<Built>, tiles, with.tiles().data());
  detail::launch(on, call, blocks, &detail::keep_kernel<Built, T>, values.data(), n, chosen,
                 static_cast<const kernels::tile_count*>(with.tiles().data()), indices, kept);
}

} // namespace tutti::cuda
