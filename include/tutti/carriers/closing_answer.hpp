// closing_answer: what a policy with servers says of how steps close, whichever policy it is.
#pragma once

#include <tutti/sync/closing_rule.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/sync/worker_clocks.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

namespace tutti::detail {

/// The rule of a policy without closing() is a bound on staleness.
template <class P>
std::unique_ptr<any_rule> closing_rule_of(const P& policy, std::span<const std::int64_t> clocks) {
  if constexpr (closes_steps<P>) {
    using rule = std::remove_cvref_t<decltype(policy.closing(clocks))>;
    return std::make_unique<rule_of<rule>>(policy.closing(clocks));
  } else {
    return std::make_unique<rule_of<worker_clocks>>(worker_clocks{clocks, answers_of(policy).staleness});
  }
}

/// Keeps a copy of the policy.
class closing_answer {
public:
  template <class P>
    requires(!std::is_same_v<P, closing_answer>)
  explicit closing_answer(const P& policy)
      : policy_{std::make_shared<const P>(policy)},
        begin_{[](const void* p, std::span<const std::int64_t> clocks) {
          return detail::closing_rule_of(*static_cast<const P*>(p), clocks);
        }},
        together_{pushes_together<P>}, goes_on_{detail::on_loss_of(policy) == on_loss::go_on} {}

  /// A rule that begins there.
  std::unique_ptr<any_rule> begin(std::span<const std::int64_t> clocks) const { return begin_(policy_.get(), clocks); }
  /// Whether training goes on without a worker that is lost.
  bool goes_on() const noexcept { return goes_on_; }
  /// Whether steps are made of several pushes.
  bool together() const noexcept { return together_; }

private:
  std::shared_ptr<const void> policy_;
  std::unique_ptr<any_rule> (*begin_)(const void*, std::span<const std::int64_t>);
  bool together_, goes_on_;
};

} // namespace tutti::detail
