// A step of an optimizer out of contributions, or messages, in device memory: reduced and applied in one pass.
#pragma once

#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/contributions.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/update.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace tutti::cuda {

/// Parameters and what an optimizer remembers of each, which begins as 0.
template <class T, std::size_t Slots> struct device_parameters {
  device_span<T> values;
  std::array<device_span<T>, Slots> slots;
};

namespace detail {

template <class Built, std::size_t K, std::size_t Slots, class R, class Moves, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::column_blocks)
    update_kernel(R reducer, kernels::rows<T, K> of, Moves moves, kernels::updated<T, Slots> what) {
  device_block<tuning::lanes> block;
  kernels::reduce_and_update<K, Slots>(block, reducer, of, moves, what);
}
template <class Built, class Code, std::size_t Block, std::size_t Slots, class R, class Moves>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::column_blocks)
    decode_and_update_kernel(R reducer, const __grid_constant__ messages from, double total, Moves moves,
                             kernels::updated<float, Slots> what) {
  device_block<tuning::lanes> block;
  kernels::decode_reduce_and_update<Code, Block, Slots>(block, reducer, from.wires, from.count, total, moves, what);
}

template <class O> constexpr void explain_optimizer() {
  static_assert(runs_on_device<O>,
                "tutti::cuda::update: this optimizer runs on the host alone - let at() return a struct "
                "whose operator() is marked TUTTI_HD, and say static constexpr tutti::execution runs = "
                "tutti::execution::both");
}

template <class T, std::size_t Slots>
kernels::updated<T, Slots> checked(const stream& on, const char* call, const device_parameters<T, Slots>& of,
                                   T factor) {
  kernels::updated<T, Slots> what{of.values.data(), {}, of.values.size(), factor};
  detail::require_one_device(on, call, of.values);
  for (std::size_t s = 0; s != Slots; ++s) {
    detail::require_one_device(on, call, of.slots[s]);
    detail::require_length(call, of.values, of.slots[s]);
    detail::require_no_overlap(call, of.values, of.slots[s]);
    for (std::size_t r = 0; r < s; ++r) detail::require_no_overlap(call, of.slots[r], of.slots[s]);
    what.slots[s] = of.slots[s].data();
  }
  return what;
}

/// What is read is not changed.
template <class T, std::size_t Slots, class In>
void require_unchanged(const char* call, const device_parameters<T, Slots>& of, std::span<const device_span<In>> in) {
  for (const auto& one : in) {
    detail::require_no_overlap(call, of.values, one);
    for (const auto& slot : of.slots) detail::require_no_overlap(call, slot, one);
  }
}

template <std::size_t K, class Built, class R, class O, class T, std::size_t Slots>
void update_static(const stream& on, const R& reducer, std::span<const device_span<const T>> in, const O& optimizer,
                   std::int64_t step, const device_parameters<T, Slots>& of, T factor) {
  if constexpr (K > 1)
    if (in.size() < std::size_t(K))
      return detail::update_static<K / 2, Built>(on, reducer, in, optimizer, step, of, factor);
  const char* const call = "cuda::update";
  const auto what = detail::checked(on, call, of, factor);
  auto rows = detail::rows_of<K, T>(in, of.values, double(K));
  constexpr std::size_t length = kernels::packet<T>::length;
  for (const auto& slot : of.slots)
    if (kernels::head_of(rows.n, length, of.values.data(), slot.data()) != rows.head) rows.head = rows.n;
  const auto moves = optimizer.template at<T>(step);
  detail::launch(on, call, detail::packet_blocks(rows.n, rows.head, length),
                 &update_kernel<Built, K, Slots, R, std::remove_const_t<decltype(moves)>, T>, reducer, rows, moves,
                 what);
}

} // namespace detail

/// One step of `optimizer` (steps count from 1), in place, by `factor` times the fold of 1, 2, 4 or 8 contributions;
/// other numbers are reduced first (cuda::reduce). The bits of the reduction and tutti::update on the host. Nothing may
/// overlap. Whether the gradient is finite is to be known before: a step that is left out must not be counted. Returns
/// when the work is enqueued; allocates nothing. Cost: one read of each contribution, and of parameters and slots one
/// read and one write. Errors: invalid_argument, transport.
template <class R, class O, class T, class Built = detail::built_for>
void update(const stream& on, const R& reducer, std::span<const device_span<const T>> in, const O& optimizer,
            std::int64_t step, const device_parameters<T, slots_of<O>>& of, T factor = 1) {
  detail::explain_reducer<R, T>();
  detail::explain_optimizer<O>();
  if constexpr (detail::reduces_in_kernels<R, T> && runs_on_device<O>) {
    static_assert(tutti::detail::plain_lift<R, T>,
                  "tutti::cuda::update: this reducer lifts or weighs - use tutti::sum or tutti::mean");
    const std::size_t k = in.size();
    if (k != 1 && k != 2 && k != 4 && k != 8)
      throw error{
          {.code = error_code::invalid_argument,
           .call = "cuda::update",
           .detail = std::to_string(k) + " contributions were given - give 1, 2, 4 or 8, or reduce them first"}};
    for (const auto& one : in) {
      detail::require_length("cuda::update", of.values, one);
      detail::require_one_device(on, "cuda::update", one);
    }
    detail::require_unchanged("cuda::update", of, in);
    detail::update_static<8, Built>(on, reducer, in, optimizer, step, of, factor);
  }
}

/// The same out of up to 16 messages of a codec of blocks.
template <class C, class R, class O, class Built = detail::built_for>
void decode_and_update(const stream& on, const C& codec, const R& reducer,
                       std::span<const device_span<const std::byte>> wires, const O& optimizer, std::int64_t step,
                       const device_parameters<float, slots_of<O>>& of, float factor = 1) {
  detail::explain_codec<C>();
  detail::explain_reducer<R, float>();
  detail::explain_optimizer<O>();
  if constexpr (detail::codes_in_kernels<C> && detail::reduces_in_kernels<R, float> && runs_on_device<O>) {
    const char* const call = "cuda::decode_and_update";
    const detail::messages from =
        detail::checked_messages(on, call, wires, codec.template bytes<float>(of.values.size()));
    detail::require_unchanged(call, of, wires);
    const auto what = detail::checked(on, call, of, factor);
    const auto moves = optimizer.template at<float>(step);
    using code = typename detail::kernels::code_of<C>::type;
    detail::launch(
        on, call, detail::warps_for<C::block>(what.n),
        &detail::decode_and_update_kernel<Built, code, C::block, slots_of<O>, R, std::remove_const_t<decltype(moves)>>,
        reducer, from, double(wires.size()), moves, what);
  }
}

} // namespace tutti::cuda
