// A step of an optimizer out of what ranks have sent: decoded, reduced and applied in one pass over memory.
#pragma once

#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/blocks.hpp>
#include <tutti/kernels/packets.hpp>
#include <tutti/kernels/reduce.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <cstddef>

namespace tutti::detail::kernels {

/// What an optimizer changes.
template <class T, std::size_t Slots> struct updated {
  T* values;
  T* slots[Slots == 0 ? 1 : Slots];
  std::size_t n;
  T factor; ///< gradients are multiplied by it first
};

namespace update_parts {

template <std::size_t Slots, class Moves, class T>
TUTTI_HD T moved(const Moves& moves, const rounding& rounded, T value, T gradient, T factor, T (&state)[Slots + 1]) {
  moves(rounded, value, multiply(rounded, factor, gradient), state);
  return value;
}

} // namespace update_parts

/// One step by the numbers `moves` of an optimizer (optimizers/optimizer.hpp), the gradient being the fold of K
/// contributions. `of.head` is that of all pointers.
template <std::size_t K, std::size_t Slots, class Context, class R, class Moves, class T>
TUTTI_HD void reduce_and_update(Context& ctx, const R& reducer, const rows<T, K>& of, const Moves& moves,
                                const updated<T, Slots>& what) {
  constexpr std::size_t length = packet<T>::length;
  const rounding rounded;
  const auto one = [&](std::size_t i) {
    T all = of.in[0][i], state[Slots + 1] = {};
    for (std::size_t k = 1; k < K; ++k) all = reducer.combine(all, of.in[k][i]);
    for (std::size_t s = 0; s != Slots; ++s) state[s] = what.slots[s][i];
    all = tutti::detail::lower<T>(reducer, all, of.total, i);
    what.values[i] = update_parts::moved<Slots>(moves, rounded, what.values[i], all, what.factor, state);
    for (std::size_t s = 0; s != Slots; ++s) what.slots[s][i] = state[s];
  };
  const auto many = [&](std::size_t i) {
    packet<T> all = load<length>(of.in[0] + i), remembered[Slots + 1];
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t k = 1; k < K; ++k) {
      const packet<T> next = load<length>(of.in[k] + i);
      for (std::size_t j = 0; j < length; ++j) all.values[j] = reducer.combine(all.values[j], next.values[j]);
    }
    for (std::size_t s = 0; s != Slots; ++s) remembered[s] = load<length>(static_cast<const T*>(what.slots[s] + i));
    packet<T> values = load<length>(static_cast<const T*>(what.values + i));
    for (std::size_t j = 0; j < length; ++j) {
      T state[Slots + 1] = {};
      for (std::size_t s = 0; s != Slots; ++s) state[s] = remembered[s].values[j];
      const T g = tutti::detail::lower<T>(reducer, all.values[j], of.total, i + std::size_t(j));
      values.values[j] = update_parts::moved<Slots>(moves, rounded, values.values[j], g, what.factor, state);
      for (std::size_t s = 0; s != Slots; ++s) remembered[s].values[j] = state[s];
    }
    store(what.values + i, values);
    for (std::size_t s = 0; s != Slots; ++s) store(what.slots[s] + i, remembered[s]);
  };
  in_packets<length>(ctx, of.n, of.head, many, one);
}

/// The same, the gradient being the fold of `count` messages of a codec of blocks.
template <class Code, std::size_t Block, std::size_t Slots, class Context, class R, class Moves, std::size_t Most>
TUTTI_HD void decode_reduce_and_update(Context& ctx, const R& reducer, const std::byte* const (&wires)[Most], int count,
                                       double total, const Moves& moves, const updated<float, Slots>& what) {
  namespace parts = coding_parts;
  constexpr std::size_t warps = Context::lanes / 32, bytes = parts::wire_bytes<Code, Block>;
  const rounding rounded;
  const std::size_t blocks = (what.n + Block - 1) / Block;
  ctx.each([&](unsigned lane) {
    for (std::size_t b = ctx.block() * warps + lane / 32; b < blocks; b += ctx.blocks() * warps) {
      const std::size_t begin = b * Block, length = what.n - begin < Block ? what.n - begin : Block;
      float all[Block / 32] = {}, next[Block / 32];
      for (int r = 0; r < count; ++r) {
        parts::decode_values<Code, Block>(wires[r] + b * bytes, lane, length, rounded, next);
        for (unsigned k = 0; k < Block / 32; ++k) all[k] = r == 0 ? next[k] : reducer.combine(all[k], next[k]);
      }
      float values[Block / 32], slots[Slots + 1][Block / 32];
      parts::read_values<Block>(static_cast<const float*>(what.values + begin), lane, length, values);
      for (std::size_t s = 0; s != Slots; ++s)
        parts::read_values<Block>(static_cast<const float*>(what.slots[s] + begin), lane, length, slots[s]);
      parts::each_value<Block>(lane, length, [&](std::size_t i, unsigned k) {
        float state[Slots + 1] = {};
        for (std::size_t s = 0; s != Slots; ++s) state[s] = slots[s][k];
        const float g = tutti::detail::lower<float>(reducer, all[k], total, begin + i);
        values[k] = update_parts::moved<Slots>(moves, rounded, values[k], g, what.factor, state);
        for (std::size_t s = 0; s != Slots; ++s) slots[s][k] = state[s];
      });
      parts::write_values<Block>(what.values + begin, lane, length, values);
      for (std::size_t s = 0; s != Slots; ++s) parts::write_values<Block>(what.slots[s] + begin, lane, length, slots[s]);
    }
  });
}

} // namespace tutti::detail::kernels
