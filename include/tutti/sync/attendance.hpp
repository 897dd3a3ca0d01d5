// attendance: what rounds over a population stand of clients that are not there, do not finish, or send nonsense.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace tutti {

/// What is done about a client that returned a NaN or an infinity, or said of itself what cannot be. leave_out: it is
/// named in the report, and the round goes on without it. raise: every rank throws, naming round, client and rank.
enum class client_faults : std::uint8_t { leave_out, raise };

/// A member of policies over populations; the same on every rank. Who drops out is drawn from (seed, round, client),
/// and who is late is said by the population's duration(client, round), so a run is the same whatever the ranks.
struct attendance {
  /// So many times the cohort is asked, and those who are there first are taken; the others are surplus. Bonawitz et
  /// al. 2019, "Towards federated learning at scale" (arXiv 1902.01046), ask 1.3 times.
  double over_select = 1;
  double deadline = 0; ///< in what duration(client, round) counts; who takes longer is late. 0 for none
  double drop_out = 0; ///< the probability that a client never answers
  int least = 1;       ///< a round in which fewer count is skipped
  client_faults faults = client_faults::leave_out;

  std::string wrong() const {
    if (!(over_select >= 1) || !std::isfinite(over_select))
      return "over_select of attendance is less than 1 or not finite - give how many times the cohort is asked";
    if (!(deadline >= 0) || !std::isfinite(deadline))
      return "the deadline of attendance is negative or not finite - give the longest duration, or 0 for none";
    if (!(drop_out >= 0 && drop_out <= 1)) return "drop_out of attendance is no probability - give 0 to 1";
    return least >= 1 ? "" : "least of attendance is less than 1 - give how many clients a round needs";
  }
};

} // namespace tutti
