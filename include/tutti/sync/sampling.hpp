// Samplers: who takes part in a round. Every draw is named by (seed, round, client), so that all ranks draw the same.
//
//   draw(clients, seed, round, examples) -> clients that are asked, each at most once; examples(client) is what one
//                                        holds
//   wrong() -> text                      what is wrong with its numbers; empty when nothing is
//
// All draw without replacement. In a round in which nobody is drawn nothing changes, and it is a round all the same.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// `count` of `clients` distinct clients, drawn uniformly by (seed, round): the same on every rank.
/// Throws invalid_argument when there are not that many.
inline std::vector<int> draw_cohort(int clients, int count, std::uint64_t seed, std::uint32_t round) {
  if (clients < 0 || count < 0 || count > clients)
    throw error{{.code = error_code::invalid_argument,
                 .call = "draw_cohort",
                 .detail = std::to_string(count) + " of " + std::to_string(clients) +
                           " clients were asked for - draw at least none and at most all of them"}};
  // Streams of clients are named 0 .. clients - 1; the draw itself has a name of its own.
  random_stream random{seed, round, ~std::uint64_t{0}};
  std::vector<int> all(static_cast<std::size_t>(clients));
  for (int c = 0; c < clients; ++c) all[std::size_t(c)] = c;
  for (int k = 0; k < count; ++k) {
    const auto j = std::size_t(k) + random.below(std::uint32_t(clients - k));
    std::swap(all[std::size_t(k)], all[j]);
  }
  all.resize(std::size_t(count));
  return all;
}

namespace detail {

/// What is drawn of one client in one round, beside what its training draws.
enum class client_draw : std::uint64_t { sampling = std::uint64_t{1} << 63, drop_out = std::uint64_t{1} << 62 };

/// Uniform in [0, 1), a multiple of 2^-53.
inline double drawn_number(std::uint64_t seed, std::uint32_t round, int client,
                           client_draw what = client_draw::sampling) {
  random_stream random{seed, round, std::uint64_t(what) | std::uint64_t(client)};
  const std::uint64_t high = random() >> 5, low = random() >> 6;
  return double(high << 26 | low) * 0x1p-53;
}
inline bool is_rate(double rate) { return rate >= 0 && rate <= 1; }

} // namespace detail

/// As many as the policy's fraction says, all sets of so many alike often.
struct by_fraction {};

/// Each client by itself, with probability `rate`: the sampling that amplifies privacy, as accountants of Poisson
/// sampling have it.
struct poisson_sampling {
  double rate = 0.1;

  std::string wrong() const {
    return detail::is_rate(rate) ? "" : "the rate of poisson_sampling is no probability - give 0 to 1";
  }
  template <class Examples>
  std::vector<int> draw(int clients, std::uint64_t seed, std::uint32_t round, Examples&&) const {
    std::vector<int> drawn;
    for (int c = 0; c < clients; ++c)
      if (detail::drawn_number(seed, round, c) < rate) drawn.push_back(c);
    return drawn;
  }
};

/// The same, and of more than `most` that many of them, drawn uniformly: Chua et al., "Scalable DP-SGD: shuffling vs.
/// Poisson subsampling" (arXiv 2411.04205), whose accounting it needs.
struct truncated_poisson_sampling {
  double rate = 0.1;
  int most = 100;

  std::string wrong() const {
    if (!detail::is_rate(rate)) return "the rate of truncated_poisson_sampling is no probability - give 0 to 1";
    return most >= 1 ? "" : "most of truncated_poisson_sampling is less than 1 - give how many a round has room for";
  }
  template <class Examples>
  std::vector<int> draw(int clients, std::uint64_t seed, std::uint32_t round, Examples&& examples) const {
    const std::vector<int> drawn = poisson_sampling{rate}.draw(clients, seed, round, examples);
    if (drawn.size() <= std::size_t(most)) return drawn;
    std::vector<int> kept;
    for (const int k : tutti::draw_cohort(int(drawn.size()), most, seed, round)) kept.push_back(drawn[std::size_t(k)]);
    std::sort(kept.begin(), kept.end());
    return kept;
  }
};

/// The same clients in every round: silos.
struct fixed_cohort {
  std::vector<int> members;

  std::string wrong() const {
    return members.empty() ? "a fixed_cohort has no members - name the clients that are in it" : "";
  }
  template <class Examples>
  std::vector<int> draw(int clients, std::uint64_t, std::uint32_t, Examples&&) const {
    std::vector<int> all = members;
    std::sort(all.begin(), all.end());
    const bool twice = std::adjacent_find(all.begin(), all.end()) != all.end();
    if (twice || (!all.empty() && (all.front() < 0 || all.back() >= clients)))
      throw error{{.code = error_code::invalid_argument,
                   .call = "fixed_cohort",
                   .detail = "a member is named twice, or is no client - name clients 0 to " +
                             std::to_string(clients - 1)}};
    return members;
  }
};

/// `count` clients, or all that hold anything where these are fewer, one after the other with probabilities in the
/// ratio of what those who are left hold: Efraimidis, Spirakis, "Weighted random sampling with a reservoir" (IPL
/// 2006). examples(client) is asked of every client on every rank.
struct weighted_sampling {
  int count = 10;

  std::string wrong() const {
    return count >= 1 ? "" : "count of weighted_sampling is less than 1 - give how many are drawn";
  }
  template <class Examples>
  std::vector<int> draw(int clients, std::uint64_t seed, std::uint32_t round, Examples&& examples) const {
    std::vector<std::pair<double, int>> waits; // exponentially distributed: the first `count` are drawn
    for (int c = 0; c < clients; ++c)
      if (const double holds = double(examples(c)); holds > 0)
        waits.push_back({-std::log1p(-detail::drawn_number(seed, round, c)) / holds, c});
    std::sort(waits.begin(), waits.end());
    std::vector<int> drawn;
    for (std::size_t k = 0; k < waits.size() && k < std::size_t(count); ++k) drawn.push_back(waits[k].second);
    return drawn;
  }
};

} // namespace tutti
