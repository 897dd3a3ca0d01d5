// Closing rules: when does a step at a server close, what does a push to it count for, and who may go on?
//
// A policy that is carried by servers answers with a rule:
//
//   closing(clocks) -> rule    where the worker of rank r has made clocks[r] steps, no_worker if it makes none
//   wrong(workers) -> text     optional: what is wrong with the policy's numbers for so many workers; empty when
//                              nothing is. Every rank asks it before anything is bound
//   together, weighs           optional facts: a step is made of the pushes of several workers, so they may weigh; and
//                              they do, by a weighted_mean, where no reducer is named
//
// One without closing() has `detail::worker_clocks` of its `staleness`. Each server keeps a rule for its own key range.
// It is pure state and knows of no messages; a server tells it what happens, and asks:
//
//   takes(worker, clock, now) -> worth   the worker has pushed its step `clock`: what that counts for, 0 when it is
//                                        too late and is dropped. Each (worker, clock) is told once, in their order
//   closes(now) -> bool                  whether what has come makes a step; then the next one begins
//   lets_go(worker) -> bool              of one that waits for an answer: whether it may have it; then it is told so
//   ends(worker)                         it makes no more steps: it has finished, or it is lost
//
// and, optional,
//
//   shares() -> double     into how many shares a mean divides a step; without it by what its pushes count for
//   needs_all() -> bool    no step closes without every worker that is left: what they are answered need not be copied,
//                          as nothing changes it before it has arrived
//   until() -> deadline    when closes() may change its mind though nothing happens
//   numbers()              a span of as many std::int64_t as there are ranks, which it goes on from with a checkpoint
//
// Laws: a worker that waits is let go in the end, if those that work push, and when it is the only one left; after
// closes() has said yes, it says no until something else has happened. `now` is a time of the communicator's clock.
#pragma once

#include <tutti/core/options.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti {

/// The clock of a rank that makes no steps.
inline constexpr std::int64_t no_worker = (std::numeric_limits<std::int64_t>::max)();

template <class R>
concept closing_rule =
    std::movable<R> && requires(R rule, int worker, std::int64_t clock, deadline now) {
      { rule.takes(worker, clock, now) } -> std::same_as<double>;
      { rule.closes(now) } -> std::same_as<bool>;
      { rule.lets_go(worker) } -> std::same_as<bool>;
      rule.ends(worker);
    };

namespace detail {

template <class P>
concept names_closing = requires { &P::closing; } || requires(const P& p) { p.closing({}); };
/// Whether what it answers is a rule.
template <class P>
concept closes_steps = requires(const P& p, std::span<const std::int64_t> clocks) {
  requires closing_rule<std::remove_cvref_t<decltype(p.closing(clocks))>>;
};

template <class P>
inline constexpr bool pushes_together = false;
template <class P>
  requires requires { P::together; }
inline constexpr bool pushes_together<P> = P::together;

template <class P>
inline constexpr bool weighs_pushes = false;
template <class P>
  requires requires { P::weighs; }
inline constexpr bool weighs_pushes<P> = P::weighs;

/// A rule of any kind. Asked once or twice a push.
class any_rule {
public:
  virtual ~any_rule() = default;
  virtual double takes(int worker, std::int64_t clock, deadline now) = 0;
  virtual bool closes(deadline now) = 0;
  virtual bool lets_go(int worker) = 0;
  virtual void ends(int worker) = 0;
  virtual double shares() const = 0; ///< 0 for none
  virtual bool needs_all() const = 0;
  virtual deadline until() const = 0;
  virtual std::span<std::int64_t> numbers() = 0;
};

template <closing_rule R>
class rule_of final : public any_rule {
public:
  explicit rule_of(R rule) : rule_{std::move(rule)} {}
  double takes(int worker, std::int64_t clock, deadline now) override { return rule_.takes(worker, clock, now); }
  bool closes(deadline now) override { return rule_.closes(now); }
  bool lets_go(int worker) override { return rule_.lets_go(worker); }
  void ends(int worker) override { rule_.ends(worker); }
  double shares() const override {
    if constexpr (requires { double(rule_.shares()); })
      return rule_.shares();
    else
      return 0;
  }
  bool needs_all() const override {
    if constexpr (requires { bool(rule_.needs_all()); })
      return rule_.needs_all();
    else
      return false;
  }
  deadline until() const override {
    if constexpr (requires { { rule_.until() } -> std::same_as<deadline>; })
      return rule_.until();
    else
      return (deadline::max)();
  }
  std::span<std::int64_t> numbers() override {
    if constexpr (requires { { rule_.numbers() } -> std::same_as<std::span<std::int64_t>>; })
      return rule_.numbers();
    else
      return {};
  }

private:
  R rule_;
};

} // namespace detail
} // namespace tutti
