// Shamir's secret sharing (CACM 1979): any `threshold` shares make the secret, and fewer say nothing about it.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/federated/secure/prime_field.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::secure {

/// What one holder has of a secret of several numbers: each is the value at 0 of a polynomial of its own, and this is
/// their values at `at`.
template <class Field>
struct share {
  std::uint32_t threshold = 0; ///< how many make the secret
  std::uint32_t at = 0;        ///< not 0, and another one for each holder
  std::vector<Field> values = {};

  friend bool operator==(const share&, const share&) = default;
};

namespace detail {

[[noreturn]] inline void refuse_shares(error_code code, std::string why) {
  throw error{{.code = code, .call = "shamir", .detail = std::move(why)}};
}

/// By what the values at those places are multiplied so that their sum is the value at `wanted`, which is none of them.
template <class Field>
std::vector<Field> lagrange_weights(std::span<const Field> places, Field wanted) {
  std::vector<Field> weights;
  for (std::size_t j = 0; j < places.size(); ++j) {
    Field above{1}, below{1};
    for (std::size_t k = 0; k < places.size(); ++k) {
      if (k == j) continue;
      above *= wanted - places[k];
      below *= places[j] - places[k];
    }
    weights.push_back(above * below.inverse());
  }
  return weights;
}

template <class Field>
Field weighed(std::span<const share<Field>> shares, std::span<const Field> weights, std::size_t number) {
  Field sum;
  for (std::size_t j = 0; j < weights.size(); ++j) sum += weights[j] * shares[j].values[number];
  return sum;
}

} // namespace detail

/// A share of `secret` for each of the places `at`. draw() gives numbers of the field, uniform and secret. Throws
/// invalid_argument for a threshold below 1 or above the number of places, and for a place that is 0 or there twice.
/// O(places x threshold) multiplications for each number.
template <class Field, class Draw>
std::vector<share<Field>> split(std::span<const Field> secret, int threshold, std::span<const std::uint32_t> at,
                                Draw&& draw) {
  constexpr auto refused = error_code::invalid_argument;
  if (threshold < 1 || std::size_t(threshold) > at.size())
    detail::refuse_shares(refused, std::to_string(threshold) + " of " + std::to_string(at.size()) +
                                       " shares were to make the secret - give at least 1 and at most all of them");
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (at[k] == 0 || at[k] >= Field::prime)
      detail::refuse_shares(refused, "a share at " + std::to_string(at[k]) + " - give 1 to less than the prime");
    for (std::size_t j = 0; j < k; ++j)
      if (at[j] == at[k]) detail::refuse_shares(refused, "two shares at " + std::to_string(at[k]));
  }
  std::vector<share<Field>> out;
  for (const std::uint32_t place : at) out.push_back({std::uint32_t(threshold), place});
  std::vector<Field> polynomial(static_cast<std::size_t>(threshold));
  for (const Field number : secret) {
    polynomial[0] = number;
    for (std::size_t k = 1; k < polynomial.size(); ++k) polynomial[k] = draw();
    for (share<Field>& one : out) {
      Field value;
      for (std::size_t k = polynomial.size(); k-- > 0;) value = value * Field{one.at} + polynomial[k];
      one.values.push_back(value);
    }
  }
  return out;
}

/// The secret. Throws bad_data for fewer shares than their threshold says, for shares of unlike thresholds or lengths,
/// for two at one place, and where those beyond the threshold do not lie on the polynomial of the others.
template <class Field>
std::vector<Field> recovered(std::span<const share<Field>> shares) {
  constexpr auto refused = error_code::bad_data;
  if (shares.empty()) detail::refuse_shares(refused, "no share was given");
  const std::size_t threshold = shares[0].threshold, numbers = shares[0].values.size();
  if (threshold < 1 || shares.size() < threshold)
    detail::refuse_shares(refused, std::to_string(shares.size()) + " shares were given, and " +
                                       std::to_string(threshold) + " make the secret");
  std::vector<Field> places;
  for (const share<Field>& one : shares) {
    if (one.threshold != threshold || one.values.size() != numbers || one.at == 0 || one.at >= Field::prime)
      detail::refuse_shares(refused, "the shares are not of one secret");
    for (const Field before : places)
      if (before == Field{one.at}) detail::refuse_shares(refused, "two shares at " + std::to_string(one.at));
    places.push_back(Field{one.at});
  }
  const std::span<const Field> taken = std::span<const Field>{places}.first(threshold);
  for (std::size_t k = threshold; k < shares.size(); ++k) {
    const std::vector<Field> weights = detail::lagrange_weights(taken, places[k]);
    for (std::size_t number = 0; number < numbers; ++number)
      if (detail::weighed<Field>(shares, weights, number) != shares[k].values[number])
        detail::refuse_shares(refused, "the share at " + std::to_string(shares[k].at) +
                                           " does not fit the others: one of them is wrong");
  }
  const std::vector<Field> weights = detail::lagrange_weights(taken, Field{});
  std::vector<Field> secret;
  for (std::size_t number = 0; number < numbers; ++number)
    secret.push_back(detail::weighed<Field>(shares, weights, number));
  return secret;
}

} // namespace tutti::secure
