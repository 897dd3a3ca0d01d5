// check_optimizer: puts an optimizer through the laws of optimizers/optimizer.hpp.
//
//   name           broken when
//   repeatable     the same steps from the same start give other bits the second time
//   split          updating key ranges one by one, empty ones among them, gives other bits than
//                  updating all at once
//   elementwise    another value's gradient changes a value's bits
//   bounds         a slot that it does not have is written, or something outside of the key range
#pragma once

#include <tutti/core/laws.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <concepts>
#include <cstdint>
#include <iterator>

namespace tutti {

namespace detail {

/// An optimizer behind a function: update(optimizer, step, parameters, gradients, all slots).
template <class T>
struct optimizer_under_test {
  const void* optimizer;
  std::size_t slots;
  void (*update)(const void*, std::int64_t, std::span<T>, std::span<const T>, const std::span<T>*);
};

template <class T, class O>
optimizer_under_test<T> optimizer_behind_function(const O& optimizer) {
  return {&optimizer, slots_of<O>,
          [](const void* o, std::int64_t step, std::span<T> parameters,
             std::span<const T> gradients, const std::span<T>* state) {
            optimizer_slots<T, slots_of<O>> slots;
            for (std::size_t k = 0; k < slots.size(); ++k) slots[k] = state[k];
            tutti::update<T>(*static_cast<const O*>(o), step, parameters, gradients, slots);
          }};
}

/// One element beside values that are not its slots; whether those are as they were.
template <class T, class O>
bool stays_in_its_slots(const O& optimizer) {
  constexpr std::size_t margin = 4, n = slots_of<O>;
  T all[2 * margin + n + 1];
  for (T& x : all) x = T(7);
  for (std::size_t k = 0; k < n; ++k) all[margin + k] = T(0);
  T parameter = T(1);
  for (std::int64_t step = 1; step <= 3; ++step)
    optimizer.template at<T>(step)(rounding{}, parameter, T(0.5), all + margin);
  for (std::size_t k = 0; k < std::size(all); ++k)
    if ((k < margin || k >= margin + n) && all[k] != T(7)) return false;
  return true;
}

/// Parameters and every slot, with a few values before and behind that are not to be touched.
template <class T>
struct optimized {
  static constexpr std::size_t margin = 4;

  optimized(std::size_t n, std::size_t slots, random_stream draw)
      : arrays(1 + slots, std::vector<T>(n + 2 * margin)) {
    for (T& x : arrays[0]) x = detail::random_element<T>(draw);
  }

  void update(const optimizer_under_test<T>& o, std::int64_t step, const std::vector<T>& gradients,
              std::size_t begin, std::size_t end) {
    std::vector<std::span<T>> parts;
    for (auto& a : arrays) parts.push_back(std::span{a}.subspan(margin + begin, end - begin));
    o.update(o.optimizer, step, parts[0], std::span<const T>{gradients}.subspan(begin, end - begin),
             parts.data() + 1);
  }

  std::vector<std::vector<T>> arrays;
};

inline constexpr std::size_t optimized_values = 67;
inline constexpr int optimized_steps = 5;

/// A few steps, the values cut into `pieces` key ranges of different lengths; what stands then.
template <class T>
optimized<T> trained(const optimizer_under_test<T>& o, std::uint64_t seed, std::size_t pieces,
                     bool disturbed = false) {
  constexpr std::size_t n = optimized_values;
  optimized<T> out{n, o.slots, random_stream{seed}};
  random_stream draw{seed, 1};
  for (int step = 1; step <= optimized_steps; ++step) {
    std::vector<T> gradients(n);
    for (T& g : gradients) g = detail::random_element<T>(draw);
    if (disturbed) gradients[n / 2] += T(1);
    for (std::size_t k = 0; k < pieces; ++k) // quadratic cuts: some of them empty, most of them odd
      out.update(o, step, gradients, n * k * k / (pieces * pieces),
                 n * (k + 1) * (k + 1) / (pieces * pieces));
  }
  return out;
}

template <class T>
void expect_same_state(law_report& report, const char* law, const optimized<T>& expected,
                       const optimized<T>& got, bool except_middle) {
  for (std::size_t a = 0; a < got.arrays.size(); ++a)
    for (std::size_t i = 0; i < got.arrays[a].size(); ++i) {
      if (except_middle && i == optimized<T>::margin + optimized_values / 2) continue;
      const T x = expected.arrays[a][i], y = got.arrays[a][i];
      if (!detail::same_value(x, y))
        report.add(law,
                   (a == 0 ? "parameter " : "slot " + std::to_string(a - 1) + " of parameter ") +
                       std::to_string(i - optimized<T>::margin) + " is " + detail::text_of(y) +
                       " instead of " + detail::text_of(x));
    }
}

template <class T>
void check_bounds(law_report& report, const optimizer_under_test<T>& o, std::uint64_t seed) {
  const optimized<T> before{optimized_values, o.slots, random_stream{seed}};
  const auto after = detail::trained(o, seed, 1);
  for (std::size_t a = 0; a < after.arrays.size(); ++a)
    for (std::size_t i = 0; i < after.arrays[a].size(); ++i) {
      const std::size_t margin = optimized<T>::margin;
      const bool outside = i < margin || i >= margin + optimized_values;
      if (outside && !detail::same_value(before.arrays[a][i], after.arrays[a][i]))
        report.add("bounds", i < margin ? "a value before the range was written"
                                        : "a value behind the range was written");
    }
}

} // namespace detail

/// Tries the laws of optimizers for a few steps on values drawn from `seed`.
template <std::floating_point T, class O>
law_report check_optimizer(const O& optimizer, std::uint64_t seed = 1) {
  static_assert(tutti::optimizer<O, T>,
                "tutti::check_optimizer: this type does not move such parameters - give it slots and "
                "at, as optimizers/optimizer.hpp says");
  law_report report;
  if constexpr (tutti::optimizer<O, T>) {
    const auto o = detail::optimizer_behind_function<T>(optimizer);
    const auto whole = detail::trained(o, seed, 1);
    detail::expect_same_state(report, "repeatable", whole, detail::trained(o, seed, 1), false);
    for (const std::size_t pieces : {2u, 3u, 7u, 40u})
      detail::expect_same_state(report, "split", whole, detail::trained(o, seed, pieces), false);
    detail::expect_same_state(report, "elementwise", whole, detail::trained(o, seed, 1, true),
                              true);
    detail::check_bounds(report, o, seed);
    if (!detail::stays_in_its_slots<T>(optimizer))
      report.add("bounds", "a slot that it does not have was written");
  }
  return report;
}

} // namespace tutti
