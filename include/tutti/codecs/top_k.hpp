// top_k: the values of largest magnitude, and where they stand.
#pragma once

#include <tutti/codecs/chosen_values.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/selection.hpp>
#include <tutti/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

namespace tutti {

namespace detail {

/// How many of n a fraction is, rounded up: at least one, if there is any.
constexpr std::size_t share_of(double fraction, std::size_t n) noexcept {
  const double some = fraction * double(n);
  if (!(some < double(n))) return n;
  const auto whole = some > 0 ? static_cast<std::size_t>(some) : 0;
  const std::size_t k = whole + (double(whole) < some);
  return k == 0 && n > 0 ? 1 : k;
}

/// Rising indices of 32 bits, one behind the other, below n.
struct listed_places {
  const std::byte* in = nullptr;
  std::size_t n = 0, least = 0;

  std::size_t next() {
    std::uint32_t index;
    std::memcpy(&index, std::exchange(in, in + sizeof index), sizeof index);
    if (index < least || index >= n) detail::refuse_message("the indices of top_k do not rise within the values");
    least = std::size_t{index} + 1;
    return index;
  }
};

inline constexpr const char* refused_fraction =
    "the fraction of a sparse codec is not in (0, 1] - give what part of the values is sent, .01 say";

} // namespace detail

/// The k = ceil(fraction n) values of largest magnitude of each message arrive, all others as zeros; exactly k, of equal
/// magnitudes those with the lowest index (Aji, Heafield, "Sparse communication for distributed gradient descent", EMNLP
/// 2017). `Values` is what the chosen ones travel as: identity, or a codec that quantises them, in blocks of its own. As they
/// are, |x - C(x)|^2 <= (1 - k/n) |x|^2 (Stich, Cordonnier, Jaggi, NeurIPS 2018, lemma A.1); otherwise what `Values` loses
/// of the chosen comes to it. Biased: it needs error feedback. On `direct` and `star` a message is what one rank
/// contributes to one shard; finished results carry all that the ranks have sent, and lose nothing but what `Values`
/// loses, which who finishes them remembers. NaNs and infinities are the largest of all, and arrive as `Values` has it.
/// Where indices would cost more than what they save, all places travel, those of the others as zeros. Deterministic.
/// Cost: the values are read four times (double seven).
template <codec Values>
struct basic_top_k {
  static_assert(sizeof(detail::chosen_values_sentence<Values>) > 0);
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr bool biased = true;
  static constexpr bool sparse = true;
  static constexpr bool keeps_results = Values::kind == codec_kind::exact;

  double fraction = .01;
  int contributions = 1; ///< in a message: of finished results as many as there are ranks

  constexpr std::size_t kept(std::size_t n) const noexcept {
    const std::size_t k = detail::share_of(fraction, n);
    return k < n / std::size_t(contributions) ? k * std::size_t(contributions) : (std::min)(n, k * std::size_t(contributions));
  }
  /// min(of n values, 4 k + of k values), by `Values`.
  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return is_dense<T>(n) ? Values{}.template bytes<T>(n) : sparse_bytes<T>(n);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const {
    const std::size_t n = values.size(), k = kept(n);
    if (n > (std::numeric_limits<std::uint32_t>::max)())
      throw error{{.code = error_code::unsupported,
                   .detail = "top_k has indices of 32 bits, and a message more values - use smaller buckets"}};
    const bool is_dense = basic_top_k::is_dense<T>(n);
    detail::chosen_writer<T, Values> chosen{out + (is_dense ? 0 : k * sizeof(std::uint32_t))};
    std::size_t next = 0; // place that is written where all are
    detail::each_largest<T>(values, k, [&](std::size_t i) {
      if (is_dense) {
        chosen.zeros(i - std::exchange(next, i + 1));
      } else {
        const auto index = static_cast<std::uint32_t>(i);
        std::memcpy(out, &index, sizeof index);
        out += sizeof index;
      }
      chosen.put(values[i]);
    });
    if (is_dense) chosen.zeros(n - next);
    chosen.flush();
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const {
    reader<T>(in, out.size()).read(0, out);
  }
  /// Decodes n values piece by piece.
  template <element T>
  auto reader(const std::byte* in, std::size_t n) const {
    using type = detail::sparse_reader<T, Values, detail::listed_places>;
    const std::size_t k = kept(n);
    return is_dense<T>(n) ? type{in} : type{{in, n}, in + k * sizeof(std::uint32_t), k};
  }

  basic_top_k results(int ranks) const { return {fraction, contributions * ranks}; }
  const char* objection() const noexcept { return fraction > 0 && fraction <= 1 ? nullptr : detail::refused_fraction; }

private:
  template <class T>
  constexpr std::size_t sparse_bytes(std::size_t n) const noexcept {
    return kept(n) * sizeof(std::uint32_t) + Values{}.template bytes<T>(kept(n));
  }
  template <class T>
  constexpr bool is_dense(std::size_t n) const noexcept {
    return sparse_bytes<T>(n) >= Values{}.template bytes<T>(n);
  }
};
using top_k = basic_top_k<identity>;

} // namespace tutti
