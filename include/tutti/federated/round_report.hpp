// What is known after a round of clients.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tutti {

/// Why a client that was drawn does not count in a round.
enum class absence : std::uint8_t {
  unavailable, ///< population::available said no, so it was not asked
  dropped_out, ///< it was asked and never answered (attendance::drop_out)
  late,        ///< it takes longer than attendance::deadline
  surplus,     ///< enough others were there before it (attendance::over_select)
  no_examples, ///< it holds none, or used none
  silent,      ///< it made no step and wrote no parameters
  not_finite,  ///< it returned a NaN or an infinity
  malformed,   ///< what it said of itself, or its message, cannot be
};

struct absent_client {
  int client = 0;
  absence why = absence::unavailable;

  friend bool operator==(const absent_client&, const absent_client&) = default;
};

/// Of one name: the mean of what clients that count said of it (trained::metrics), by the examples that they used.
struct metric_mean {
  std::string name;
  double value = 0;
  double examples = 0; ///< of those who said it
};

/// What is known after a round; the same on every rank but for `seconds`.
struct round_report {
  int round = 0;      ///< from 1
  int clients = 0;    ///< how many were drawn, and there
  int counted = 0;    ///< of them, how many are in the mean
  double metric = 0;  ///< mean of the population's score, 0 when it has none
  double seconds = 0; ///< since these rounds were begun
  /// Who does not count, and why: first who was not there, then the others, in the order of the draw. A rule that
  /// compares clients is given what is not finite all the same, and has it as far away as can be.
  std::vector<absent_client> left_out = {};
  std::vector<metric_mean> metrics = {}; ///< in the order of their names
  std::vector<int> joined = {};          ///< clients that have entered since the last round, of a round_server
  std::vector<int> departed = {};        ///< and that have departed
  std::string secure = {};  ///< of a secure sum: its graph, its words, and what it hides from whom
  double epsilon = 0;       ///< that all rounds so far have spent at the delta of a privacy_plan, 0 without
  double clip = 0;          ///< greatest length of a difference in this round, of a privacy_plan
  std::string skipped = {}; ///< why the round changed nothing, naming it; empty when it was applied

  /// How many were left out because of it.
  int count(absence why) const {
    int n = 0;
    for (const absent_client& one : left_out) n += one.why == why;
    return n;
  }
  /// Who they are.
  std::vector<int> who(absence why) const {
    std::vector<int> clients_left_out;
    for (const absent_client& one : left_out)
      if (one.why == why) clients_left_out.push_back(one.client);
    return clients_left_out;
  }
};

} // namespace tutti
