// All loops over elements: folds, lifts and lowers, block by block or line by line.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/streaming.hpp>
#include <tutti/communicators/signals.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/config.hpp>
#include <tutti/core/lanes.hpp>
#include <tutti/core/widely.hpp>
#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace tutti::detail {

/// Loops run in blocks of a constant length: short enough for the L1 cache, and vectorised at -O2 too,
/// where g++ takes no other loops - provided that it sees that input and output do not overlap, so
/// each has its block in a function of its own with __restrict. (8,192 floats added: 14,700
/// instructions, as a plain loop 49,200.)
inline constexpr std::size_t block_length = 256;
/// Of longer elements fewer, so that a block stays on the stack.
template <class... Elements>
inline constexpr std::size_t block_of =
    4096 / (std::max)({std::size_t{4096 / block_length}, (std::min)(sizeof(Elements), std::size_t{4096})...});

/// Cache line by cache line, each after a fetch(begin) 2 KiB before its turn, so that lines of another core
/// are on their way while others are worked on: 128 KiB folded on two ranks take 10.6 us with 256 bytes
/// ahead, 7.8 with 512, 6.6 from 1 KiB on, and 17 with none; 2 MiB 103 with 1 KiB and 84 with 2. Stores to
/// one line belong together: 64 bytes to each of two places take 4.7 ns, 16 to each in turn 9.4. (Xeon)
template <class T, class Fetch, class Body>
constexpr void in_lines(std::size_t n, Fetch&& fetch, Body&& body) {
  static_assert(64 % sizeof(T) == 0);
  constexpr std::integral_constant<std::size_t, 64 / sizeof(T)> line{};
  constexpr std::size_t ahead = 2048 / sizeof(T);
  for (std::size_t begin = 0; begin < (std::min)(n, ahead); begin += line) fetch(begin);
  std::size_t begin = 0;
  for (; begin + line <= n; begin += line) {
    if (begin + ahead < n) fetch(begin + ahead);
    body(begin, line);
  }
  if (begin < n) body(begin, n - begin);
}

/// inout = combine(in, inout) or combine(inout, in).
template <bool OwnFirst, class R, class A, class Count>
void fold_block(const R& r, const A* __restrict in, A* __restrict inout, Count n) {
  TUTTI_UNFUSED
  for (std::size_t i = 0; i < n; ++i)
    inout[i] = OwnFirst ? r.combine(inout[i], in[i]) : r.combine(in[i], inout[i]);
}

template <bool OwnFirst, class R, class A>
void fold_into(const R& r, const A* in, A* inout, std::size_t n) {
  in_blocks<block_of<A>>(n, [&](std::size_t begin, auto count) {
    detail::fold_block<OwnFirst>(r, in + begin, inout + begin, count);
  });
}

/// A block more in a fold of many. Not inlined: g++ 12 at -O3 would unroll the loop over the inputs
/// and no longer vectorise (8 inputs of 4,096 floats: 5.8 us against 2.3).
template <class R, class A, class Count>
[[gnu::noinline]] void fold_one_more(const R& r, const A* in, A* partial, Count n) {
  detail::fold_block<true>(r, in, partial, n);
}

/// The left fold of any number of inputs, one of which may be `out` itself.
template <class R, class A>
void fold_all(const R& r, std::span<const std::byte* const> in, A* out, std::size_t n) {
  in_blocks<block_of<A>>(n, [&](std::size_t begin, auto count) {
    A partial[block_of<A>];
    const A* first = reinterpret_cast<const A*>(in[0]) + begin;
    for (std::size_t i = 0; i < count; ++i) partial[i] = first[i];
    for (std::size_t k = 1; k < in.size(); ++k)
      detail::fold_one_more(r, reinterpret_cast<const A*>(in[k]) + begin, partial, count);
    for (std::size_t i = 0; i < count; ++i) out[begin + i] = partial[i];
  });
}

template <class R, class A>
void fold_accumulators(const R& r, std::span<const std::byte* const> in, std::byte* out,
                       std::size_t n) {
  A* to = reinterpret_cast<A*>(out);
  if (in.size() == 2 && in[0] == out)
    detail::fold_into<true>(r, reinterpret_cast<const A*>(in[1]), to, n);
  else if (in.size() == 2 && in[1] == out)
    detail::fold_into<false>(r, reinterpret_cast<const A*>(in[0]), to, n);
  else
    detail::fold_all(r, in, to, n);
}

/// Of what weighs nothing, the identity.
template <class R, element T, class A, class Count>
void lift_block(const R& r, const T* __restrict values, A* __restrict accumulators, Count n,
                std::size_t first, double weight) {
  TUTTI_UNFUSED
  if constexpr (is_weighted<R> && folding_reducer<R, T>)
    if (weight == 0) {
      for (std::size_t i = 0; i < n; ++i) accumulators[i] = r.template identity<A>();
      return;
    }
  for (std::size_t i = 0; i < n; ++i)
    accumulators[i] = detail::lift<R, T>(r, values[i], weight, first + i);
}

template <class R, element T, class A, class Count>
void lower_block(const R& r, const A* __restrict accumulators, T* __restrict values, Count n,
                 std::size_t first, double total) {
  TUTTI_UNFUSED
  for (std::size_t i = 0; i < n; ++i)
    values[i] = detail::lower<T>(r, accumulators[i], total, first + i);
}

/// What reads the messages of a codec piece by piece; nothing where it does not.
template <class C, class T>
struct reader_of {
  using type = std::byte;
};
template <class C, class T>
  requires reads_in_order<C, T>
struct reader_of<C, T> {
  using type = decltype(std::declval<const C&>().template reader<T>(nullptr, 0));
};

/// The contributions to n elements, decoded: block by block where the codec allows it, else all of each. A is what
/// they are lifted to. Blocks of one contribution are asked for in their order.
template <element T, class A, class C>
class decoded_contributions {
  static constexpr bool cut = codec_block<C> > 0 && block_of<T, A> % (std::max)(codec_block<C>, std::size_t{1}) == 0;
  static constexpr bool reads = !cut && reads_in_order<C, T> && block_of<T, A> % 256 == 0;

public:
  decoded_contributions(const C& codec, std::span<const std::byte* const> wires, std::size_t n)
      : codec_{codec}, wires_{wires}, n_{n} {
    if constexpr (reads) {
      readers_.reserve(wires.size());
      for (const std::byte* wire : wires) readers_.push_back(codec.template reader<T>(wire, n));
    } else if constexpr (!cut) {
      whole_.resize(wires.size() * n);
      for (std::size_t k = 0; k < wires.size(); ++k)
        codec.template decode<T>(wires[k], std::span<T>{whole_}.subspan(k * n, n));
    }
  }
  std::size_t count() const noexcept { return wires_.size(); }

  /// Values [begin, begin + length) of contribution k: where they are, or decoded into `room`.
  const T* block(std::size_t k, std::size_t begin, std::size_t length, T* room) {
    if constexpr (reads) {
      readers_[k].read(begin, std::span<T>{room, length});
      return room;
    } else if constexpr (!cut) {
      return whole_.data() + k * n_ + begin;
    } else if constexpr (C::kind == codec_kind::exact) {
      return reinterpret_cast<const T*>(wires_[k]) + begin;
    } else {
      const std::byte* const wire = wires_[k] + codec_.template bytes<T>(begin);
      if constexpr (requires { codec_.template decode<T>(wire, std::span<T>{}, begin); })
        codec_.template decode<T>(wire, std::span<T>{room, length}, begin);
      else
        codec_.template decode<T>(wire, std::span<T>{room, length});
      return room;
    }
  }

private:
  const C& codec_;
  std::span<const std::byte* const> wires_;
  std::size_t n_;
  std::vector<T> whole_;
  std::vector<typename reader_of<C, T>::type> readers_;
};

/// Whether a reducer has a way of its own to fold contributions that have all met.
template <class R, class T>
concept unites_at_once = requires(const R r, std::span<const T* const> rows, T* out) {
  r.template unite<T>(rows, out, std::size_t{}, 1.0);
};

/// One block of values as they are.
template <class R, element T>
void unite_at_once(const R& r, std::span<const std::byte* const> in, std::size_t begin, T* finished, std::size_t n,
                   double total) {
  TUTTI_UNFUSED
  constexpr std::size_t few = 64;
  const T* on_stack[few];
  std::vector<const T*> on_heap(in.size() > few ? in.size() : 0);
  const T** rows = in.size() > few ? on_heap.data() : on_stack;
  for (std::size_t k = 0; k < in.size(); ++k) rows[k] = reinterpret_cast<const T*>(in[k]) + begin;
  r.template unite<T>(std::span<const T* const>{rows, in.size()}, finished, n, total);
}

/// Folds every contribution to n elements and leaves the finished values. The lifted contribution is
/// written to memory before it is combined, so a weight's multiplication never fuses with the addition.
template <class R, element T, class C>
void unite_by_folding(const R& r, const C& codec, std::span<const std::byte* const> wires,
                      std::span<const double> weights, T* values, std::size_t n, std::size_t first,
                      double total) {
  using A = reducer_accumulator_t<R, T>;
  if constexpr (unites_at_once<R, T> && C::kind == codec_kind::exact) {
    in_blocks<block_of<T>>(n, [&](std::size_t begin, auto count) {
      T finished[block_of<T>]; // the values may be one of the contributions
      detail::unite_at_once<R, T>(r, wires, begin, finished, count, total);
      std::memcpy(values + begin, finished, count * sizeof(T));
    });
    return;
  }
  decoded_contributions<T, A, C> all{codec, wires, n};
  const auto fold = [&] {
    in_blocks<block_of<T, A>>(n, [&](std::size_t begin, auto count) {
      T room[block_of<T>];
      A partial[block_of<T, A>], lifted[block_of<T, A>];
      for (std::size_t k = 0; k < all.count(); ++k) {
        if constexpr (plain_lift<R, T> && std::is_same_v<A, T>) {
          const T* in = all.block(k, begin, count, k == 0 ? partial : room);
          if (k > 0)
            detail::fold_block<true>(r, in, partial, count);
          else if (in != partial)
            std::memcpy(partial, in, count * sizeof(T));
        } else {
          const T* in = all.block(k, begin, count, room);
          const double weight = weights.empty() ? 1.0 : weights[k];
          detail::lift_block<R, T, A>(r, in, k == 0 ? partial : lifted, count, first + begin, weight);
          if (k > 0) detail::fold_block<true>(r, lifted, partial, count);
        }
      }
      detail::lower_block<R, T, A>(r, partial, values + begin, count, first + begin, total);
    });
  };
  if constexpr (C::kind == codec_kind::exact)
    fold();
  else
    detail::widely(fold);
}

template <class R, element T, class C>
void unite_by_gathering(const R& r, const C& codec, std::span<const std::byte* const> wires,
                        std::span<const double> weights, T* values, std::size_t n,
                        std::size_t first, double total) {
  using A = reducer_accumulator_t<R, T>;
  decoded_contributions<T, A, C> all{codec, wires, n};
  constexpr std::size_t length = block_of<T, A>;
  std::vector<A> block(wires.size() * length), column(wires.size());
  T room[block_of<T>];
  std::vector<lanes<A>> columns(gathers_lanes<R> ? wires.size() : 0);
  in_blocks<length>(n, [&](std::size_t begin, auto count) {
    std::size_t rows = 0; // of the contributions that count
    for (std::size_t k = 0; k < all.count(); ++k) {
      const double weight = weights.empty() ? 1.0 : weights[k];
      if constexpr (is_weighted<R>)
        if (weight == 0) continue;
      const T* in = all.block(k, begin, count, room);
      detail::lift_block<R, T, A>(r, in, block.data() + rows++ * length, count, first + begin,
                                  weight);
    }
    constexpr std::size_t width = lanes<A>::width;
    const std::size_t in_lanes = gathers_lanes<R> ? count / width * width : 0;
    if constexpr (gathers_lanes<R>)
      for (std::size_t i = 0; i < in_lanes; i += width) {
        for (std::size_t k = 0; k < rows; ++k) std::copy_n(&block[k * length + i], width, columns[k].at);
        const lanes<A> united = r.gather(std::span{columns}.first(rows));
        for (std::size_t l = 0; l < width; ++l)
          values[begin + i + l] = detail::lower<T>(r, united.at[l], total, first + begin + i + l);
      }
    for (std::size_t i = in_lanes; i < count; ++i) {
      for (std::size_t k = 0; k < rows; ++k) column[k] = block[k * length + i];
      values[begin + i] = detail::lower<T>(r, r.gather(std::span<A>{column}.first(rows)), total,
                                           first + begin + i);
    }
  });
}

template <class R, element T, class Count>
void fold_pair(const R& r, const T* __restrict first, const T* __restrict second,
               T* __restrict finished, Count n) {
  TUTTI_UNFUSED
  for (std::size_t i = 0; i < n; ++i) finished[i] = r.combine(first[i], second[i]);
}

/// One block of a fold of values that need neither lift nor lower.
template <class R, element T, class Count>
void fold_values(const R& r, std::span<const std::byte* const> in, std::size_t begin,
                 T* __restrict finished, Count n) {
  const auto row = [&](std::size_t k) { return reinterpret_cast<const T*>(in[k]) + begin; };
  const T* __restrict first = row(0);
  if (in.size() == 1) {
    for (std::size_t i = 0; i < n; ++i) finished[i] = first[i];
    return;
  }
  detail::fold_pair(r, first, row(1), finished, n);
  for (std::size_t k = 2; k < in.size(); ++k) detail::fold_one_more(r, row(k), finished, n);
}

/// The fold of two contributions that need neither lift nor lower, while the places of the lines ahead are
/// fetched as their owner. (In blocks of 1 KiB that are folded, and then copied to their places, nothing
/// is on its way meanwhile: 64 KiB on two ranks 4.5 us against 3.5, 512 KiB 25 and 17 to 23. Xeon.)
template <std::size_t Places, class R, element T>
void spread_pair(const R& r, const T* first, const T* second, std::byte* const* out, std::size_t n) {
  T* to[Places];
  for (std::size_t k = 0; k < Places; ++k) to[k] = reinterpret_cast<T*>(out[k]);
  T finished[64 / sizeof(T)];
  detail::in_lines<T>(
      n,
      [&](std::size_t begin) {
        for (T* place : to) detail::claim_line(reinterpret_cast<const std::byte*>(place + begin));
      },
      [&](std::size_t begin, auto count) {
        detail::fold_pair(r, first + begin, second + begin, finished, count);
        for (T* place : to) std::memcpy(place + begin, finished, count * sizeof(T));
      });
}

template <class R, element T>
void spread_values(const R& r, std::span<const std::byte* const> in,
                   std::span<const double> weights, std::span<std::byte* const> out, std::size_t n,
                   std::size_t first, double total, stores how) {
  constexpr identity exact{};
  using A = std::conditional_t<unites_at_once<R, T>, T, reducer_accumulator_t<R, T>>; // what a block holds
  if constexpr (folding_reducer<R, T> && plain_lift<R, T> && plain_lower<R, T> &&
                64 % sizeof(T) == 0)
    if (in.size() == 2 && out.size() <= 2 && how != stores::streaming) {
      const T* const one = reinterpret_cast<const T*>(in[0]);
      const T* const other = reinterpret_cast<const T*>(in[1]);
      return out.size() == 1 ? detail::spread_pair<1>(r, one, other, out.data(), n)
                             : detail::spread_pair<2>(r, one, other, out.data(), n);
    }
  in_blocks<block_of<T, A>>(n, [&](std::size_t begin, auto count) {
    if (how == stores::claimed) {
      const std::size_t next = begin + count;
      const std::size_t length = (std::min)(block_of<T, A>, n - next);
      for (std::byte* place : out)
        detail::claim_lines(place + next * sizeof(T), length * sizeof(T));
    }
    alignas(64) T finished[block_of<T, A>];
    if constexpr (folding_reducer<R, T> && plain_lift<R, T> && plain_lower<R, T>) {
      detail::fold_values<R, T>(r, in, begin, finished, count);
    } else if constexpr (unites_at_once<R, T>) {
      detail::unite_at_once<R, T>(r, in, begin, finished, count, total);
    } else {
      const std::byte* rows[most_shared_ranks]; // in each other's memory no more work
      for (std::size_t k = 0; k < in.size(); ++k) rows[k] = in[k] + begin * sizeof(T);
      const std::span<const std::byte* const> block{rows, in.size()};
      if constexpr (folding_reducer<R, T>)
        detail::unite_by_folding<R, T>(r, exact, block, weights, finished, count, first + begin,
                                       total);
      else
        detail::unite_by_gathering<R, T>(r, exact, block, weights, finished, count, first + begin,
                                         total);
    }
    for (std::byte* place : out)
      detail::store_bytes(place + begin * sizeof(T), reinterpret_cast<const std::byte*>(finished),
                          count * sizeof(T), how);
  });
}

} // namespace tutti::detail
