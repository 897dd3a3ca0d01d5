// Whether arithmetic is what the source says: what -ffast-math, -use_fast_math and their parts change, tried out. No
// compiler says reliably by a macro that it was given them.
#pragma once

#include <tutti/core/float16.hpp>
#include <tutti/core/rounded.hpp>

#include <cmath>
#include <cstdint>

namespace tutti::detail::kernels {

/// Numbers that the compiler must not know.
struct trial_numbers {
  float large = 1e8f, one = 1, three = 3, tiny = 1e-40f, two = 2, a = 1 + 0x1p-12f, b = -(1 + 0x1p-11f);
};

/// What is not as it should be, a bit each; 0 where all is.
enum inexact : std::uint32_t { reassociates = 1, flushes = 2, divides = 4, takes_roots = 8, fuses = 16 };

TUTTI_HD inline std::uint32_t inexactness(const trial_numbers& x) {
  const rounding rounded;
  std::uint32_t wrong = 0;
  if ((x.large + x.one) - x.large != 0) wrong |= reassociates;
  if (bits_as<std::uint32_t>(x.tiny * x.one) != 0x000116c2u) wrong |= flushes;
  // An approximation is off in the last place of some of these.
  for (float k = 1; k < 64; k += 2)
    if (bits_as<std::uint32_t>(x.one / (k * x.three)) != bits_as<std::uint32_t>(float(1.0 / double(k * x.three))))
      wrong |= divides;
  for (float k = 1; k < 64; k += 1)
    if (bits_as<std::uint32_t>(std::sqrt(k * x.two)) != bits_as<std::uint32_t>(float(std::sqrt(double(k * x.two)))))
      wrong |= takes_roots;
  if (rounded(x.a * x.a) + x.b != 0) wrong |= fuses; // exactly a^2 is -b + 2^-24
  return wrong;
}

} // namespace tutti::detail::kernels
