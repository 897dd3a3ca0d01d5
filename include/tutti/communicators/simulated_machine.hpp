// The machine that simulated ranks run on, and what a run on it has cost.
#pragma once

#include <tutti/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::simulated {

namespace detail {

template <class Signature>
class shared_function;

/// A function of the user's own; empty, or kept for as long as a copy of this lives.
template <class Result, class... Arguments>
class shared_function<Result(Arguments...)> {
public:
  shared_function() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, shared_function> &&
             std::is_invocable_r_v<Result, const std::remove_cvref_t<F>&, Arguments...>)
  shared_function(F&& f) : held_{std::make_shared<holding<std::remove_cvref_t<F>>>(std::forward<F>(f))} {}

  explicit operator bool() const noexcept { return held_ != nullptr; }
  Result operator()(Arguments... arguments) const { return held_->call(arguments...); }

private:
  struct held {
    virtual ~held() = default;
    virtual Result call(Arguments...) const = 0;
  };
  template <class F>
  struct holding final : held {
    explicit holding(F f) : function{std::move(f)} {}
    Result call(Arguments... arguments) const override { return function(arguments...); }
    const F function;
  };
  std::shared_ptr<const held> held_;
};

/// Virtual time, in picoseconds since the run began: whole numbers, so that sums of many do not drift.
using ticks = std::int64_t;
inline constexpr ticks never = INT64_MAX;
inline constexpr double ticks_a_second = 1e12;
inline constexpr ticks last_tick = INT64_MAX / 2; ///< 53 days

inline double seconds_of(ticks t) noexcept { return double(t) / ticks_a_second; }
/// Rounded to the nearest; what is longer than all time is all of it.
inline ticks ticks_of(double seconds) noexcept {
  const double t = seconds * ticks_a_second;
  return t < double(last_tick) ? ticks(std::llround(t)) : last_tick;
}

} // namespace detail

/// A message of b bytes keeps the ports of both its ends for b / bandwidth each, and its first byte arrives `latency`
/// after it has left: alone, it takes latency + b / bandwidth.
struct link {
  double latency = 5e-6;     ///< seconds
  double bandwidth = 1.25e9; ///< bytes a second; infinite is allowed
};

/// What ranks run on. A port sends one message at a time, in the order in which they were posted, and receives one at
/// a time, in the order in which they begin to arrive; a port does both at once. A node has one port to the other
/// nodes, and each rank one to the other ranks of its node.
struct machine {
  link between = {};                                   ///< nodes
  link within = {.latency = 5e-7, .bandwidth = 1e10};  ///< a node
  std::vector<int> nodes = {};                         ///< of each rank, from 0 on; empty: each is on one of its own
  /// In place of both: the link from one rank to another. Asked for every message.
  detail::shared_function<link(int from, int to)> link_of = {};
  /// What a rank computes in a second, from a time in seconds on: 1 is what `compute` asks for. Asked once a call of
  /// that, for its beginning. Whoever draws it draws from (rank, time), or two runs are not the same. What depends on
  /// the number of a step is the program's to say, by the seconds that it gives `compute`.
  detail::shared_function<double(int rank, double seconds)> speed = {};
  double per_folded_byte = 0; ///< seconds of computing that a collective takes to combine a byte, at speed 1
};

/// One rank's part in a run.
struct rank_report {
  double seconds = 0; ///< when it returned
  double compute = 0; ///< of these: computing
  double wait = 0;    ///< and waiting
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
};

/// What a run has taken, in virtual seconds, and what was sent.
struct report {
  double seconds = 0; ///< until the last rank returned
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t trace_hash = 0; ///< of all that happened, with its time: equal for equal runs
  std::vector<rank_report> ranks = {};
};

namespace detail {

[[noreturn]] inline void refuse(std::string why, const char* call) {
  throw error{{.code = error_code::invalid_argument, .call = call, .detail = std::move(why)}};
}
inline void require_link(const link& l, const char* call) {
  const auto refuse = [&](std::string why) { detail::refuse(std::move(why), call); };
  if (!(l.latency >= 0 && l.latency < seconds_of(last_tick)))
    refuse("a link has a latency of " + std::to_string(l.latency) + " s - give 0 or more");
  if (!(l.bandwidth > 0))
    refuse("a link has a bandwidth of " + std::to_string(l.bandwidth) + " bytes a second - give more than 0");
}
inline void require_machine(const machine& on, int ranks, const char* call) {
  const auto refuse = [&](std::string why) { detail::refuse(std::move(why), call); };
  require_link(on.between, call);
  require_link(on.within, call);
  if (!(on.per_folded_byte >= 0 && on.per_folded_byte < 1))
    refuse("to combine a byte takes " + std::to_string(on.per_folded_byte) + " s - give 0 or more, and less than 1");
  if (!on.nodes.empty() && on.nodes.size() != std::size_t(ranks))
    refuse("machine::nodes has " + std::to_string(on.nodes.size()) + " numbers - give one for each of " +
           std::to_string(ranks) + " ranks, or none");
  for (const int node : on.nodes)
    if (node < 0 || node >= ranks)
      refuse("machine::nodes names node " + std::to_string(node) + " - give 0 to " + std::to_string(ranks - 1));
}

/// How long a message keeps a port: a byte on a fast link is not nothing.
inline ticks ticks_for(std::size_t bytes, const link& l) noexcept {
  if (bytes == 0 || l.bandwidth == HUGE_VAL) return 0;
  const ticks t = ticks_of(double(bytes) / l.bandwidth);
  return t > 0 ? t : 1;
}

} // namespace detail
} // namespace tutti::simulated
