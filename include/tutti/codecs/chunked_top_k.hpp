// chunked_top_k: of every 4,096 values the largest ones, with indices of twelve bits.
#pragma once

#include <tutti/codecs/chosen_values.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/selection.hpp>
#include <tutti/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

namespace tutti {

namespace detail {

/// Indices below 4,096, two in three bytes, the first in the low bits; of an odd number the last has two bytes.
class packed_indices {
public:
  static constexpr std::size_t bytes(std::size_t k) noexcept { return (12 * k + 7) / 8; }

  static void put(std::byte* to, std::size_t j, std::size_t index) noexcept {
    std::byte* const at = to + j / 2 * 3;
    if (j % 2 == 0) {
      at[0] = static_cast<std::byte>(index & 255);
      at[1] = static_cast<std::byte>(index >> 8);
    } else {
      at[1] |= static_cast<std::byte>((index & 15) << 4);
      at[2] = static_cast<std::byte>(index >> 4);
    }
  }
  static std::size_t get(const std::byte* from, std::size_t j) noexcept {
    const std::byte* const at = from + j / 2 * 3;
    const auto low = std::to_integer<std::size_t>(at[j % 2]), high = std::to_integer<std::size_t>(at[j % 2 + 1]);
    return j % 2 == 0 ? low | (high & 15) << 8 : low >> 4 | high << 4;
  }
};

} // namespace detail

/// Of every 4,096 values of a message the `kept` ones of largest magnitude arrive, all others as zeros; of a shorter rest
/// as many in proportion, rounded up; of equal magnitudes those with the lowest index (SparseLoCo, arXiv 2508.15706,
/// section 3). So nothing is selected over the whole message, which is read once from memory, and an index costs twelve
/// bits. `Values`, bounds and all else are as in top_k, of each chunk: as they are, |x - C(x)|^2 <= (1 - kept / 4096)
/// |x|^2. Biased: it needs error feedback. Deterministic.
template <codec Values>
struct basic_chunked_top_k {
  static_assert(sizeof(detail::chosen_values_sentence<Values>) > 0);
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr bool biased = true;
  static constexpr bool sparse = true;
  static constexpr bool keeps_results = Values::kind == codec_kind::exact;
  static constexpr std::size_t chunk = 4096;

  int kept = 64;
  int contributions = 1; ///< in a message: of finished results as many as there are ranks

  /// Of `length` values, at most a chunk of them.
  constexpr std::size_t kept_of(std::size_t length) const noexcept {
    const std::size_t k = (std::size_t(kept) * length + chunk - 1) / chunk;
    return (std::min)(length, k * std::size_t(contributions));
  }
  /// min(of n values, of the kept ones), by `Values`, these with ceil(12 k / 8) bytes for the k indices of each chunk.
  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return is_dense<T>(n) ? Values{}.template bytes<T>(n) : sparse_bytes<T>(n);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const {
    const bool is_dense = basic_chunked_top_k::is_dense<T>(values.size());
    detail::chosen_writer<T, Values> chosen{out + (is_dense ? 0 : index_bytes(values.size()))};
    each_chunk(values, [&](std::span<const T> piece, std::size_t k) {
      std::size_t j = 0, next = 0; // place that is written where all are
      detail::each_largest<T>(piece, k, [&](std::size_t i) {
        if (is_dense)
          chosen.zeros(i - std::exchange(next, i + 1));
        else
          detail::packed_indices::put(out, j++, i);
        chosen.put(piece[i]);
      });
      if (is_dense)
        chosen.zeros(piece.size() - next);
      else
        out += detail::packed_indices::bytes(k);
    });
    chosen.flush();
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const {
    reader<T>(in, out.size()).read(0, out);
  }
  /// Decodes n values piece by piece.
  template <element T>
  auto reader(const std::byte* in, std::size_t n) const {
    using type = detail::sparse_reader<T, Values, places>;
    return is_dense<T>(n) ? type{in} : type{{this, in, n}, in + index_bytes(n), chosen_of(n)};
  }

  basic_chunked_top_k results(int ranks) const { return {kept, contributions * ranks}; }
  const char* objection() const noexcept {
    return kept >= 1 && std::size_t(kept) <= chunk ? nullptr
                                                   : "chunked_top_k::kept is not in 1 to 4096 - give how many of every "
                                                     "4,096 values are sent, 64 say";
  }

private:
  /// Those of chunk after chunk, below n.
  struct places {
    const basic_chunked_top_k* codec = nullptr;
    const std::byte* in = nullptr; ///< the indices of the chunk
    std::size_t n = 0, begin = 0, j = 0, least = 0;

    std::size_t next() {
      for (; j == codec->kept_of(length()); j = least = 0) {
        in += detail::packed_indices::bytes(j);
        begin += chunk;
      }
      const std::size_t index = detail::packed_indices::get(in, j++);
      if (index < least || index >= length())
        detail::refuse_message("the indices of chunked_top_k do not rise within their chunk");
      least = index + 1;
      return begin + index;
    }
    std::size_t length() const noexcept { return (std::min)(chunk, n - begin); }
  };

  template <class V, class Use>
  void each_chunk(std::span<V> values, Use&& use) const {
    for (std::size_t begin = 0; begin < values.size(); begin += chunk) {
      const std::size_t length = (std::min)(chunk, values.size() - begin);
      use(values.subspan(begin, length), kept_of(length));
    }
  }
  constexpr std::size_t index_bytes(std::size_t n) const noexcept {
    return n / chunk * detail::packed_indices::bytes(kept_of(chunk)) + detail::packed_indices::bytes(kept_of(n % chunk));
  }
  constexpr std::size_t chosen_of(std::size_t n) const noexcept { return n / chunk * kept_of(chunk) + kept_of(n % chunk); }
  template <class T>
  constexpr std::size_t sparse_bytes(std::size_t n) const noexcept {
    return index_bytes(n) + Values{}.template bytes<T>(chosen_of(n));
  }
  template <class T>
  constexpr bool is_dense(std::size_t n) const noexcept {
    return sparse_bytes<T>(n) >= Values{}.template bytes<T>(n);
  }
};
using chunked_top_k = basic_chunked_top_k<identity>;

} // namespace tutti
