// bucketing: another rule, over the means of small groups of contributions.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/reducers/elementary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// Contributions 0 to n - 1 in an order that (seed, n) name; every `each` of them are a bucket, the last may be
/// smaller.
inline std::vector<std::size_t> shuffled_contributions(std::size_t n, std::uint64_t seed) {
  std::vector<std::size_t> order(n);
  for (std::size_t k = 0; k < n; ++k) order[k] = k;
  random_stream draw{seed, std::uint32_t(n)};
  for (std::size_t k = n; k > 1; --k) std::swap(order[k - 1], order[draw.below(std::uint32_t(k))]);
  return order;
}

/// Calls put(bucket, mean) for each; value(k) is contribution k.
template <class A, class Value, class Put>
void means_of_buckets(const std::vector<std::size_t>& order, std::size_t each, Value&& value, Put&& put) {
  for (std::size_t begin = 0, bucket = 0; begin < order.size(); begin += each, ++bucket) {
    const std::size_t count = (std::min)(each, order.size() - begin);
    A total = value(order[begin]);
    for (std::size_t k = 1; k < count; ++k) total = total + value(order[begin + k]);
    put(bucket, count == 1 ? total : A(total / A(count)));
  }
}

constexpr int buckets_of(int size, int each) { return (size + each - 1) / each; }

/// How many contributions make as many buckets as a rule needs.
template <class Rule>
constexpr int least_in_buckets(const Rule& rule, int each) {
  int buckets = 1;
  if constexpr (requires { rule.least_contributions(); }) buckets = rule.least_contributions();
  return (buckets - 1) * each + 1;
}
template <class Rule>
constexpr const char* objection_to_buckets(const Rule& rule, int each) {
  if (each < 1) return "bucketing: each is less than 1 - give how many contributions make a bucket";
  if constexpr (requires { rule.objection(); }) return rule.objection();
  return nullptr;
}

} // namespace detail

/// `rule` over the means of buckets of `each` contributions, dealt into them by `seed`: where clients hold unlike data,
/// rules that look for a middle take what is rare for an attack, and means are less unlike. A bucket with an attacker
/// in it is one, so the rule has to stand as many of fewer: (size + each - 1) / each buckets. Who is in whose bucket
/// depends on who is which rank; another seed in every round, the same on all ranks, puts everybody beside everybody
/// in turn. A NaN spoils its bucket. Runs where the rule does; all contributions count alike. Karimireddy, He, Jaggi,
/// "Byzantine-robust learning on heterogeneous datasets via bucketing" (ICLR 2022, arXiv 2006.09365), algorithm 1.
template <class Rule>
struct bucketing {
  using part = reducer_part;
  template <class T>
  static constexpr bool accepts = accepts_element<Rule, T>;
  static constexpr bool in_lanes = detail::gathers_lanes<Rule>;

  Rule rule = {};
  int each = 2;
  std::uint64_t seed = 1;

  constexpr int least_contributions() const { return detail::least_in_buckets(rule, each); }
  constexpr const char* objection() const { return detail::objection_to_buckets(rule, each); }

  /// The same with the buckets of a round: federated rounds ask for them.
  bucketing at_round(std::uint32_t round) const { return {rule, each, seed ^ std::uint64_t{round} << 32}; }

  template <class A>
  A gather(std::span<A> column) const {
    std::vector<A> means(std::size_t(detail::buckets_of(int(column.size()), each)));
    detail::means_of_buckets<A>(
        detail::shuffled_contributions(column.size(), seed), std::size_t(each),
        [&](std::size_t k) { return column[k]; }, [&](std::size_t bucket, A mean) { means[bucket] = mean; });
    return rule.gather(std::span<A>{means});
  }
};

/// The same where the rule agrees on something first: it sees the means of buckets, as elements.
template <agreeing_reducer Rule>
struct bucketing<Rule> {
  using part = reducer_part;
  using agreement_reducer = typename Rule::agreement_reducer;
  template <class T>
  static constexpr bool accepts = accepts_element<Rule, T>;

  Rule rule = {};
  int each = 2;
  std::uint64_t seed = 1;

  constexpr int least_contributions() const { return detail::least_in_buckets(rule, each); }
  constexpr const char* objection() const { return detail::objection_to_buckets(rule, each); }
  constexpr std::size_t agreement(std::size_t n, int size) const {
    return rule.agreement(n, detail::buckets_of(size, each));
  }
  /// The same with the buckets of a round: federated rounds ask for them.
  bucketing at_round(std::uint32_t round) const { return {rule, each, seed ^ std::uint64_t{round} << 32}; }

  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t first, std::span<double> numbers) const {
    using A = accumulator_t<T>;
    const auto order = detail::shuffled_contributions(all.rows.size(), seed);
    const auto buckets = std::size_t(detail::buckets_of(int(order.size()), each));
    std::vector<T> means(buckets * all.n);
    std::vector<const T*> rows(buckets);
    for (std::size_t b = 0; b < buckets; ++b) rows[b] = means.data() + b * all.n;
    for (std::size_t i = 0; i < all.n; ++i)
      detail::means_of_buckets<A>(
          order, std::size_t(each), [&](std::size_t k) { return element_cast<A>(all.rows[k][i]); },
          [&](std::size_t b, A mean) { means[b * all.n + i] = element_cast<T>(mean); });
    rule.observe_gathered(gathered_rows<T>{rows, all.n}, first, numbers);
  }
  auto agreed(std::span<const double> numbers) const {
    return bucketing<decltype(rule.agreed(numbers))>{rule.agreed(numbers), each, seed};
  }
};
template <class Rule>
bucketing(Rule) -> bucketing<Rule>;
template <class Rule>
bucketing(Rule, int) -> bucketing<Rule>;
template <class Rule>
bucketing(Rule, int, std::uint64_t) -> bucketing<Rule>;

} // namespace tutti
