// random_k: values at random places, the same on all ranks, so that no indices travel.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/chosen_values.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace tutti {

/// A message is cut into k = ceil(fraction n) stretches as equal as can be, and of each one value arrives, drawn with equal
/// probability; all others arrive as zeros. `Values` is what they travel as, as in top_k. So exactly k do, and as they
/// are, with E |x - C(x)|^2 <= (1 - 1/ceil(n/k)) |x|^2, it is a contraction as rand-k is (Stich, Cordonnier, Jaggi,
/// "Sparsified SGD with memory", NeurIPS 2018, lemma A.1), without a selection or a sort. Places are drawn by seed,
/// exchange and the place of the message: the same on all ranks, and new in every exchange - give another seed, or a
/// codec_memory that counts exchanges, to each call; trainers count. Finished results have the same places, and lose
/// nothing but what `Values` loses. Biased: it needs error feedback. A NaN or an infinity anywhere in a message makes NaNs
/// of all that arrives. Deterministic.
template <codec Values>
struct basic_random_k {
  static_assert(sizeof(detail::chosen_values_sentence<Values>) > 0);
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr bool biased = true;
  static constexpr bool sparse = true;
  static constexpr bool keeps_results = Values::kind == codec_kind::exact;

  double fraction = .01;
  std::uint64_t seed = 0;

  constexpr std::size_t kept(std::size_t n) const noexcept { return detail::share_of(fraction, n); }
  /// Of k values, by `Values`.
  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return Values{}.template bytes<T>(kept(n));
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out, const coding& at) const {
    const bool is_finite = detail::largest_magnitude(values.data(), values.size()) < detail::infinite_magnitude;
    const T none = detail::value_of<T>(std::numeric_limits<float>::quiet_NaN());
    detail::chosen_writer<T, Values> chosen{out};
    places drawn{*this, values.size(), at};
    for (std::size_t k = kept(values.size()); k-- > 0;) {
      const std::size_t i = drawn.next();
      chosen.put(is_finite ? values[i] : none);
    }
    chosen.flush();
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out, const coding& at) const {
    reader<T>(in, out.size(), at).read(0, out);
  }
  /// Decodes n values piece by piece.
  template <element T>
  auto reader(const std::byte* in, std::size_t n, const coding& at) const {
    return detail::sparse_reader<T, Values, places>{{*this, n, at}, in, kept(n)};
  }
  const char* objection() const noexcept { return fraction > 0 && fraction <= 1 ? nullptr : detail::refused_fraction; }

private:
  /// One in each stretch.
  struct places {
    places(const basic_random_k& of, std::size_t n, const coding& at)
        : length{n / (std::max)(of.kept(n), std::size_t{1})}, longer{n - length * of.kept(n)},
          draw{of.seed, std::uint32_t(at.exchange), at.first} {}

    std::size_t next() {
      const std::size_t here = length + (longer > 0 ? 1 : 0);
      longer -= longer > 0 ? 1 : 0;
      return std::exchange(begin, begin + here) + (here > 1 ? draw.below(std::uint32_t(here)) : 0);
    }

    std::size_t length, longer, begin = 0; ///< how many stretches are longer by one
    random_stream draw;
  };
};
using random_k = basic_random_k<identity>;

} // namespace tutti
