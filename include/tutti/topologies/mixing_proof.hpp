// The proof of a mixing: stochastic in every round, and connected over a cycle.
#pragma once

#include <tutti/topologies/mixing.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

enum class mixing_flaw : std::uint8_t {
  none,
  rank_out_of_range,
  touches_neither,    ///< a share that is not of the rank it was emitted for
  weight_not_positive,///< or not finite
  repeated,           ///< two shares of the same two ranks
  ends_differ,        ///< its two ranks see different weights, or one sees none
  rows_differ,        ///< what a rank hears does not add up to one
  columns_differ,     ///< what is heard of a rank does not
  not_connected       ///< over the rounds that were looked at
};

constexpr std::string_view name(mixing_flaw code) noexcept {
  constexpr std::string_view names[] = {
      "no flaw",
      "a share names a rank that there is not",
      "a share does not touch the rank that it is emitted for",
      "a weight is not positive and finite",
      "two shares are of the same two ranks",
      "the two ranks of a share see different weights",
      "the weights of what a rank hears do not add up to 1",
      "the weights of what is heard of a rank do not add up to 1",
      "the graph is not connected: a rank never hears of another, not through others either"};
  return names[std::size_t(code)];
}

/// The first flaw, with the place it was seen at (-1: no particular one).
struct mixing_verdict {
  mixing_flaw code = mixing_flaw::none;
  std::int64_t round = -1;
  int rank = -1, other = -1;
  double sum = 0; ///< of the row or column

  constexpr bool holds() const noexcept { return code == mixing_flaw::none; }

  std::string text() const {
    std::string where;
    if (round >= 0) where = "round " + std::to_string(round);
    if (rank >= 0) where += (where.empty() ? "rank " : ", rank ") + std::to_string(rank);
    if (other >= 0) where += " and rank " + std::to_string(other);
    std::string out = (where.empty() ? "" : where + ": ") + std::string{name(code)};
    if (code == mixing_flaw::rows_differ || code == mixing_flaw::columns_differ) {
      char number[32];
      std::snprintf(number, sizeof number, "%.9g", sum);
      out += std::string{" but to "} + number;
    }
    return out;
  }
};

/// What must add up to one: rows and columns keep the mean of all and lead to it; columns alone keep the sum.
enum class stochastic : std::uint8_t { rows_and_columns, columns };

namespace detail {

/// Whether everyone hears of everyone through the given shares, in any number of rounds.
inline mixing_verdict connected(const std::vector<share>& all, int size) {
  for (const bool forwards : {true, false}) {
    std::vector<std::vector<int>> next(static_cast<std::size_t>(size));
    for (const share& s : all) next[std::size_t(forwards ? s.from : s.to)].push_back(forwards ? s.to : s.from);
    std::vector<char> seen(std::size_t(size), 0);
    std::vector<int> from{0};
    seen[0] = 1;
    while (!from.empty()) {
      const int at = from.back();
      from.pop_back();
      for (const int n : next[std::size_t(at)])
        if (!seen[std::size_t(n)]) seen[std::size_t(n)] = 1, from.push_back(n);
    }
    const auto lost = std::find(seen.begin(), seen.end(), 0);
    if (lost != seen.end()) return {mixing_flaw::not_connected, -1, 0, int(lost - seen.begin())};
  }
  return {};
}

} // namespace detail

/// Looks at `rounds` rounds of a mixing of `size` ranks; 0: at one cycle, of one that never begins again at 64. Sums
/// may be off by 1e-9. Cost: the shares of all ranks in each round.
template <mixing_topology Graph>
mixing_verdict verify_mixing(const Graph& graph, int size, stochastic needs, std::int64_t rounds = 0) {
  if (rounds == 0) rounds = cycle_of(graph, size);
  if (rounds == 0) rounds = 64;
  std::vector<share> all;
  for (std::int64_t round = 0; round < rounds; ++round) {
    std::vector<share> told, heard; // as senders and as receivers see them
    mixing_verdict found;
    const auto flaw = [&](mixing_flaw code, int rank, int other, double sum = 0) {
      if (found.holds()) found = {code, round, rank, other, sum};
    };
    for (int rank = 0; rank < size; ++rank)
      graph.mix(round, rank, size, [&](share s) {
        if (s.from < 0 || s.from >= size || s.to < 0 || s.to >= size) return flaw(mixing_flaw::rank_out_of_range, rank, -1);
        if (s.from != rank && s.to != rank) return flaw(mixing_flaw::touches_neither, rank, -1);
        if (!(s.weight > 0) || !std::isfinite(s.weight)) return flaw(mixing_flaw::weight_not_positive, s.to, s.from);
        if (s.from == rank) told.push_back(s);
        if (s.to == rank) heard.push_back(s);
      });
    const auto order = [](const share& a, const share& b) { return a.from != b.from ? a.from < b.from : a.to < b.to; };
    std::sort(told.begin(), told.end(), order);
    std::sort(heard.begin(), heard.end(), order);
    for (const auto* side : {&told, &heard})
      for (std::size_t k = 1; k < side->size(); ++k)
        if (!order((*side)[k - 1], (*side)[k])) flaw(mixing_flaw::repeated, (*side)[k].to, (*side)[k].from);
    for (std::size_t k = 0; found.holds() && k < (std::max)(told.size(), heard.size()); ++k) {
      const bool both = k < told.size() && k < heard.size();
      if (both && told[k].from == heard[k].from && told[k].to == heard[k].to && told[k].weight == heard[k].weight) continue;
      const share& s = k >= told.size() ? heard[k] : k >= heard.size() || order(told[k], heard[k]) ? told[k] : heard[k];
      flaw(mixing_flaw::ends_differ, s.to, s.from);
    }
    std::vector<double> rows(std::size_t(size), 0.0), columns(std::size_t(size), 0.0);
    for (const share& s : heard) rows[std::size_t(s.to)] += s.weight, columns[std::size_t(s.from)] += s.weight;
    for (int rank = 0; rank < size; ++rank) {
      const double row = rows[std::size_t(rank)], column = columns[std::size_t(rank)];
      if (needs == stochastic::rows_and_columns && std::abs(row - 1) > 1e-9) flaw(mixing_flaw::rows_differ, rank, -1, row);
      if (std::abs(column - 1) > 1e-9) flaw(mixing_flaw::columns_differ, rank, -1, column);
    }
    if (!found.holds()) return found;
    all.insert(all.end(), heard.begin(), heard.end());
  }
  return detail::connected(all, size);
}

} // namespace tutti
