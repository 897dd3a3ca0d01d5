// How much noise a privacy that is asked for takes.
#pragma once

#include <tutti/federated/accountants/release.hpp>
#include <tutti/federated/accountants/renyi.hpp>

#include <cstdint>
#include <string>

namespace tutti {

/// What is asked for.
struct privacy_target {
  double epsilon = 1;
  double delta = 1e-5;
  double rate = 1;         ///< at which clients are in a sum
  std::int64_t times = 1;  ///< how many sums are let out
};

/// The least multiplier of noise, to one part in 10^9 and on the safe side, with which the accountant gives at most
/// that epsilon. By bisection, some 40 calls of the accountant. Throws invalid_argument for numbers that cannot be, and
/// where no noise of up to 10^6 is enough.
template <class Accountant = renyi_accountant>
double noise_multiplier_for(const privacy_target& target, const Accountant& accountant = {}) {
  constexpr const char* call = "noise_multiplier_for";
  if (!(target.epsilon > 0) || !is_finite(target.epsilon))
    detail::refuse_accounting(call, "the epsilon that is asked for is not a positive number");
  const auto enough = [&](double multiplier) {
    const noisy_release one{target.rate, multiplier, target.times};
    return accountant.epsilon({&one, 1}, target.delta) <= target.epsilon;
  };
  double high = 1, low = 1;
  while (!enough(high))
    if ((high *= 2) > 1e6)
      detail::refuse_accounting(call, "no multiplier of up to 10^6 gives an epsilon of " +
                                          std::to_string(target.epsilon) + " - let out fewer sums, or ask for less");
  if (high > 1) low = high / 2;
  while (low > 1e-3 && enough(low)) high = low, low /= 2;
  while (high - low > 1e-9 * high) {
    const double middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

} // namespace tutti
