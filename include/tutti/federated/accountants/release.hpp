// What an accountant adds up: noisy sums that were let out.
//
//   epsilon(releases, delta) -> double     such that all of them together are (epsilon, delta)-differentially private
//                                          for one client more or less; infinity where no epsilon is
//   wrong() -> text                        what is wrong with the accountant's numbers; empty when nothing is
//
// A sum of contributions that are at most S long is let out with normal noise of deviation multiplier S in every
// element. Each client is in it with probability `rate`, by itself: Poisson sampling, and nothing else; a rate of 1 is
// everybody. One client more or less is what two neighbours differ in; a client counts with all of its examples.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/error.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace tutti {

/// So many sums that were let out alike.
struct noisy_release {
  double rate = 1;       ///< at which clients are in a sum, 0 to 1
  double multiplier = 1; ///< deviation of the noise over the greatest length of a contribution, more than 0
  std::int64_t times = 1;

  friend bool operator==(const noisy_release&, const noisy_release&) = default;
};

namespace detail {

[[noreturn]] inline void refuse_accounting(const char* call, std::string why) {
  throw error{{.code = error_code::invalid_argument, .call = call, .detail = std::move(why)}};
}
/// NaN and infinities are no numbers of any.
inline void require_accountable(const char* call, std::span<const noisy_release> all, double delta) {
  if (!(delta > 0 && delta < 1))
    detail::refuse_accounting(call, "delta is not between 0 and 1 - give less than one over the number of clients");
  for (const noisy_release& one : all) {
    if (!(one.rate >= 0 && one.rate <= 1))
      detail::refuse_accounting(call, "the rate of a release is no probability - give 0 to 1");
    if (!(one.multiplier > 0) || !is_finite(one.multiplier))
      detail::refuse_accounting(call, "the multiplier of a release is not a positive number - give the deviation of "
                                      "the noise over the greatest length of a contribution");
    if (one.times < 0) detail::refuse_accounting(call, "a release was made a negative number of times");
  }
}

} // namespace detail
} // namespace tutti
