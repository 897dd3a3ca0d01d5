// Codecs on device memory: the bytes that they have on the host, and messages that are decoded and reduced in one pass.
#pragma once

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/cuda/collect.cuh>
#include <tutti/cuda/contributions.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/cuda/norm_verdict.hpp>
#include <tutti/kernels/blocks.hpp>
#include <tutti/kernels/cast.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tutti::cuda {

/// What a codec remembers of values: as the last exchange that counted left it, and as this one does. Both may be one
/// span.
template <class A> struct remembered_on_device {
  device_span<const A> before;
  device_span<A> after;
};

namespace detail {

/// The codecs that kernels are written for.
template <class C> inline constexpr bool codes_in_kernels = kernels::block_code<C>;
template <class C> inline constexpr bool is_cast = false;
template <class W> inline constexpr bool is_cast<cast<W>> = true;
template <class C> inline constexpr std::size_t alignment_of_messages = 4;
template <class W> inline constexpr std::size_t alignment_of_messages<cast<W>> = sizeof(W) < 4 ? 2 : 4;
template <class C> constexpr void explain_codec() {
  static_assert(runs_on_device<C>,
                "tutti::cuda::encode: this codec runs on the host alone - use int8_block, fp8_block, "
                "sign_block, or cast inside of error_feedback, or encode on the host");
  static_assert(
      !runs_on_device<C> || codes_in_kernels<C>,
      "tutti::cuda::encode: kernels take codecs of blocks of 128 or 256 values - use int8_block, fp8_block or "
      "sign_block");
}

template <class Built, class Code, std::size_t Block, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks) encode_kernel(kernels::encoding<T> of) {
  __shared__ kernels::block_scratch<tuning::lanes, Code::signs> scratch;
  device_block<tuning::lanes> block;
  kernels::encode<Code, Block>(block, scratch, of);
}
template <class Built, class T, class W>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    cast_kernel(kernels::rounding_with_memory<T, W> of) {
  device_block<tuning::lanes> block;
  kernels::cast_with_memory(block, of);
}

/// Messages of ranks as kernel parameters.
struct messages {
  const std::byte* wires[tuning::static_contributions];
  int count;
};
template <class Built, class Code, std::size_t Block, class R, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    decode_kernel(R reducer, const __grid_constant__ messages from, T* out, std::size_t n, double total) {
  device_block<tuning::lanes> block;
  kernels::decode_and_reduce<Code, Block>(block, reducer, from.wires, from.count, out, n, total);
}

template <class Built, class R, class T, class W>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    decode_cast_kernel(R reducer,
                       const __grid_constant__ kernels::rounded_messages<T, W, tuning::static_contributions> of,
                       double total) {
  device_block<tuning::lanes> block;
  kernels::decode_and_reduce(block, reducer, of, total);
}

/// A message of that length, that begins where the numbers in it may.
inline void require_message(const char* call, const device_span<const std::byte>& wire, std::size_t bytes,
                            std::size_t alignment = 4) {
  const auto refuse = [&](std::string why) {
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = std::move(why)}};
  };
  if (wire.size() != bytes)
    refuse("a message has " + std::to_string(wire.size()) + " bytes, and codec.bytes<T>(n) is " +
           std::to_string(bytes));
  if (reinterpret_cast<std::uintptr_t>(wire.data()) % alignment != 0)
    refuse("a message begins between two multiples of " + std::string{alignment == 4 ? "four" : "two"} +
           " bytes - begin it on one");
}

inline messages checked_messages(const stream& on, const char* call,
                                 std::span<const device_span<const std::byte>> wires, std::size_t bytes,
                                 std::size_t alignment = 4) {
  if (wires.empty() || wires.size() > tuning::static_contributions)
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .detail = std::to_string(wires.size()) + " messages were given - give 1 to " +
                           std::to_string(tuning::static_contributions)}};
  messages from{{}, int(wires.size())};
  for (std::size_t k = 0; k < wires.size(); ++k) {
    detail::require_one_device(on, call, wires[k]);
    detail::require_message(call, wires[k], bytes, alignment);
    from.wires[k] = wires[k].data();
  }
  return from;
}

/// A warp takes a block of values.
template <std::size_t Block> unsigned warps_for(std::size_t n) {
  return detail::blocks_for((n / Block + (n % Block != 0)) * 32);
}

/// The message of a cast, whose values are aligned, of values as they are.
template <class Built, class T, class W>
void cast_values(const stream& on, const cast<W>&, device_span<const T> values, device_span<std::byte> wire) {
  const device_span<W> to{reinterpret_cast<W*>(wire.data()), values.size(), on.device()};
  cuda::collect<T, W, T, Built>(on, values, to, false, T(1), T(1));
}
template <class Built, class R, class T, class W>
void decode_casts(const stream& on, const cast<W>&, const R& reducer, const messages& from, device_span<T> out) {
  constexpr std::size_t length = kernels::length_of_rounded<T, W>;
  kernels::rounded_messages<T, W, tuning::static_contributions> of{
      {}, from.count, out.data(), out.size(), kernels::head_of(out.size(), length, out.data())};
  for (int k = 0; k < from.count; ++k) {
    of.in[k] = reinterpret_cast<const W*>(from.wires[k]);
    if (kernels::head_of(of.n, length, out.data(), of.in[k]) != of.head) of.head = of.n;
  }
  detail::launch(on, "cuda::decode_and_reduce", detail::packet_blocks(of.n, of.head, length),
                 &decode_cast_kernel<Built, R, T, W>, reducer, of, double(from.count));
}

template <class Built, class C, class T> void encode_blocks(const stream& on, const kernels::encoding<T>& what) {
  using code = typename kernels::code_of<C>::type;
  detail::launch(on, "cuda::encode", detail::warps_for<C::block>(what.n), &encode_kernel<Built, code, C::block, T>,
                 what);
}

} // namespace detail

/// Writes the bytes that codec.encode(values) writes on the host. With a verdict (cuda/norm.cuh) of values that
/// cuda::scale_and_cast has multiplied by its factor, in the same pass; where it is not finite nothing is written.
/// Returns when the work is enqueued; allocates nothing. Cost: one read and one write. Errors: invalid_argument, also
/// for a message that begins between two multiples of four bytes; transport.
template <class C, class T, class Built = detail::built_for>
void encode(const stream& on, const C& codec, device_span<const T> values, device_span<std::byte> wire,
            device_span<const norm_verdict> verdict = {}) {
  detail::explain_codec<C>();
  if constexpr (detail::codes_in_kernels<C>) {
    const char* const call = "cuda::encode";
    detail::require_one_device(on, call, values, wire, verdict);
    detail::require_message(call, wire, codec.template bytes<T>(values.size()));
    detail::require_no_overlap(call, wire, values);
    detail::encode_blocks<Built, C, T>(
        on, {values.data(), nullptr, wire.data(), values.size(), nullptr, nullptr, 0, verdict.data()});
  }
}

/// The same with error feedback around a codec of blocks or a cast: what is sent takes the place of `values`, and what
/// is not is remembered, with the bits of the host. Cost: one more read and write of the memory, and a write of the
/// values.
template <class C, class T, class Built = detail::built_for>
void encode(const stream& on, const error_feedback<C>& codec, const remembered_on_device<accumulator_t<T>>& memory,
            device_span<T> values, device_span<std::byte> wire, device_span<const norm_verdict> verdict = {}) {
  const char* const call = "cuda::encode";
  if (const char* wrong = codec.objection())
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = wrong}};
  detail::require_one_device(on, call, values, wire, memory.before, memory.after, verdict);
  detail::require_message(call, wire, codec.inner.template bytes<T>(values.size()), detail::alignment_of_messages<C>);
  detail::require_length(call, values, memory.before);
  detail::require_length(call, values, memory.after);
  detail::require_apart(call, memory.after, memory.before);
  detail::require_no_overlap(call, values, memory.after);
  detail::require_no_overlap(call, values, memory.before);
  detail::require_no_overlap(call, wire, values);
  detail::require_no_overlap(call, wire, memory.before);
  detail::require_no_overlap(call, wire, memory.after);
  const auto decay = static_cast<accumulator_t<T>>(codec.decay);
  const std::size_t n = values.size();
  if constexpr (detail::is_cast<C>) {
    static_assert(std::floating_point<T>, "tutti::cuda::encode: a cast that remembers takes float or double");
    const auto run = [&]<class W>(const cast<W>&) {
      constexpr std::size_t length = 16 / sizeof(W);
      W* const to = reinterpret_cast<W*>(wire.data());
      const std::size_t head =
          detail::kernels::head_of(n, length, values.data(), to, memory.before.data(), memory.after.data());
      detail::launch(on, call, detail::packet_blocks(n, head, length), &detail::cast_kernel<Built, T, W>,
                     detail::kernels::rounding_with_memory<T, W>{values.data(), to, memory.before.data(),
                                                                 memory.after.data(), values.data(), n, head, decay,
                                                                 verdict.data()});
    };
    run(codec.inner);
  } else {
    detail::explain_codec<C>();
    if constexpr (detail::codes_in_kernels<C>)
      detail::encode_blocks<Built, C, T>(
          on, {values.data(), values.data(), wire.data(), n, memory.before.data(), memory.after.data(), decay,
               verdict.data()});
  }
}

/// out[i] = the fold of what up to 16 messages of out.size() values stand for, in order, lowered once: decoded and
/// reduced in one pass, with the bits of the host. The reducer has no weights. Cost: one read of every message, one
/// write. The codec is one of blocks, or a cast. Errors: invalid_argument, transport.
template <class C, class R, class T, class Built = detail::built_for>
void decode_and_reduce(const stream& on, const C& codec, const R& reducer,
                       std::span<const device_span<const std::byte>> wires, device_span<T> out) {
  if constexpr (!detail::is_cast<C>) detail::explain_codec<C>();
  detail::explain_reducer<R, T>();
  if constexpr ((detail::is_cast<C> || detail::codes_in_kernels<C>) && detail::reduces_in_kernels<R, T>) {
    static_assert(!is_weighted<R>,
                  "tutti::cuda::decode_and_reduce: this reducer has weights - use tutti::sum or tutti::mean");
    const char* const call = "cuda::decode_and_reduce";
    detail::require_one_device(on, call, out);
    const detail::messages from = detail::checked_messages(on, call, wires, codec.template bytes<T>(out.size()),
                                                           detail::alignment_of_messages<C>);
    for (const auto& wire : wires) detail::require_no_overlap(call, out, wire);
    if constexpr (detail::is_cast<C>) {
      detail::decode_casts<Built>(on, codec, reducer, from, out);
    } else {
      using code = typename detail::kernels::code_of<C>::type;
      detail::launch(on, call, detail::warps_for<C::block>(out.size()),
                     &detail::decode_kernel<Built, code, C::block, R, T>, reducer, from, out.data(), out.size(),
                     double(wires.size()));
    }
  }
}

} // namespace tutti::cuda
