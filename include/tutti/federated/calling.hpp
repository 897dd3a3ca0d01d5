// Calling clients: of those who were drawn, who is there, who finishes, and who is taken. All ranks come to the same.
#pragma once

#include <tutti/federated/cohort_roll.hpp>
#include <tutti/sync/attendance.hpp>
#include <tutti/sync/sampling.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Of policies that say nothing of it, the default.
template <class Sync>
attendance attendance_of(const Sync& sync) {
  if constexpr (requires { { sync.attendance } -> std::convertible_to<attendance>; })
    return sync.attendance;
  else
    return {};
}
/// Whether rounds draw as many as the policy's cohort says, and not whom a sampler says.
template <class Sync>
inline constexpr bool draws_a_cohort = true;
template <class Sync>
  requires requires(const Sync& sync) { sync.sampler; }
inline constexpr bool draws_a_cohort<Sync> =
    std::same_as<std::remove_cvref_t<decltype(std::declval<const Sync&>().sampler)>, by_fraction>;

template <class Population>
inline constexpr bool says_availability = requires(Population& p) {
  { p.available(0, std::uint32_t{1}) } -> std::convertible_to<bool>;
};
template <class Population>
inline constexpr bool says_durations = requires(Population& p) {
  { p.duration(0, std::uint32_t{1}) } -> std::convertible_to<double>;
};

/// What is wrong with it, for such clients; empty when nothing is.
template <class Sync, class Population>
std::string wrong_attendance(const Sync& sync) {
  const attendance stands = detail::attendance_of(sync);
  if (stands.over_select > 1 && !draws_a_cohort<Sync>)
    return "attendance asks more clients than the cohort, and the sampler says itself who is asked - leave over_select "
           "out, or draw by fraction";
  if (stands.deadline > 0 && !says_durations<Population>)
    return "attendance has a deadline, and the population says no durations - give it duration(client, round), or "
           "leave the deadline out";
  return {};
}

/// How many of so many clients are asked, where all are there.
template <class Sync>
int asked_of(const Sync& sync, int clients) {
  const double asked = std::ceil(detail::attendance_of(sync).over_select * sync.cohort(clients) - 1e-9);
  return asked < clients ? int(asked) : clients;
}

/// Puts clients on the roll of a round: of `drawn`, in that order, those who are there, until there are `most`. Of them
/// the first `wanted` that come are taken.
template <class Population>
void call_clients(cohort_roll& roll, Population& clients, const attendance& stands, const std::vector<int>& drawn,
                  std::size_t most, std::size_t wanted, std::uint64_t seed) {
  std::vector<std::pair<double, std::size_t>> finish; // who does: when, and at which place
  const auto take = [&](int client) {
    double duration = 0;
    if constexpr (says_durations<Population>) duration = double(clients.duration(client, roll.round()));
    if (!(duration >= 0)) duration = std::numeric_limits<double>::infinity();
    fate what;
    if (detail::drawn_number(seed, roll.round(), client, client_draw::drop_out) < stands.drop_out)
      what = absence::dropped_out;
    else if (stands.deadline > 0 && duration > stands.deadline)
      what = absence::late;
    else
      finish.push_back({duration, roll.all().size()});
    roll.add(client, what);
  };
  for (const int client : drawn) {
    if (roll.all().size() == most) break;
    if constexpr (says_availability<Population>)
      if (!bool(clients.available(client, roll.round()))) {
        roll.add_unavailable(client);
        continue;
      }
    take(client);
  }
  if (finish.size() <= wanted) return;
  std::sort(finish.begin(), finish.end());
  for (std::size_t k = wanted; k < finish.size(); ++k) roll.note(finish[k].second, absence::surplus);
}

} // namespace tutti::detail
