// What the law checkers report: which written laws a part breaks, each with a counter-example.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/random.hpp>

#include <charconv>
#include <concepts>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tutti {

struct broken_law {
  std::string law;     ///< its name, as in the table of the checker
  std::string example; ///< values for which it does not hold
};

/// True when no law was seen broken. A checker tries values; it finds mistakes, it proves nothing.
class law_report {
public:
  explicit operator bool() const noexcept { return broken_.empty(); }
  const std::vector<broken_law>& broken() const noexcept { return broken_; }

  bool keeps(std::string_view law) const noexcept {
    for (const auto& b : broken_)
      if (b.law == law) return false;
    return true;
  }

  /// "all laws hold", or a line "LAW: EXAMPLE" for each broken one.
  std::string text() const {
    if (broken_.empty()) return "all laws hold";
    std::string out;
    for (const auto& b : broken_) out += (out.empty() ? "" : "\n") + b.law + ": " + b.example;
    return out;
  }

  /// For checkers: the first counter-example to each law is kept.
  void add(std::string_view law, std::string example) {
    if (keeps(law)) broken_.push_back({std::string{law}, std::move(example)});
  }

private:
  std::vector<broken_law> broken_;
};

namespace detail {

/// The shortest decimal text that reads back as x.
template <class X>
std::string text_of(const X& x) {
  if constexpr (std::same_as<X, bfloat16> || std::same_as<X, half>) {
    return detail::text_of(float(x));
  } else if constexpr (std::floating_point<X>) {
    char buffer[64];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, x).ptr};
  } else if constexpr (std::integral<X>) {
    return std::to_string(x);
  } else {
    return "(no number)";
  }
}

template <class X>
std::string list_of(const std::vector<X>& all) {
  std::string out;
  for (const X& x : all) out += (out.empty() ? "" : ", ") + detail::text_of(x);
  return "(" + out + ")";
}

/// The same bits; a NaN is any NaN.
template <class X>
bool same_value(const X& a, const X& b) {
  if constexpr (std::floating_point<X> || std::same_as<X, bfloat16> || std::same_as<X, half>)
    return std::memcmp(&a, &b, sizeof(X)) == 0 || (!(a == a) && !(b == b));
  else if constexpr (std::equality_comparable<X>) return a == b;
  else return std::memcmp(&a, &b, sizeof(X)) == 0;
}
/// The same number: a NaN is any NaN, a zero any zero.
template <class X>
bool same_number(const X& a, const X& b) {
  if constexpr (std::equality_comparable<X>)
    if (a == b) return true;
  return detail::same_value(a, b);
}
template <class X>
bool same_values(const std::vector<X>& a, const std::vector<X>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!detail::same_value(a[i], b[i])) return false;
  return true;
}

/// The distance of 1 to its next neighbour.
template <real_element T>
inline constexpr double epsilon_of = std::same_as<T, bfloat16> ? 0x1p-7
                                     : std::same_as<T, half>
                                         ? 0x1p-10
                                         : double(std::numeric_limits<accumulator_t<T>>::epsilon());

template <element T>
double double_of(T x) {
  return double(element_cast<accumulator_t<T>>(x));
}

/// Ordinary numbers: in [-2, 2) for real elements, any bits for integers.
template <element T>
T random_element(random_stream& draw) {
  if constexpr (real_element<T>) return element_cast<T>(accumulator_t<T>(4 * draw.uniform() - 2));
  else return static_cast<T>((std::uint64_t{draw()} << 32) | draw());
}

/// Numbers at which arithmetic is known to go wrong; all of them finite, on demand.
template <element T>
std::vector<T> special_elements(bool finite) {
  if constexpr (real_element<T>) {
    using A = accumulator_t<T>;
    using limits = std::numeric_limits<A>;
    A most = (limits::max)(), least = limits::denorm_min();
    if constexpr (std::same_as<T, half>) most = 65504, least = 0x1p-24f;
    if constexpr (std::same_as<T, bfloat16>) most = 0x1.fep127f, least = 0x1p-133f;
    std::vector<T> out;
    for (const A x : {A{0}, -A{0}, A{1}, -A{1}, A(.1), A{3}, least, -least, most, -most})
      out.push_back(element_cast<T>(x));
    if (!finite)
      for (const A x : {limits::infinity(), -limits::infinity(), limits::quiet_NaN()})
        out.push_back(element_cast<T>(x));
    return out;
  } else {
    using limits = std::numeric_limits<T>;
    return {T{0}, T{1}, T{2}, T(-1), (limits::min)(), (limits::max)()};
  }
}

} // namespace detail
} // namespace tutti
