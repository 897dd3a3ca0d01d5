// check_sync_policy: puts a policy's answers through what sync/sync_policy.hpp says of them.
//
//   name        broken when
//   period      it is not at least 1, at some step
//   fragments   they are not at least 1
//   delay       it is negative, or a fragment would be offered again before it is applied
//   keep        it is not in [0, 1]
//   staleness   it is negative and not `unbounded`
//   offers_first  it is said, and not everything is mixed in every step
//   pull        it is negative or not finite
#pragma once

#include <tutti/core/laws.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <cstdint>
#include <string>

namespace tutti {

/// Asks a policy its questions and reports answers that cannot be. A period that is a function is asked for
/// the first 1000 steps, and for every 2^k-th.
template <sync_policy P>
law_report check_sync_policy(const P& policy) {
  law_report report;
  const answers all = answers_of(policy);
  const auto ask = [&](std::int64_t step) {
    detail::each_wrong_answer(all, period_of(policy, step), [&](const char* law, const std::string& why) {
      report.add(law, "step " + std::to_string(step) + ": " + why);
    });
  };
  for (std::int64_t step = 1; step <= 1000; ++step) ask(step);
  for (std::int64_t step = 1024; step < (std::int64_t{1} << 40); step *= 2) ask(step);
  return report;
}

} // namespace tutti
