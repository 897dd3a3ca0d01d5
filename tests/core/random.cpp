#include <tutti/core/random.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <random>
#include <set>
#include <vector>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using block = std::array<std::uint32_t, 4>;

// Known answers of Random123 (kat_vectors, philox4x32-10).
static_assert(tutti::philox({0, 0, 0, 0}, {0, 0}) ==
              block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(tutti::philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
              block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(tutti::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                            {0xa4093822, 0x299f31d0}) ==
              block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

static_assert(std::uniform_random_bit_generator<tutti::random_stream>);

std::vector<std::uint32_t> first_draws(tutti::random_stream stream, int n = 9) {
  std::vector<std::uint32_t> out;
  for (int k = 0; k < n; ++k) out.push_back(stream());
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_stream_is_the_blocks_of_its_name) {
  const auto draws =
      first_draws(tutti::random_stream{0x1122334455667788u, 7, 0x99aabbccddeeff00u}, 8);
  for (std::uint32_t b = 0; b < 2; ++b) {
    const block expected = tutti::philox({b, 7, 0xddeeff00, 0x99aabbcc}, {0x55667788, 0x11223344});
    BOOST_CHECK(std::equal(expected.begin(), expected.end(), draws.begin() + 4 * b));
  }
}

BOOST_AUTO_TEST_CASE(a_stream_depends_on_its_name_only) {
  tutti::random_stream one{1, 2, 3}, other{1, 2, 4};
  std::vector<std::uint32_t> interleaved;
  for (int k = 0; k < 9; ++k) {
    interleaved.push_back(one());
    for (int j = 0; j < k; ++j) other();
  }
  BOOST_CHECK(interleaved == first_draws(tutti::random_stream{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(streams_of_different_names_differ) {
  const std::uint64_t large = std::uint64_t{1} << 32;
  std::set<std::vector<std::uint32_t>> seen;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, large})
    for (const std::uint32_t round : {0u, 1u, ~0u})
      for (const std::uint64_t client : {std::uint64_t{0}, std::uint64_t{1}, large})
        seen.insert(first_draws(tutti::random_stream{seed, round, client}));
  BOOST_CHECK_EQUAL(seen.size(), 27u);
}

BOOST_AUTO_TEST_CASE(below_stays_below_and_reaches_every_value) {
  tutti::random_stream draw{1};
  for (const std::uint32_t bound : {1u, 2u, 3u, 10u, 1000u, 0x80000001u, ~0u}) {
    std::uint32_t most = 0;
    std::set<std::uint32_t> seen;
    for (int k = 0; k < 20000; ++k) {
      const std::uint32_t x = draw.below(bound);
      most = x > most ? x : most;
      if (bound <= 1000) seen.insert(x);
    }
    BOOST_CHECK_MESSAGE(most < bound && (bound > 1000 || seen.size() == bound), "bound " << bound);
  }
}

BOOST_AUTO_TEST_CASE(below_has_no_bias) {
  // Of 2^32 words, the remainders modulo 3 * 2^30 hit the first third of the values twice as often
  // as the rest, and their scaled products every third value.
  constexpr std::uint32_t third = 1u << 30;
  constexpr int draws = 60000;
  tutti::random_stream draw{2};
  int by_place[3] = {}, by_remainder[3] = {};
  for (int k = 0; k < draws; ++k) {
    const std::uint32_t x = draw.below(3 * third);
    ++by_place[x / third];
    ++by_remainder[x % 3];
  }

  const double expected = draws / 3., deviation = std::sqrt(expected * 2 / 3);
  for (const int c : by_place) BOOST_CHECK_SMALL(c - expected, 4 * deviation);
  for (const int c : by_remainder) BOOST_CHECK_SMALL(c - expected, 4 * deviation);
}

BOOST_AUTO_TEST_CASE(uniform_is_in_range_and_evenly_spread) {
  tutti::random_stream draw{3};
  double total = 0;
  float least = 1, most = 0;
  bool on_grid = true;
  for (int k = 0; k < 100000; ++k) {
    const float x = draw.uniform();
    total += x;
    least = std::fmin(least, x);
    most = std::fmax(most, x);
    on_grid = on_grid && x * 0x1p24f == std::floor(x * 0x1p24f);
  }
  BOOST_CHECK(least >= 0 && most < 1 && on_grid);
  BOOST_CHECK_SMALL(total / 100000 - .5, 4 * std::sqrt(1 / 12. / 100000));
}

BOOST_AUTO_TEST_SUITE_END()
