// Policies that let replicas train apart, beside plain loops over all ranks.
#include "sync/model.hpp"
#include "sync/streaming.hpp"
#include "training/plain_local.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(training_apart)

namespace {

using trial::plain_local;
using trial::plain_policy;

constexpr std::size_t n = 23;

using in_pieces = trial::streaming;
using shards_in_pieces = trial::streaming_at_owners;
/// What a policy of a user's own may answer, of parameters.
struct parameters_in_pieces {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;

  int period = 2;
  int fragments = 2;
  int delay = 3;
  double keep = 0.25;
};
/// Two fragments are on their way at a time.
struct late_shards : shards_in_pieces {
  static constexpr int delay = 3;
};

constexpr tutti::sgd inner{.learning_rate = 0.1, .momentum = 0.5};

template <class Trainer>
void steps(Trainer& trainer, const std::vector<float>& values, int rank, int count) {
  std::vector<float> gradient(n);
  for (int step = 0; step < count; ++step) {
    for (std::size_t i = 0; i < n; ++i) gradient[i] = values[i] - float(i) - float(rank);
    trainer.step(gradient);
  }
}

void compare(const std::string& what, const std::vector<std::vector<float>>& got,
             const plain_local& wanted) {
  for (std::size_t r = 0; r < got.size(); ++r)
    for (std::size_t i = 0; i < n; ++i) {
      const double w = wanted.of(r)[i];
      if (std::abs(double(got[r][i]) - w) > 1e-5 * (1 + std::abs(w))) {
        BOOST_ERROR(what << ": value " << i << " of rank " << r << " is " << got[r][i] << ", not "
                         << w);
        return;
      }
    }
}

/// As many steps as there are in `counts` of each rank, joined where they are unlike.
template <class Policy>
std::vector<std::vector<float>> trained(Policy policy, const std::vector<int>& counts,
                                        bool ends = false) {
  std::vector<std::vector<float>> out(counts.size());
  tutti::threads::run(int(counts.size()), [&](auto& world) {
    const std::size_t me = std::size_t(world.rank());
    std::vector<float> values(n);
    tutti::strategy strategy{world, policy, tutti::direct{}};
    auto trainer = strategy.bind(values, inner);
    steps(trainer, values, world.rank(), counts[me]);
    if (ends) trainer.finalize();
    out[me] = values;
  });
  return out;
}
plain_local plainly(const plain_policy& policy, const std::vector<int>& counts) {
  plain_local all{policy, int(counts.size()), n};
  for (int step = 0; step < *std::max_element(counts.begin(), counts.end()); ++step) {
    std::vector<bool> trains;
    for (const int c : counts) trains.push_back(step < c);
    all.step(trains);
  }
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(they_equal_plain_loops_after_every_step) {
  BOOST_CHECK(true); // compare() says what is wrong
  for (int count = 1; count <= 14; ++count) {
    const std::vector<int> even(3, count);
    const std::string when = " after " + std::to_string(count) + " steps";
    compare("local_sgd" + when, trained(tutti::local_sgd{.period = 3}, even),
            plainly({.difference = false, .period = 3}, even));
    compare("diloco" + when, trained(tutti::diloco{.period = 3}, even),
            plainly({.period = 3}, even));
    compare("sharded_diloco" + when, trained(tutti::sharded_diloco{.period = 3}, even),
            plainly({.period = 3}, even));
    const plain_policy pieces{.period = 2, .fragments = 3, .delay = 1, .keep = 0.5};
    compare("fragments" + when, trained(in_pieces{}, even), plainly(pieces, even));
    compare("shards of fragments" + when, trained(shards_in_pieces{}, even), plainly(pieces, even));
    compare("late shards" + when, trained(late_shards{}, even),
            plainly({.period = 2, .fragments = 3, .delay = 3, .keep = 0.5}, even));
    compare("fragments of parameters" + when, trained(parameters_in_pieces{}, even),
            plainly({.difference = false, .period = 2, .fragments = 2, .delay = 3, .keep = 0.25},
                    even));
  }
}

// A rank that has no more batches counts the steps of the others, and is left out of means.
BOOST_AUTO_TEST_CASE(they_end_with_the_same_parameters_whoever_has_made_how_many_steps) {
  const auto check = [](const std::string& what, auto policy, plain_policy plain,
                        const std::vector<int>& counts) {
    const auto got = trained(policy, counts, true);
    BOOST_CHECK_MESSAGE(trial::all_same(got), what << ": ranks differ");
    plain_local wanted = plainly(plain, counts);
    wanted.end();
    compare(what, got, wanted);
  };
  for (const std::vector<int>& counts :
       {std::vector<int>{6, 6, 6}, {5, 5, 5}, {3, 7, 5}, {0, 9, 1}}) {
    std::string what = "steps";
    for (const int c : counts) what += " " + std::to_string(c);
    check(what + ", local_sgd", tutti::local_sgd{.period = 3}, {.difference = false, .period = 3},
          counts);
    check(what + ", diloco", tutti::diloco{.period = 3}, {.period = 3}, counts);
    check(what + ", sharded_diloco", tutti::sharded_diloco{.period = 3}, {.period = 3}, counts);
    const plain_policy pieces{.period = 2, .fragments = 3, .delay = 1, .keep = 0.5};
    check(what + ", fragments", in_pieces{}, pieces, counts);
    check(what + ", shards of fragments", shards_in_pieces{}, pieces, counts);
    check(what + ", late shards", late_shards{},
          {.period = 2, .fragments = 3, .delay = 3, .keep = 0.5}, counts);
    check(what + ", fragments of parameters", parameters_in_pieces{},
          {.difference = false, .period = 2, .fragments = 2, .delay = 3, .keep = 0.25}, counts);
  }
}

BOOST_AUTO_TEST_CASE(training_goes_on_when_all_have_joined) {
  const std::vector<int> counts{3, 7, 5}, more{4, 4, 4};
  const auto once = trained(in_pieces{}, counts, true);
  std::vector<std::vector<float>> joined(3), twice(3);
  std::vector<std::int64_t> made(3), in_all(3);
  tutti::threads::run(3, [&](auto& world) {
    const std::size_t me = std::size_t(world.rank());
    std::vector<float> values(n);
    tutti::strategy strategy{world, in_pieces{}, tutti::direct{}};
    auto trainer = strategy.bind(values, inner);
    steps(trainer, values, world.rank(), counts[me]);
    trainer.join();
    joined[me] = values;
    made[me] = trainer.steps();
    steps(trainer, values, world.rank(), more[me]);
    trainer.finalize();
    trainer.finalize(); // there is nothing left to agree on
    twice[me] = values;
    in_all[me] = trainer.steps();
  });
  BOOST_CHECK(joined == once);
  BOOST_CHECK(trial::all_same(twice));
  BOOST_CHECK(!trial::same_bits(twice[0], once[0]));
  BOOST_CHECK((made == std::vector<std::int64_t>{7, 7, 7}));
  BOOST_CHECK((in_all == std::vector<std::int64_t>{11, 11, 11}));
}

BOOST_AUTO_TEST_SUITE_END()
