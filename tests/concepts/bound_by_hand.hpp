// A trainer on a carrier of the test's own: what a strategy's bind() does with the parts that ship.
#pragma once

#include <tutti/tutti.hpp>

#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace concepts {

/// carry(parts) makes the carrier of this rank; the policy outlives the trainer.
template <class Comm, class Policy, class Optimizer, class Carry>
auto bound_by_hand(Comm& world, const Policy& policy, std::vector<float>& values,
                   Optimizer optimizer, bool whole, Carry carry) {
  using namespace tutti;
  auto memory = std::make_unique<detail::host_verbs<float>>();
  auto& in = *memory;
  const auto outer = [&](place where) {
    if constexpr (requires { policy.outer; }) return detail::updater<float>{in, policy.outer, where};
    else return detail::updater<float>{};
  };
  detail::compared_numbers numbers;
  numbers.add(policy);
  return trainer<float, Optimizer>{
      detail::training_plan<float>{.facts = {.policy = answers_of(policy),
                                             .period = detail::period_answer{policy},
                                             .means = true,
                                             .weighs = false,
                                             .whole = whole},
                                   .how = {},
                                   .ranks = std::make_unique<control_on<Comm>>(world, options{}),
                                   .bound = detail::bound<float>(in, detail::as_tensors(values)),
                                   .numbers = std::move(numbers),
                                   .wrong = {},
                                   .where = std::move(memory),
                                   .carry = carry,
                                   .outer = outer},
      std::move(optimizer)};
}

} // namespace concepts
