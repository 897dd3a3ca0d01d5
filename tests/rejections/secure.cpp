// Secure sums that would not be exact, or not secure.
#include <tutti/federated/secure/secure_sum.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/tutti.hpp>

#include <cstdint>
#include <vector>

void sums(tutti::self& comm) {
  using tutti::strategy;
  const tutti::federated clipped{.clip = 1};
  // REJECT float_masks: tutti::secure::ring: masks cancel in words of whole numbers alone, .* give std::uint32_t or
  // REJECT overflowing_word: tutti::secure::ring: the sum of so many clients overflows the word
  // REJECT overflowing_weights: tutti::secure::ring: the sum of so many clients overflows the word
  // REJECT no_bits: tutti::secure::ring: values have 2 to 52 bits
  // REJECT krum_behind_a_sum: tutti::strategy: this reducer compares what clients send, and a secure sum shows
  // REJECT median_behind_a_sum: tutti::strategy: this reducer compares what clients send, and a secure sum shows
  // REJECT float_sum: tutti::strategy: masks cancel in sums of integers alone, .* use tutti::reproducible_mean
  // REJECT variates_in_the_open: tutti::strategy: the variates of tutti::scaffold would be added up in the open
  // REJECT no_clients: tutti::strategy: an accumulator adds up what clients send, and this sync policy has none
  // REJECT two_accumulators: tutti: two accumulators were given - keep one
#if defined REJECT_float_masks
  const tutti::secure_sum_in<20, 1024, float> masks_of_floats;
#elif defined REJECT_overflowing_word
  const tutti::secure_sum_in<24, 257, std::uint32_t> overflowing;
#elif defined REJECT_overflowing_weights
  const auto word = tutti::secure::ring<std::uint32_t, 13, 9, 60'000>::of(1);
#elif defined REJECT_no_bits
  const tutti::secure_sum_in<1, 8, std::uint32_t> nothing_but_signs;
#elif defined REJECT_krum_behind_a_sum
  strategy made{comm, clipped, tutti::krum{.f = 1}, tutti::secure_sum{}};
#elif defined REJECT_median_behind_a_sum
  strategy made{comm, clipped, tutti::median{}, tutti::secure_sum{}};
#elif defined REJECT_float_sum
  strategy made{comm, clipped, tutti::weighted_mean{}, tutti::secure_sum{}};
#elif defined REJECT_variates_in_the_open
  strategy made{comm, tutti::scaffold{{.clip = 1}}, tutti::secure_sum{}};
#elif defined REJECT_no_clients
  strategy made{comm, tutti::secure_sum{}};
#elif defined REJECT_two_accumulators
  strategy made{comm, clipped, tutti::secure_sum{}, tutti::as_reduced{}};
#else
  const tutti::secure_sum_in<24, 256, std::uint32_t> as_many_as_fit;
  const auto word = tutti::secure::ring<std::uint32_t, 13, 8, 60'000>::of(1);
  strategy hidden{comm, clipped, tutti::secure_sum{}};
  strategy alike{comm, clipped, tutti::reproducible_mean{}, as_many_as_fit};
  strategy duals{comm, tutti::fed_dyn{{.clip = 1}}, tutti::secure_sum{}};
  strategy compared{comm, clipped, tutti::krum{.f = 1}, tutti::as_reduced{}};
  (void)word;
#endif
}

void servers(tutti::self& comm, std::vector<float>& model) {
  using tutti::round_server;
  const tutti::federated clipped{.clip = 1};
  const tutti::federated_by<tutti::sgd, tutti::poisson_sampling> sampled{};
  // REJECT secure_server: tutti::round_server: a secure sum asks each client four times in a round
  // REJECT rounded_server: tutti::round_server: with this reducer bits depend on who answers first
  // REJECT sampled_server: tutti::round_server: clients come and go, and this sampler of the sync policy draws from a
  // REJECT coded_server: tutti::round_server: this does not say how answers become one - give a reducer or a privacy
#if defined REJECT_secure_server
  round_server server{comm, model, clipped, tutti::secure_sum{}};
#elif defined REJECT_rounded_server
  round_server server{comm, model, clipped, tutti::weighted_mean{}};
#elif defined REJECT_sampled_server
  round_server server{comm, model, sampled};
#elif defined REJECT_coded_server
  round_server server{comm, model, clipped, tutti::identity{}};
#else
  round_server averaging{comm, model, clipped};
  round_server comparing{comm, model, clipped, tutti::krum{.f = 1}, {.seed = 2}};
  (void)sampled;
#endif
}
