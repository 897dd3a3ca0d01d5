// Noise: from a cryptographic stream, of the right distribution; correlated noise and what a client's part in it is.
#include "privacy/runs.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

BOOST_AUTO_TEST_SUITE(private_noise)

namespace private_noise_tests {

using tutti::detail::secret_stream;

std::vector<double> normals(const secret_stream& from, std::uint64_t name, std::size_t begin, std::size_t n) {
  std::vector<double> out(n);
  from.add_normals(name, begin, 1, out);
  return out;
}

/// The lower triangular Toeplitz matrix whose inverse has those bands: its first column.
std::vector<double> column_of_inverse(int bands, int rounds) {
  std::vector<double> c(std::size_t(rounds), 0.0);
  for (std::size_t t = 0; t < c.size(); ++t) {
    c[t] = t == 0;
    for (std::size_t j = 1; j < std::size_t(bands) && j <= t; ++j)
      c[t] -= tutti::correlated_noise::of_round_before(int(j)) * c[t - j];
  }
  return c;
}

/// The longest sum of columns of all sets of rounds that are at least `cycle` apart, squared.
double longest(const std::vector<double>& column, int cycle) {
  const int rounds = int(column.size());
  double most = 0;
  for (unsigned set = 1; set < 1u << rounds; ++set) {
    int last = -cycle;
    bool apart = true;
    std::vector<double> sum(column.size());
    for (int r = 0; r < rounds; ++r)
      if (set >> r & 1) {
        apart = apart && r - last >= cycle;
        last = r;
        for (int t = r; t < rounds; ++t) sum[std::size_t(t)] += column[std::size_t(t - r)];
      }
    double squares = 0;
    for (const double s : sum) squares += s * s;
    if (apart) most = std::max(most, squares);
  }
  return most;
}

} // namespace private_noise_tests

using namespace private_noise_tests;

BOOST_AUTO_TEST_CASE(words_are_those_of_chacha20) {
  // The key stream of the key 0 and the nonce 0: RFC 7539, A.1, vector 1.
  const unsigned char expected[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
                                      0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
  std::uint64_t words[8];
  secret_stream{0}.words(0, 0, words);
  BOOST_CHECK(std::equal(expected, expected + 16, reinterpret_cast<const unsigned char*>(words)));
}

BOOST_AUTO_TEST_CASE(numbers_depend_on_their_place_alone) {
  const secret_stream stream{5};
  const auto all = normals(stream, 3, 0, 2000), part = normals(stream, 3, 1016, 333);
  BOOST_CHECK(std::equal(part.begin(), part.end(), all.begin() + 1016));
  BOOST_CHECK(normals(stream, 4, 0, 8) != normals(stream, 3, 0, 8));
  BOOST_CHECK(normals(secret_stream{6}, 3, 0, 8) != normals(stream, 3, 0, 8));
  BOOST_CHECK(normals(secret_stream{}, 3, 0, 8) != normals(secret_stream{}, 3, 0, 8));
  secret_stream other;
  const auto before = normals(other, 3, 0, 8);
  other.rekey();
  BOOST_CHECK(normals(other, 3, 0, 8) != before);
}

BOOST_AUTO_TEST_CASE(numbers_are_normal) {
  constexpr std::size_t n = 200000;
  auto x = normals(secret_stream{1}, 0, 0, n);
  double moments[4] = {}, beside = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (int k = 0; k < 4; ++k) moments[k] += std::pow(x[i], k + 1) / n;
    if (i > 0) beside += x[i] * x[i - 1] / n;
  }
  BOOST_CHECK_SMALL(moments[0], .01);
  BOOST_CHECK_SMALL(moments[1] - 1, .015);
  BOOST_CHECK_SMALL(moments[2], .04);
  BOOST_CHECK_SMALL(moments[3] - 3, .12);
  BOOST_CHECK_SMALL(beside, .01);
  std::sort(x.begin(), x.end());
  double worst = 0; // Kolmogorov and Smirnov: 1.95 / root n once in a thousand
  for (std::size_t i = 0; i < n; ++i)
    worst = std::max(worst, std::abs(.5 * std::erfc(-x[i] / std::sqrt(2.0)) - (double(i) + .5) / n));
  BOOST_CHECK_LT(worst, 1.95 / std::sqrt(double(n)));
}

BOOST_AUTO_TEST_CASE(clients_in_turn_are_in_one_round_of_each_cycle) {
  const auto weight = [](int) { return 1.0; };
  const tutti::cyclic_sampling sampler{3};
  BOOST_CHECK((sampler.draw(8, 1, 1, weight) == std::vector<int>{0, 3, 6}));
  BOOST_CHECK((sampler.draw(8, 1, 3, weight) == std::vector<int>{2, 5}));
  BOOST_CHECK(sampler.draw(8, 1, 4, weight) == sampler.draw(8, 1, 1, weight));
  BOOST_CHECK(tutti::cyclic_sampling{9}.draw(8, 1, 9, weight).empty());
}

BOOST_AUTO_TEST_CASE(the_part_of_a_client_is_the_longest_of_all_ways_to_take_part) {
  for (const int bands : {2, 3, 8})
    for (const int cycle : {1, 2, 3, 5})
      for (const int rounds : {1, 4, 11}) {
        tutti::detail::private_rounds all{.cycle = cycle, .bands = bands, .rounds = rounds};
        BOOST_CHECK_CLOSE(all.squared_part(), longest(column_of_inverse(bands, rounds), cycle), 1e-9);
      }
  for (const int bands : {2, 5, 16, 64}) { // it rests on elements that fall
    const auto column = column_of_inverse(bands, 500);
    BOOST_CHECK(std::is_sorted(column.rbegin(), column.rend()) && column.back() >= 0);
  }
}

BOOST_AUTO_TEST_CASE(rounds_take_noise_back) {
  constexpr std::size_t n = 3000;
  constexpr int rounds = 12;
  const tutti::privacy_plan plan{tutti::cyclic_sampling{6}, tutti::expected_clients{}, tutti::fixed_clip{1},
                                 trial::known(tutti::correlated_noise{.multiplier = 2, .width = 3}),
                                 tutti::renyi_accountant{}, 1e-5};
  std::vector<std::vector<double>> noise;
  std::vector<double> epsilons;
  tutti::threads::run(2, [&](auto& world) {
    trial::movers clients{6, {0}};
    std::vector<double> x(n), before = x;
    tutti::strategy strategy{world, tutti::federated{}, plan};
    auto made = strategy.rounds(x, tutti::sgd{}, clients);
    for (int r = 0; r < rounds; ++r) {
      const auto report = made.next();
      if (world.rank() != 0) continue;
      epsilons.push_back(report.epsilon);
      noise.emplace_back();
      for (std::size_t i = 0; i < n; ++i) noise.back().push_back(before[i] - x[i]);
      before = x;
    }
  });
  // Undone, C times the noise of all rounds is white, of the deviation 2.
  const auto column = column_of_inverse(3, rounds);
  for (std::size_t t = 0; t < rounds; ++t) {
    double squares = 0, beside = 0;
    for (std::size_t i = 0; i < n; ++i) {
      double white[2] = {};
      for (std::size_t back = 0; back < 2 && back <= t; ++back)
        for (std::size_t j = 0; j <= t - back; ++j) white[back] += column[t - back - j] * noise[j][i];
      squares += white[0] * white[0] / n;
      beside += white[0] * white[1] / n;
    }
    BOOST_CHECK_MESSAGE(std::abs(squares - 4) < .5, "round " << t << ": " << squares);
    BOOST_CHECK_MESSAGE(std::abs(beside) < .35, "round " << t << ": " << beside);
  }
  // Nobody twice in the first six: one release of one column.
  double squares = 0;
  for (std::size_t t = 0; t < 6; ++t) squares += column[t] * column[t];
  const tutti::noisy_release one{1, 2 / std::sqrt(squares), 1};
  BOOST_CHECK_CLOSE(epsilons[5], (tutti::renyi_accountant{}.epsilon({&one, 1}, 1e-5)), 1e-9);
  BOOST_CHECK(std::is_sorted(epsilons.begin(), epsilons.end()));
}

BOOST_AUTO_TEST_SUITE_END()
