// check_reducer: puts a reducer through the laws of reducers/reducer.hpp.
//
//   name           broken when
//   identity       combine(identity, a) is not a; the sign of a zero counts
//   commutative    combine(a, b) and combine(b, a) differ in a bit
//   associative    combine(combine(a, b), c) is not combine(a, combine(b, c)): at all for integers,
//                  by more than rounding for floating-point accumulators
//   round trip     a single contribution of weight 1 comes out as another number than it went in
//   order          a gathering reducer's result depends on the order of the contributions, by more
//                  than rounding
//   invariant      a reducer that says rank_count_invariant gives other bits in another order or
//                  grouping
//
//   BOOST_CHECK(tutti::check_reducer<float>(my_reducer{}));
//   if (const auto report = tutti::check_reducer<float>(my_reducer{}); !report)
//     std::puts(report.text().c_str());
#pragma once

#include <tutti/core/laws.hpp>
#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

template <class T>
using contributions = std::vector<std::vector<T>>; ///< [rank][element]

// --- laws of combine, once per accumulator type -------------------------------------------------

template <class A>
struct fold_under_test {
  const void* reducer;
  A (*combine)(const void*, const A&, const A&);
  A identity;
  A operator()(const A& a, const A& b) const { return combine(reducer, a, b); }
};

template <class A>
void check_identity(law_report& report, const fold_under_test<A>& fold, const std::vector<A>& all) {
  for (const A& a : all)
    if (const A got = fold(fold.identity, a); !detail::same_value(got, a))
      report.add("identity", "combine(" + detail::text_of(fold.identity) + ", " +
                                 detail::text_of(a) + ") is " + detail::text_of(got));
}

template <class A>
void check_commutative(law_report& report, const fold_under_test<A>& fold,
                       const std::vector<A>& all) {
  for (const A& a : all)
    for (const A& b : all) {
      const A ab = fold(a, b), ba = fold(b, a);
      if (detail::same_value(ab, ba)) continue;
      const std::string x = detail::text_of(a), y = detail::text_of(b);
      report.add("commutative", "combine(" + x + ", " + y + ") is " + detail::text_of(ab) +
                                    ", combine(" + y + ", " + x + ") is " + detail::text_of(ba));
    }
}

/// Whether two ways to combine a, b and c are equal but for rounding.
template <class A>
bool close(const A& left, const A& right, const A& a, const A& b, const A& c) {
  if constexpr (std::floating_point<A>) {
    A scale = 0;
    for (const A x : {left, right, a, b, c}) scale = std::fabs(x) > scale ? std::fabs(x) : scale;
    return std::fabs(left - right) <= 8 * std::numeric_limits<A>::epsilon() * scale;
  } else {
    return left == right;
  }
}

/// `ordinary`: finite and far from overflow.
template <class A>
void check_associative(law_report& report, const fold_under_test<A>& fold,
                       const std::vector<A>& ordinary) {
  if constexpr (std::is_arithmetic_v<A>)
    for (const A& a : ordinary)
      for (const A& b : ordinary)
        for (const A& c : ordinary) {
          const A left = fold(fold(a, b), c), right = fold(a, fold(b, c));
          if (detail::close(left, right, a, b, c)) continue;
          report.add("associative", "of " + detail::list_of<A>({a, b, c}) +
                                        " combined from the left " + detail::text_of(left) +
                                        ", from the right " + detail::text_of(right));
        }
}

// --- a reduction as it is defined, once per reducer and element ---------------------------------

enum class grouping : std::uint8_t { left, right, pairs };

template <class A, class Combine>
A fold_column(std::vector<A> column, grouping how, Combine combine) {
  while (column.size() > 1) {
    const std::size_t n = column.size();
    if (how == grouping::right) {
      column[n - 2] = combine(column[n - 2], column[n - 1]);
      column.pop_back();
    } else if (how == grouping::left) {
      column[1] = combine(column[0], column[1]);
      column.erase(column.begin());
    } else {
      for (std::size_t k = 0; k < n / 2; ++k) column[k] = combine(column[2 * k], column[2 * k + 1]);
      if (n % 2 == 1) column[n / 2] = column[n - 1];
      column.resize((n + 1) / 2);
    }
  }
  return column[0];
}

/// Calls use(working reducer) after every agreement that r asks for.
template <class T, class R, class Use>
decltype(auto) after_agreements(const R& r, const contributions<T>& all, Use&& use) {
  if constexpr (agreeing_reducer<R>) {
    using combined = typename R::agreement_reducer;
    const std::size_t n = all[0].size();
    const auto zero = combined{}.template identity<double>();
    std::vector<double> numbers(std::size_t(r.agreement(n, int(all.size()))), zero);
    if constexpr (observes_own<R, T>) {
      for (const auto& mine : all) {
        std::vector<double> seen(numbers.size(), zero);
        r.observe(std::span<const T>{mine}, std::span<double>{seen});
        for (std::size_t k = 0; k < seen.size(); ++k)
          numbers[k] = combined{}.combine(numbers[k], seen[k]);
      }
    } else {
      std::vector<const T*> rows;
      for (const auto& one : all) rows.push_back(one.data());
      r.observe_gathered(gathered_rows<T>{rows, n}, std::size_t{0}, std::span<double>{numbers});
    }
    return detail::after_agreements<T>(r.agreed(std::span<const double>{numbers}), all, use);
  } else {
    return use(r);
  }
}

template <class T, class R>
std::vector<T> reduce_by_definition(const void* reducer, const contributions<T>& all,
                                    grouping how) {
  return detail::after_agreements<T>(
      *static_cast<const R*>(reducer), all, [&]<class W>(const W& working) {
        using A = reducer_accumulator_t<W, T>;
        std::vector<T> out;
        for (std::size_t i = 0; i < all[0].size(); ++i) {
          std::vector<A> column;
          for (const auto& one : all) column.push_back(detail::lift(working, one[i], 1.0, i));
          A total{};
          if constexpr (folding_reducer<W, T>)
            total = detail::fold_column(std::move(column), how, [&](const A& a, const A& b) {
              return working.combine(a, b);
            });
          else total = working.gather(std::span<A>{column});
          out.push_back(detail::lower<T>(working, total, double(all.size()), i));
        }
        return out;
      });
}

template <class T>
struct reduction_under_test {
  const void* reducer;
  std::vector<T> (*reduce)(const void*, const contributions<T>&, grouping);
  bool finite; ///< only finite contributions are to be tried
};

template <class T>
void check_round_trip(law_report& report, const reduction_under_test<T>& r, random_stream& draw) {
  auto values = detail::special_elements<T>(r.finite);
  for (int k = 0; k < 20; ++k) values.push_back(detail::random_element<T>(draw));
  for (const T x : values)
    if (const T y = r.reduce(r.reducer, {{x}}, grouping::left)[0]; !detail::same_number(x, y))
      report.add("round trip", detail::text_of(x) + " alone comes out as " + detail::text_of(y));
}

/// Random numbers and, unless `finite`, some of the special ones that do not overflow.
template <class T>
contributions<T> some_contributions(std::size_t size, std::size_t n, bool finite,
                                    random_stream& draw) {
  auto special = detail::special_elements<T>(finite);
  if constexpr (real_element<T>)
    std::erase_if(special,
                  [](T x) { return tutti::is_finite(x) && std::fabs(detail::double_of(x)) > 1e3; });
  contributions<T> out(size, std::vector<T>(n));
  for (auto& one : out)
    for (T& x : one)
      x = !finite && draw.below(4) == 0 ? special[draw.below(std::uint32_t(special.size()))]
                                        : detail::random_element<T>(draw);
  return out;
}

/// Whether two reductions of the same column are equal but for rounding.
template <class T>
bool close_results(T a, T b, const contributions<T>& all, std::size_t i) {
  if (detail::same_value(a, b)) return true;
  if constexpr (real_element<T>) {
    double scale = std::fmax(std::fabs(detail::double_of(a)), std::fabs(detail::double_of(b)));
    for (const auto& one : all)
      if (tutti::is_finite(one[i])) scale = std::fmax(scale, std::fabs(detail::double_of(one[i])));
    return tutti::is_finite(a) && tutti::is_finite(b) &&
           std::fabs(detail::double_of(a) - detail::double_of(b)) <= 8 * epsilon_of<T> * scale;
  } else {
    return false;
  }
}

template <class T>
std::string column_of(const contributions<T>& all, std::size_t i) {
  std::vector<T> out;
  for (const auto& one : all) out.push_back(one[i]);
  return detail::list_of(out);
}

/// The same for every order of the contributions, and for every grouping if those are tried too.
template <class T>
void check_order(law_report& report, std::string_view law, const reduction_under_test<T>& r,
                 std::size_t least, bool groupings, random_stream& draw) {
  const bool to_the_bit = law == "invariant";
  for (std::size_t size = least; size < least + 6; ++size) {
    auto all = detail::some_contributions<T>(size, 20, r.finite, draw);
    const auto expected = r.reduce(r.reducer, all, grouping::left);
    for (int turn = 0; turn < 8; ++turn) {
      const auto before = all;
      for (std::size_t k = size; k > 1; --k)
        std::swap(all[k - 1], all[draw.below(std::uint32_t(k))]);
      const auto how = !groupings ? grouping::left : grouping(turn % 3);
      const auto got = r.reduce(r.reducer, all, how);
      for (std::size_t i = 0; i < got.size(); ++i)
        if (to_the_bit ? !detail::same_value(got[i], expected[i])
                       : !detail::close_results(got[i], expected[i], all, i))
          report.add(law, "of " + detail::column_of(before, i) + " " +
                              detail::text_of(expected[i]) + ", of " + detail::column_of(all, i) +
                              " " + detail::text_of(got[i]));
    }
  }
}

// --- the samples for combine --------------------------------------------------------------------

/// What T's samples are lifted to, all of them contributions to element 0.
template <class T, class W>
auto lifted(const W& working, const std::vector<T>& samples) {
  std::vector<reducer_accumulator_t<W, T>> out;
  for (const T x : samples) {
    out.push_back(detail::lift(working, x, 1.0, 0));
    if constexpr (is_weighted<W>) out.push_back(detail::lift(working, x, .75, 0));
  }
  return out;
}

template <class T, class R>
void check_combine(law_report& report, const R& r, random_stream& draw) {
  auto samples = detail::special_elements<T>(agreeing_reducer<R>);
  std::vector<T> ordinary;
  for (int k = 0; k < 10; ++k) ordinary.push_back(detail::random_element<T>(draw));
  samples.insert(samples.end(), ordinary.begin(), ordinary.end());
  contributions<T> all;
  for (const T x : samples) all.push_back({x});
  detail::after_agreements<T>(r, all, [&]<class W>(const W& working) {
    if constexpr (folding_reducer<W, T>) {
      using A = reducer_accumulator_t<W, T>;
      const fold_under_test<A> fold{&working,
                                    [](const void* w, const A& a, const A& b) -> A {
                                      return static_cast<const W*>(w)->combine(a, b);
                                    },
                                    working.template identity<A>()};
      const auto lifted = detail::lifted(working, samples);
      detail::check_identity(report, fold, lifted);
      detail::check_commutative(report, fold, lifted);
      detail::check_associative(report, fold,
                                std::integral<A> ? lifted : detail::lifted(working, ordinary));
    }
  });
}

} // namespace detail

/// Tries the laws of reducers on values drawn from `seed`, and on special ones: zeros of both
/// signs, the extremes of T and, unless the reducer makes an agreement, infinities and NaN.
template <element T, reducer R>
law_report check_reducer(const R& r, std::uint64_t seed = 1) {
  static_assert(accepts_element<R, T>,
                "tutti::check_reducer: this type does not reduce such elements - give it identity "
                "and combine, or gather, or an agreement, as reducers/reducer.hpp says");
  law_report report;
  if constexpr (accepts_element<R, T>) {
    using W = working_reducer_t<R>;
    random_stream draw{seed};
    const detail::reduction_under_test<T> reduction{&r, &detail::reduce_by_definition<T, R>,
                                                    agreeing_reducer<R>};
    std::size_t least = 1;
    if constexpr (requires { r.least_contributions(); })
      least = std::size_t(r.least_contributions());

    detail::check_combine<T>(report, r, draw);
    if (least <= 1) detail::check_round_trip(report, reduction, draw);
    if constexpr (repeats_of<R> == determinism::rank_count_invariant)
      detail::check_order(report, "invariant", reduction, least, folding_reducer<W, T>, draw);
    else if constexpr (!folding_reducer<W, T>)
      detail::check_order(report, "order", reduction, least, false, draw);
  }
  return report;
}

} // namespace tutti
