// prime_field: whole numbers modulo a prime.
#pragma once

#include <compare>
#include <cstdint>

namespace tutti::secure {

namespace detail {

__extension__ typedef unsigned __int128 wide_word;

} // namespace detail

/// A number modulo P, a prime below 2^62 (that it is one is not checked). Multiplication takes no division where P is
/// 2^k - 1.
template <std::uint64_t P>
class prime_field {
  static_assert(P >= 2 && P < std::uint64_t{1} << 62, "tutti::secure::prime_field: give a prime below 2^62");

public:
  static constexpr std::uint64_t prime = P;

  constexpr prime_field() = default;
  constexpr explicit prime_field(std::uint64_t value) : value_{value % P} {}

  constexpr std::uint64_t value() const noexcept { return value_; }
  /// The number that this one times makes 1; 0 of 0.
  constexpr prime_field inverse() const {
    prime_field power{1}, square = *this; // to the P - 2: Fermat
    for (std::uint64_t left = P - 2; left > 0; left >>= 1, square *= square)
      if (left & 1) power *= square;
    return power;
  }

  constexpr prime_field& operator+=(prime_field b) noexcept {
    value_ += b.value_;
    if (value_ >= P) value_ -= P;
    return *this;
  }
  constexpr prime_field& operator-=(prime_field b) noexcept {
    value_ += P - b.value_;
    if (value_ >= P) value_ -= P;
    return *this;
  }
  constexpr prime_field& operator*=(prime_field b) noexcept {
    const detail::wide_word product = detail::wide_word{value_} * b.value_;
    if constexpr ((P & (P + 1)) == 0) { // 2^k is 1: the digits above it are added to those below
      detail::wide_word folded = product;
      while (folded > P) folded = (folded & P) + (folded >> width());
      value_ = folded == P ? 0 : static_cast<std::uint64_t>(folded);
    } else {
      value_ = static_cast<std::uint64_t>(product % P);
    }
    return *this;
  }
  friend constexpr prime_field operator+(prime_field a, prime_field b) noexcept { return a += b; }
  friend constexpr prime_field operator-(prime_field a, prime_field b) noexcept { return a -= b; }
  friend constexpr prime_field operator*(prime_field a, prime_field b) noexcept { return a *= b; }
  friend constexpr auto operator<=>(prime_field, prime_field) = default;

private:
  static constexpr int width() {
    int bits = 0;
    for (std::uint64_t left = P; left > 0; left >>= 1) ++bits;
    return bits;
  }

  std::uint64_t value_ = 0;
};

/// That of the shares of keys.
using mersenne_61 = prime_field<(std::uint64_t{1} << 61) - 1>;

} // namespace tutti::secure
