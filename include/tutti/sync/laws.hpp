// check_sync_policy: puts a policy's answers through what sync/sync_policy.hpp says of them.
//
//   name        broken when
//   period      it is not at least 1
//   fragment    its index is not in [0, count), or some fragment never takes part
//   quorum      quorum(n) is not in [1, n], for n of 1 to 1000
//   lead        it is negative and not `unbounded`
//   worth       worth(tau) is not in [0, 1], grows with tau, or worth(0) is 0
//   delay       it is negative
#pragma once

#include <tutti/core/laws.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <cstdint>

namespace tutti {

namespace detail {

template <class P>
void check_fragments(law_report& report, const P& policy) {
  const fragment_of first = policy.fragment(0);
  std::vector<bool> seen(first.count > 0 ? std::size_t(first.count) : 0);
  for (std::int64_t k = 0; k < 16 * std::int64_t(seen.size()) + 16; ++k) {
    const fragment_of f = policy.fragment(k);
    if (f.index < 0 || f.index >= f.count) {
      report.add("fragment", "fragment(" + std::to_string(k) + ") is " + std::to_string(f.index) +
                                 " of " + std::to_string(f.count));
      return;
    }
    if (std::size_t(f.index) < seen.size()) seen[std::size_t(f.index)] = true;
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (!seen[i])
      report.add("fragment", "fragment " + std::to_string(i) + " of " +
                                 std::to_string(seen.size()) + " never takes part");
}

template <class P>
void check_worth(law_report& report, const P& policy) {
  double last = 1;
  for (int tau = 0; tau <= 1000; ++tau) {
    const double w = policy.worth(tau);
    if (!(w >= 0 && w <= last) || (tau == 0 && w == 0))
      report.add("worth", "worth(" + std::to_string(tau) + ") is " + detail::text_of(w));
    last = w;
  }
}

} // namespace detail

/// Asks a policy its questions and reports answers that cannot be.
template <sync_policy P>
law_report check_sync_policy(const P& policy) {
  law_report report;
  if (policy.period() < 1) report.add("period", "period() is " + std::to_string(policy.period()));
  detail::check_fragments(report, policy);
  for (int n = 1; n <= 1000; ++n)
    if (const int q = policy.quorum(n); q < 1 || q > n)
      report.add("quorum", "quorum(" + std::to_string(n) + ") is " + std::to_string(q));
  if (policy.lead() < 0 && policy.lead() != unbounded)
    report.add("lead", "lead() is " + std::to_string(policy.lead()));
  detail::check_worth(report, policy);
  if (policy.delay() < 0) report.add("delay", "delay() is " + std::to_string(policy.delay()));
  return report;
}

} // namespace tutti
