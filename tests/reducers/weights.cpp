// Weights of which only the ratios matter: none is lost, and ordinary ones give the bits that they
// gave.
#include <tutti/collectives/reference.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/laws.hpp>
#include <tutti/reducers/weights.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

BOOST_AUTO_TEST_SUITE(weights)

namespace {

std::vector<double> scaled(std::vector<double> weights) {
  tutti::detail::scale_weights(weights);
  return weights;
}

/// sum(w_k x_k).
struct weighted_sum : tutti::sum {
  static constexpr bool weighted = true;
  template <class A> A lift(A x, double weight) const { return x * A(weight); }
};
/// The half way between the least and the greatest contribution that counts.
struct weighted_midrange {
  using part = tutti::reducer_part;
  static constexpr bool weighted = true;
  template <class A> A gather(std::span<A> column) const {
    A least = column[0], greatest = column[0];
    for (const A x : column) {
      least = tutti::min{}.combine(least, x);
      greatest = tutti::max{}.combine(greatest, x);
    }
    return least / 2 + greatest / 2;
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(the_greatest_is_above_a_half_and_at_most_one) {
  BOOST_CHECK((scaled({1, 0, .25}) == std::vector<double>{1, 0, .25}));
  BOOST_CHECK((scaled({600, 200}) == std::vector<double>{600 / 1024., 200 / 1024.}));
  BOOST_CHECK((scaled({0, 0}) == std::vector<double>{0, 0}));
  constexpr double least = std::numeric_limits<double>::denorm_min();
  constexpr double most = (std::numeric_limits<double>::max)();
  BOOST_CHECK((scaled({3 * least, least}) == std::vector<double>{.75, .25}));
  BOOST_CHECK((scaled({2 * least, 2 * least}) == std::vector<double>{1, 1}));
  const auto greatest = scaled({most, most / 4});
  BOOST_CHECK(greatest[0] > .5 && greatest[0] <= 1 && greatest[1] == greatest[0] / 4);
  for (const double w : {1e-300, 1e-46, .1, .5, 1.0, 1.5, 7.0, 3e38, 1e308}) {
    std::vector<double> one{w};
    const int exponent = tutti::detail::scale_weights(one);
    BOOST_CHECK_MESSAGE(one[0] > .5 && one[0] <= 1, w << " becomes " << one[0]);
    BOOST_CHECK_EQUAL(std::ldexp(one[0], exponent), w);
  }
}

BOOST_AUTO_TEST_CASE(ordinary_weights_give_the_bits_that_they_give_as_they_are) {
  tutti::random_stream draw{5};
  for (int turn = 0; turn < 200; ++turn) {
    std::vector<std::vector<float>> in(4, std::vector<float>(50));
    std::vector<double> weights;
    double total = 0;
    for (auto& one : in) {
      for (float& x : one) x = draw.uniform() - .5f;
      weights.push_back(turn % 2 == 0 ? 1 + double(draw.below(6000))
                                      : double(draw.uniform()) + .001);
      total += weights.back();
    }
    const auto got = tutti::reference::reduction(in, tutti::weighted_mean{}, weights);
    for (std::size_t i = 0; i < 50; ++i) {
      volatile float sum = in[0][i] * float(weights[0]); // volatile: rounded before it is added
      for (std::size_t k = 1; k < 4; ++k) {
        volatile float product = in[k][i] * float(weights[k]);
        sum = sum + product;
      }
      const float plain = sum / float(total);
      BOOST_REQUIRE_MESSAGE(std::memcmp(&plain, &got[i], sizeof plain) == 0,
                            "element " << i << " is " << got[i] << " instead of " << plain);
    }
  }
}

// A sum of products takes its weights as they are: scaled, it would be another sum.
BOOST_AUTO_TEST_CASE(who_does_not_say_that_only_ratios_matter_is_given_the_weights_as_they_are) {
  static_assert(!tutti::has_relative_weights<weighted_sum> &&
                !tutti::has_relative_weights<tutti::mean>);
  static_assert(tutti::has_relative_weights<tutti::weighted_mean>);
  BOOST_CHECK((tutti::reference::reduction<float>({{1}, {2}, {NAN}}, weighted_sum{}, {100, 3, 0}) ==
               std::vector<float>{106}));
}

BOOST_AUTO_TEST_CASE(what_weighs_nothing_is_not_in_a_gathered_column) {
  BOOST_CHECK((tutti::reference::reduction<float>({{1}, {NAN}, {5}, {900}}, weighted_midrange{},
                                                  {1, 0, 1, 0}) == std::vector<float>{3}));
}

BOOST_AUTO_TEST_SUITE_END()
