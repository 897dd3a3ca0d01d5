// What is known after a round of clients.
#pragma once

#include <string>
#include <vector>

namespace tutti {

/// What is known after a round; the same on every rank but for `seconds`.
struct round_report {
  int round = 0;      ///< from 1
  int clients = 0;    ///< how many were drawn
  double metric = 0;  ///< mean of the population's score, 0 when it has none
  double seconds = 0; ///< since these rounds were begun
  int silent = 0;     ///< how many of the clients wrote nothing, and were left out
  std::vector<int> not_finite = {}; ///< who returned a NaN or an infinity, where a rule stands that; in order
  std::string secure = {};  ///< of a secure sum: its graph, its words, and what it hides from whom
  double epsilon = 0;       ///< that all rounds so far have spent at the delta of a privacy_plan, 0 without
  double clip = 0;          ///< greatest length of a difference in this round, of a privacy_plan
  std::string skipped = {}; ///< why the round changed nothing, naming it; empty when it was applied
};

} // namespace tutti
