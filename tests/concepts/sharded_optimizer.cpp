// A sharded optimizer: synchronous training with the update at the owner of the key range.
// Gradients are reduce-scattered, each rank updates its share with its part of the optimizer's
// state, parameters are all-gathered (Rajbhandari et al., "ZeRO: memory optimizations toward
// training trillion parameter models", SC 2020, stage 1).
#include <tutti/core/random.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct sharded : tutti::sync_defaults {
  static constexpr auto update = tutti::updates_at::owner;
};

static_assert(tutti::sync_policy<sharded>);
static_assert(sharded::carrier == tutti::carried_by::schedule,
              "no servers: every rank is an owner");
static_assert(sharded::repeats > tutti::determinism::none);
static_assert(tutti::ring::gives(tutti::collective::reduce_scatter) &&
              tutti::ring::gives(tutti::collective::all_gather));
static_assert(tutti::optimizer<tutti::adam, float>);

using values = std::vector<float>;

/// Where `rank` updates: everything, or its share of n values.
struct key_range {
  std::size_t begin, end;
};
template <tutti::sync_policy Policy>
key_range updated_by(const Policy&, int rank, int size, std::size_t n) {
  if constexpr (Policy::update == tutti::updates_at::replica) return {0, n};
  const tutti::partition cut{n, size, size};
  return {cut.offset(rank), cut.offset(rank + 1)};
}

/// A few steps on simulated ranks, which all see the mean gradient of their share.
template <tutti::sync_policy Policy>
values trained(const Policy& policy, int size, std::size_t n,
               std::vector<std::size_t>& state_held) {
  tutti::random_stream draw{1};
  const tutti::adam optimizer{.learning_rate = .1};
  values parameters(n, 1.f), mean_gradient(n);
  std::vector<values> first(std::size_t(size), values{}), second = first;
  for (std::int64_t step = 1; step <= 5; ++step) {
    for (float& g : mean_gradient) g = draw.uniform() - .5f;
    values gathered = parameters;
    for (int rank = 0; rank < size; ++rank) {
      const auto [begin, end] = updated_by(policy, rank, size, n);
      auto& m = first[std::size_t(rank)];
      auto& v = second[std::size_t(rank)];
      m.resize(end - begin);
      v.resize(end - begin);
      values own{parameters.begin() + std::ptrdiff_t(begin),
                 parameters.begin() + std::ptrdiff_t(end)};
      tutti::update<float>(optimizer, step, own,
                           std::span<const float>{mean_gradient}.subspan(begin, end - begin), {m, v});
      std::copy(own.begin(), own.end(), gathered.begin() + std::ptrdiff_t(begin));
    }
    parameters = gathered;
  }
  state_held.clear();
  for (const auto& m : first) state_held.push_back(m.size());
  return parameters;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_sharded_optimizer_gives_the_bits_of_a_replicated_one) {
  std::vector<std::size_t> held;
  const values replicated = trained(tutti::sync_defaults{}, 3, 20, held);
  BOOST_CHECK((held == std::vector<std::size_t>{20, 20, 20}));

  BOOST_CHECK(trained(sharded{}, 3, 20, held) == replicated);
  BOOST_CHECK((held == std::vector<std::size_t>{7, 7, 6}));
  BOOST_CHECK(trained(sharded{}, 7, 20, held) == replicated);
  BOOST_CHECK(trained(sharded{}, 23, 20, held) == replicated); // some own nothing
  BOOST_CHECK(tutti::check_sync_policy(sharded{}));
}

BOOST_AUTO_TEST_SUITE_END()
