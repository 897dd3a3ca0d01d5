// Rounds whose bits depend on neither the number of ranks nor the order of clients: in bins, and in fixed point where
// differences are clipped.
#include "federated/parabolas.hpp"
#include "sync/model.hpp"

#include <tutti/federated/exact_client_sum.hpp>
#include <tutti/reducers/reproducible_sum.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_invariant)

namespace {

/// Answers of very different sizes; one client in five holds a fraction of an example, and one in seven writes nothing.
struct unlike_clients {
  int bad = -1, silent = -1;

  int clients() const { return 23; }
  double examples(int client) const { return client % 5 == 0 ? .3 + client : client + 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    if (client % 7 == 3 || client == silent) return;
    for (float& x : local.parameters()) x += std::ldexp(random.uniform() - .5f, int(random.below(40)) - 30);
    if (client == bad) local.parameters()[1] = std::numeric_limits<float>::quiet_NaN();
  }
};

template <class Reducer>
std::vector<float> after(int ranks, double clip, Reducer reducer, int bad = -1,
                         tutti::training_options training = {}, int rounds = 6) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{1};
    unlike_clients clients{bad};
    const tutti::federated policy{
        .fraction = .5, .outer = {.learning_rate = .7, .momentum = .9}, .clip = clip};
    tutti::strategy strategy{world, reducer, training, policy};
    strategy.run(m.parameters(), clients, {.rounds = rounds});
    out[std::size_t(world.rank())] = m.flat();
  });
  BOOST_CHECK(trial::all_same(out));
  return out[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(the_bits_of_rounds_are_the_same_on_any_number_of_ranks) {
  for (const double clip : {0.0, .5}) {
    const auto weighted = after(1, clip, tutti::reproducible_weighted_mean{});
    const auto alike = after(1, clip, tutti::reproducible_mean{});
    BOOST_CHECK(!trial::same_bits(weighted, alike));
    for (const int ranks : {2, 3, 5}) {
      BOOST_CHECK_MESSAGE(trial::same_bits(after(ranks, clip, tutti::reproducible_weighted_mean{}), weighted),
                          ranks << " ranks, clip " << clip);
      BOOST_CHECK_MESSAGE(trial::same_bits(after(ranks, clip, tutti::reproducible_mean{}), alike),
                          ranks << " ranks, clip " << clip << ", alike");
    }
    const auto plain = after(3, clip, tutti::weighted_mean{}); // as many rounds, rounded as they come
    for (std::size_t i = 0; i < plain.size(); ++i)
      BOOST_REQUIRE_MESSAGE(std::abs(plain[i] - weighted[i]) < 1e-4f, i << ": " << plain[i] << ", " << weighted[i]);
  }
}

BOOST_AUTO_TEST_CASE(a_strategy_with_such_a_reducer_promises_it) {
  tutti::self world;
  using level = tutti::determinism;
  tutti::strategy made{world, tutti::federated{}, tutti::reproducible_weighted_mean{},
                       tutti::at_least<level::rank_count_invariant>{}};
  static_assert(decltype(made)::determinism == level::rank_count_invariant);
  static_assert(decltype(tutti::strategy{world, tutti::federated{}})::determinism == level::run_to_run);
  (void)made;
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(a_client_of_a_nan_is_named_and_leaves_no_bit_behind_there_too) {
  for (const double clip : {0.0, .5}) {
    const auto rounds_of = [&](tutti::reproducible_mean reducer, bool skips_it, tutti::client_faults faults) {
      std::vector<float> left;
      const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
        trial::model m{1};
        unlike_clients clients{.bad = skips_it ? -1 : 2, .silent = skips_it ? 2 : -1};
        tutti::strategy strategy{world, reducer,
                                 tutti::federated{.fraction = 1, .clip = clip, .attendance = {.faults = faults}}};
        const auto report = strategy.run(m.parameters(), clients, {.rounds = 1}).rounds[0];
        if (world.rank() == 0) left = m.flat();
        const auto why = skips_it ? tutti::absence::silent : tutti::absence::not_finite;
        const auto named = report.who(why);
        if (std::find(named.begin(), named.end(), 2) == named.end()) throw std::runtime_error{"client 2 is not named"};
      });
      return std::pair{left, errors};
    };
    using tutti::client_faults;
    const auto [left, none] = rounds_of({}, false, client_faults::leave_out);
    BOOST_CHECK_MESSAGE((none == std::vector<std::string>(2, "none")), trial::joined(none));
    BOOST_CHECK(trial::same_bits(left, rounds_of({}, true, client_faults::leave_out).first));
    const auto raised = rounds_of({}, false, client_faults::raise).second;
    BOOST_CHECK_MESSAGE(trial::all_contain(raised, "round 1: client 2 on rank"), trial::joined(raised));
  }
}

namespace {

struct far_clients {
  std::vector<double> answers;
  std::vector<double> holds = {1, 1};
  int clients() const { return int(answers.size()); }
  double examples(int client) const { return holds[std::size_t(client)]; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    for (std::size_t i = 0; i < local.parameters().size(); ++i)
      local.parameters()[i] = answers[std::size_t(client)] * (i == 0 ? 3 : 4);
  }
};
template <class Reducer>
std::vector<double> once(Reducer reducer, const far_clients& people, std::vector<double> start, double clip) {
  std::vector<double> first = start, second{start.begin() + 1, start.end()};
  first.resize(1);
  tutti::threads::run(2, [&](auto& world) {
    far_clients mine = people;
    std::vector<double> a = first, b = second;
    std::vector<tutti::tensor<double>> model{{"a", a}, {"b", b}};
    tutti::strategy strategy{world, reducer, tutti::federated{.fraction = 1, .clip = clip}};
    strategy.run(model, mine, {.rounds = 1});
    if (world.rank() == 1) start[0] = a[0], start[1] = b[0];
  });
  return start;
}

} // namespace

// Differences of 3 and 4 in two tensors have the length 5.
BOOST_AUTO_TEST_CASE(what_is_clipped_is_the_difference_of_all_tensors_together) {
  const auto check = [](const auto& reducer) {
    const auto shortened = once(reducer, {{1, 1}}, {0, 0}, 1);
    BOOST_CHECK_MESSAGE(std::abs(shortened[0] - .6) < 1e-14 && std::abs(shortened[1] - .8) < 1e-14, shortened[0]);
    const auto one_of_two = once(reducer, {{1, .1}}, {0, 0}, 1); // only one is too long
    BOOST_CHECK_MESSAGE(std::abs(one_of_two[0] - .45) < 1e-14 && std::abs(one_of_two[1] - .6) < 1e-14, one_of_two[0]);
    const auto far_away = once(reducer, {{100, 100}}, {299.9, 399.9}, 1); // parameters may be as long as they like
    BOOST_CHECK_MESSAGE(std::abs(far_away[0] - 300) < 1e-12 && std::abs(far_away[1] - 400) < 1e-12, far_away[0]);
  };
  check(tutti::mean{});
  check(tutti::weighted_mean{});
  check(tutti::reproducible_mean{});
  check(tutti::reproducible_weighted_mean{});
}

BOOST_AUTO_TEST_CASE(weights_next_to_nothing_and_next_to_infinity_count_by_their_ratios) {
  for (const double unit : {5e-324, 1e-300, 1e-3, 1.0, 1e38, 4e307})
    for (const double clip : {0.0, 1e3}) {
      const auto got = once(tutti::reproducible_weighted_mean{}, {{1, 5}, {unit, 3 * unit}}, {0, 0}, clip);
      const double within = clip > 0 ? 2 * clip * 0x1p-48 : 1e-12; // multiples of 2^-41
      BOOST_CHECK_MESSAGE(std::abs(got[0] - 12) < within && std::abs(got[1] - 16) < within,
                          unit << ", clip " << clip << ": " << got[0]);
    }
  const auto kept = once(tutti::reproducible_weighted_mean{}, {{1, 5}, {0, 0}}, {7, 8}, 0);
  BOOST_CHECK((kept == std::vector<double>{7, 8}));
}

BOOST_AUTO_TEST_CASE(problem_q_has_its_values_there_too) {
  const double expected[] = {.415, .68475, .8600875};
  for (const double clip : {0.0, 10.0}) {
    std::vector<double> x(1), got;
    tutti::self world;
    trial::two_parabolas clients;
    tutti::strategy strategy{world, tutti::reproducible_weighted_mean{},
                             tutti::federated{.fraction = 1, .epochs = 2, .clip = clip}};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
    for (int k = 0; k < 3; ++k) {
      (void)rounds.next();
      BOOST_CHECK_SMALL(x[0] - expected[k], 1e-12);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_clip_that_cannot_be_is_refused) {
  const auto refused = [](double clip, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      std::vector<double> x(1);
      trial::two_parabolas clients;
      tutti::strategy{world, tutti::federated{.clip = clip}}.run(x, clients);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  for (const double clip : {-1.0, double(NAN), double(INFINITY)})
    refused(clip, "the clip of the sync policy is negative or not finite");
}

BOOST_AUTO_TEST_CASE(fixed_point_numbers_are_multiples_that_leave_room_for_all_of_them) {
  for (const std::size_t clients : {1u, 100u, 5000u, 1000000u})
    for (const double bound : {1e-30, .7, 1.0, 1e20}) {
      const tutti::detail::fixed_point point{bound, clients};
      std::int64_t most = 0;
      point.add([&](std::size_t) { return bound; }, 1, &most, 1);
      BOOST_CHECK_MESSAGE(double(most) * double(clients) < 0x1p62, clients << " of " << bound << ": " << most);
      BOOST_CHECK_MESSAGE(std::abs(std::ldexp(double(most), point.unit()) - bound) <= bound * 0x1p-40, bound);
      std::int64_t pair = 0;
      point.add([&](std::size_t) { return -bound; }, .25, &pair, 1);
      point.add([&](std::size_t) { return bound; }, .25, &pair, 1);
      BOOST_CHECK_EQUAL(pair, 0);
    }
}

BOOST_AUTO_TEST_SUITE_END()
