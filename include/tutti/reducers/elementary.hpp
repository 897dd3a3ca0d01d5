// sum, product, min, max, mean, weighted_mean: the folding reducers. Of complex numbers sum and mean.
//
// Cost: one operation per element and contribution; mean and weighted_mean one division per element.
// Determinism: run_to_run. Integer sums and products wrap modulo 2^n.
#pragma once

#include <tutti/core/limits.hpp>
#include <tutti/reducers/reducer.hpp>

#include <cstdint>

namespace tutti {

namespace detail {

/// Integer arithmetic modulo 2^n, without undefined behaviour.
template <class A, class Operation>
TUTTI_HD constexpr A wrapping(A a, A b, Operation operation) noexcept {
  if constexpr (std::integral<A>) {
    using wide = std::conditional_t<(sizeof(A) < sizeof(unsigned)), unsigned,
                                    std::make_unsigned_t<A>>;
    return static_cast<A>(operation(static_cast<wide>(a), static_cast<wide>(b)));
  } else {
    return operation(a, b);
  }
}

/// The sign bit, also of a zero.
template <std::floating_point A>
TUTTI_HD constexpr bool negative(A x) noexcept {
  using bits = std::conditional_t<sizeof(A) == 4, std::uint32_t, std::uint64_t>;
  return (detail::bits_as<bits>(x) >> (8 * sizeof(A) - 1)) != 0;
}

} // namespace detail

struct sum {
  using part = reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class T>
  static constexpr bool accepts = numeric_element<T>;

  template <class A>
  TUTTI_HD constexpr A identity() const noexcept {
    if constexpr (std::floating_point<A>)
      return -A{0}; // -0 + x is x for every x; +0 + -0 is not -0
    else if constexpr (complex_element<A>)
      return A(-typename A::value_type{0}, -typename A::value_type{0});
    else
      return A{0};
  }
  template <class A>
  TUTTI_HD constexpr A combine(A a, A b) const noexcept {
    return detail::wrapping(a, b, [](auto x, auto y) { return x + y; });
  }
};

struct product {
  using part = reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class T>
  static constexpr bool accepts = numeric_element<T> && !complex_element<T>;

  template <class A>
  TUTTI_HD constexpr A identity() const noexcept {
    return A{1};
  }
  template <class A>
  TUTTI_HD constexpr A combine(A a, A b) const noexcept {
    return detail::wrapping(a, b, [](auto x, auto y) { return x * y; });
  }
};

/// IEEE 754-2019 `minimum`: a NaN if either is, always the canonical one; -0 is less than +0.
struct min {
  using part = reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class T>
  static constexpr bool accepts = numeric_element<T> && !complex_element<T>;

  template <class A>
  TUTTI_HD constexpr A identity() const noexcept {
    return detail::most_of<A>;
  }
  template <class A>
  TUTTI_HD constexpr A combine(A a, A b) const noexcept {
    if constexpr (std::floating_point<A>) {
      if (a != a || b != b) return detail::nan_of<A>;
      if (a == b) return detail::negative(a) ? a : b;
    }
    return b < a ? b : a;
  }
};

/// IEEE 754-2019 `maximum`: a NaN if either is, always the canonical one; +0 is greater than -0.
struct max {
  using part = reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class T>
  static constexpr bool accepts = numeric_element<T> && !complex_element<T>;

  template <class A>
  TUTTI_HD constexpr A identity() const noexcept {
    return detail::least_of<A>;
  }
  template <class A>
  TUTTI_HD constexpr A combine(A a, A b) const noexcept {
    if constexpr (std::floating_point<A>) {
      if (a != a || b != b) return detail::nan_of<A>;
      if (a == b) return detail::negative(a) ? b : a;
    }
    return a < b ? b : a;
  }
};

/// The sum divided once, at the end, by the number of ranks.
struct mean : sum {
  template <class T>
  static constexpr bool accepts = real_element<T> || complex_element<T>;

  template <class T, class A>
  TUTTI_HD constexpr T lower(A total_sum, double total) const noexcept {
    static_assert(accepts<T>, "tutti::mean: a mean of integers would be truncated - use "
                              "tutti::sum, or convert the data to float or double");
    if constexpr (complex_element<A>) {
      const auto count = static_cast<typename A::value_type>(total);
      return A(total_sum.real() / count, total_sum.imag() / count);
    } else {
      return element_cast<T>(static_cast<A>(total_sum / static_cast<A>(total)));
    }
  }
};

/// sum(w_k x_k) / sum(w_k), with each rank's w in `options::weight`: non-negative and finite, not all
/// zero (error_code::invalid_argument otherwise, on every rank). Only their ratios matter, and a
/// contribution of weight 0 may hold anything. The weights travel first, eight bytes a rank.
struct weighted_mean : mean {
  static constexpr bool weighted = true;
  static constexpr bool relative = true;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  template <class T>
  TUTTI_HD constexpr accumulator_t<T> lift(T x, double weight) const noexcept {
    using A = accumulator_t<T>;
    return static_cast<A>(element_cast<A>(x) * static_cast<A>(weight));
  }
};

} // namespace tutti
