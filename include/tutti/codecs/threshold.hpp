// threshold: what is large enough, as one size.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace tutti {

/// x becomes t where x >= t, -t where x <= -t and 0 between, t being `magnitude`: with error feedback a value is sent
/// when enough of it has come together (Strom, "Scalable distributed DNN training using commodity GPU cloud computing",
/// Interspeech 2015, section 2; two bits a value whatever is sent, so that messages have one length). Error of a value:
/// |x| below t, |x| - t from there on. Biased: it needs error feedback. Results travel in the same way, and who finishes
/// them remembers the rest; over `one_shot` they are what has been sent. A NaN or an infinity arrives as a NaN.
/// Deterministic. ceil(n / 4) bytes. Cost: one read of the values.
struct threshold {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr bool biased = true;
  static constexpr bool sparse = true;
  static constexpr std::size_t block = 256;

  float magnitude = .5f; ///< in the units of what is sent

  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return (n + 3) / 4;
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    const T* const from = values.data();
    const std::size_t whole = values.size() / 4, rest = values.size() % 4;
    for (std::size_t i = 0; i < whole; ++i) {
      unsigned four = 0;
      for (unsigned k = 0; k < 4; ++k) four |= code(from[4 * i + k]) << (2 * k);
      out[i] = static_cast<std::byte>(four);
    }
    if (rest == 0) return;
    unsigned last = 0;
    for (unsigned k = 0; k < rest; ++k) last |= code(from[4 * whole + k]) << (2 * k);
    out[whole] = static_cast<std::byte>(last);
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    const std::array<T, 4> all{T{}, detail::value_of<T>(magnitude), detail::value_of<T>(-magnitude),
                               detail::value_of<T>(std::numeric_limits<float>::quiet_NaN())};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = all[std::to_integer<unsigned>(in[i / 4]) >> (2 * (i % 4)) & 3];
  }
  const char* objection() const noexcept {
    return magnitude > 0 && magnitude <= (std::numeric_limits<float>::max)()
               ? nullptr
               : "threshold::magnitude is not above 0 and finite - give what is large enough to be sent";
  }

private:
  template <class T>
  unsigned code(T value) const noexcept {
    const float x = detail::float_of(value);
    const bool is_no_number = detail::magnitude(x) >= detail::infinite_magnitude;
    return unsigned(x >= magnitude || is_no_number) | unsigned(x <= -magnitude || is_no_number) << 1;
  }
};

} // namespace tutti
