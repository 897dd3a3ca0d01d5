// Rules that compare clients and stand some that send anything, over means of buckets of them.
#include "any_rule.hpp"
#include "run.hpp"

#include <tutti/reducers/bucketing.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>

#include <algorithm>
#include <cmath>

namespace federated_mnist {

namespace {

using rule = any_rule<tutti::median, tutti::trimmed_mean, tutti::krum, tutti::bulyan, tutti::geometric_median,
                      tutti::centered_clipping, tutti::norm_clipping>;

rule rule_of(const settings& s) {
  if (s.aggregator == "krum") return {tutti::krum{.f = s.assumed}};
  if (s.aggregator == "multi_krum") {
    const int drawn = std::max(1, int(std::lround(s.fraction * s.clients)));
    const int buckets = (drawn + s.bucket - 1) / s.bucket;
    return {tutti::krum{.f = s.assumed, .keep = std::max(1, buckets - 2 * s.assumed)}};
  }
  if (s.aggregator == "bulyan") return {tutti::bulyan{.f = s.assumed}};
  if (s.aggregator == "trimmed_mean") return {tutti::trimmed_mean{.trim = s.assumed}};
  if (s.aggregator == "geometric_median") return {tutti::geometric_median{}};
  if (s.aggregator == "centered_clipping") return {tutti::centered_clipping{.radius = s.radius, .passes = 3}};
  if (s.aggregator == "norm_clipping") return {tutti::norm_clipping{.bound = s.radius}};
  return {tutti::median{}};
}

} // namespace

tutti::federated_report compared(world_type& world, const settings& s, const models::digits& data) {
  const tutti::bucketing reducer{rule_of(s), s.bucket, s.seed};
  return run_rounds(tutti::strategy{world, tutti::star{}, reducer, plain_policy(s)}, world, s, data);
}

} // namespace federated_mnist
