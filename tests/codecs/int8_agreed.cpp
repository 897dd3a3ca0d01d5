// int8_agreed by itself: unbiased, within its step, exact sums of eight bits, and what is no number.
#include "codecs/coded.hpp"

#include <tutti/codecs/int8_agreed.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(agreed_integers)

namespace {

using floats = std::vector<float>;
using tutti::int8_agreed;
static_assert(tutti::codec<int8_agreed> && tutti::staged_codec<int8_agreed, float> && !tutti::codec_of<int8_agreed, float>);

/// What arrives of one exchange; `sums` are left there where they are asked for.
template <class T>
std::vector<T> exchanged(const int8_agreed& codec, std::vector<std::vector<T>> values, std::uint64_t exchange = 0,
                         bool means = true, std::vector<int>* sums = nullptr) {
  const auto ranks = int(values.size());
  const std::size_t n = values[0].size();
  std::vector<tutti::int8_agreed_stages<T>> all;
  for (int r = 0; r < ranks; ++r) {
    all.push_back(codec.stages<T>({.where = {0, n}, .rank = r, .ranks = ranks, .means = means}));
    all.back().begin(exchange);
  }
  floats most(all[0].length(0)), own(most.size());
  for (std::size_t r = 0; r < all.size(); ++r) {
    all[r].template encode<0>(values[r], {}, std::span<float>{own});
    for (std::size_t b = 0; b < own.size(); ++b) most[b] = tutti::max{}.combine(most[b], own[b]);
  }
  std::vector<signed char> total(n), codes(n);
  std::vector<int> wide(n);
  for (std::size_t r = 0; r < all.size(); ++r) {
    all[r].template encode<1>(values[r], std::span<const float>{most}, std::span<signed char>{codes});
    for (std::size_t i = 0; i < n; ++i) {
      total[i] = tutti::sum{}.combine(total[i], codes[i]);
      wide[i] += codes[i];
    }
  }
  if (sums) *sums = wide;
  for (auto& one : all) one.decode(values[std::size_t(&one - all.data())], std::span<const signed char>{total});
  for (const auto& one : values) BOOST_CHECK(coded::same_bits(one, values[0]));
  return values[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(what_arrives_is_on_average_the_mean) {
  constexpr int draws = 3000, ranks = 3;
  std::vector<floats> x;
  for (int r = 0; r < ranks; ++r) x.push_back(coded::drawn(300, std::uint64_t(r + 1)));
  const auto step = [&](std::size_t i) { // the largest of a block is worth 127 / 3 steps
    float most = 0;
    for (const floats& one : x)
      for (std::size_t k = i / 256 * 256; k < std::min<std::size_t>(300, i / 256 * 256 + 256); ++k)
        most = std::max(most, std::fabs(one[k]));
    return double(most) / 42;
  };
  std::vector<double> mean(300), squares(300);
  double beyond = 0;
  for (int k = 0; k < draws; ++k) {
    const floats got = exchanged<float>({.seed = 5}, x, std::uint64_t(k));
    for (std::size_t i = 0; i < 300; ++i) {
      const double error = double(got[i]) - (double(x[0][i]) + double(x[1][i]) + double(x[2][i])) / ranks;
      mean[i] += error / draws;
      squares[i] += error * error / draws;
      beyond = std::max(beyond, std::abs(error) / step(i));
    }
  }
  BOOST_CHECK_LE(beyond, 1.0001);
  double off = 0, expected = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    BOOST_CHECK_LE(squares[i], step(i) * step(i) / (4 * ranks) * 1.15);
    off += mean[i] * mean[i];
    expected += squares[i] / draws;
  }
  BOOST_CHECK_LE(off, 2 * expected);
}

BOOST_AUTO_TEST_CASE(sums_are_numbers_of_eight_bits) {
  for (const std::size_t ranks : {1u, 2u, 5u, 64u, 127u}) {
    std::vector<int> sums;
    const floats same(9, -3.0f);
    const floats got = exchanged<float>({}, std::vector<floats>(ranks, same), 0, true, &sums);
    BOOST_CHECK(std::ranges::all_of(sums, [](int s) { return s >= -127 && s <= 127; }));
    for (const float v : got) BOOST_CHECK_CLOSE(v, -3.0f, 1e-4);
    BOOST_CHECK_CLOSE((exchanged<float>({}, std::vector<floats>(ranks, same), 0, false)[0]), -3.0f * float(ranks), 1e-4);
  }
  BOOST_CHECK(int8_agreed{}.wrong(127) == nullptr);
  BOOST_CHECK(std::string{int8_agreed{}.wrong(128)}.find("more than 127 ranks") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(whole_steps_stay_whole_in_every_draw) {
  floats levels;
  for (int l = -42; l <= 42; ++l) levels.push_back(float(l) * .5f);
  for (std::uint64_t k = 0; k < 2000; ++k)
    BOOST_REQUIRE(coded::same_bits(exchanged<float>({.seed = k}, {levels, levels, levels}, k), levels));
}

BOOST_AUTO_TEST_CASE(nothing_and_no_numbers_arrive) {
  const floats zeros(300);
  BOOST_CHECK(coded::same_bits(exchanged<float>({}, {zeros, zeros}), zeros));
  for (const float bad : {coded::none, coded::infinite, -coded::infinite}) {
    auto x = coded::drawn(600);
    x[300] = bad;
    const floats got = exchanged<float>({}, {coded::drawn(600, 2), x});
    for (std::size_t i = 0; i < 600; ++i) BOOST_CHECK_EQUAL(std::isnan(got[i]), i >= 256 && i < 512);
  }
  const std::vector<double> large(3, 1e300); // beyond what its scale can say
  BOOST_CHECK(std::isnan((exchanged<double>({}, {large})[0])));
  BOOST_CHECK(exchanged<float>({}, {floats{}, floats{}}).empty());
  for (const float tiny : {1e-44f, 1e-38f}) // rounded, and no division by nothing
    BOOST_CHECK(std::isfinite((exchanged<float>({}, {floats(5, tiny)})[0])));
}

BOOST_AUTO_TEST_CASE(draws_are_named_by_seed_exchange_and_rank) {
  const auto x = coded::drawn(300);
  const auto got = [&](std::uint64_t seed, std::uint64_t exchange) { return exchanged<float>({seed}, {x, x}, exchange); };
  BOOST_CHECK(coded::same_bits(got(0, 0), got(0, 0)));
  BOOST_CHECK(!coded::same_bits(got(0, 0), got(0, 1)));
  BOOST_CHECK(!coded::same_bits(got(0, 0), got((std::uint64_t{1} << 32) + 1, 0)));
  std::vector<int> sums;
  (void)exchanged<float>({}, {x, x}, 0, true, &sums);
  BOOST_CHECK(std::ranges::any_of(sums, [](int s) { return s % 2 != 0; })); // ranks draw apart
}

BOOST_AUTO_TEST_SUITE_END()
