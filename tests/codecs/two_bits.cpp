// two_bit_block and threshold: levels, bounds, bytes, what is no number, and numbers that are refused.
#include "coded.hpp"

#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/threshold.hpp>
#include <tutti/codecs/two_bit_block.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

BOOST_AUTO_TEST_SUITE(codecs)

namespace two_bits {

using namespace coded;

std::vector<float> normal(std::size_t n) {
  tutti::random_stream draw{5};
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) {
    const double r = std::sqrt(-2 * std::log(1 - double(draw.uniform())));
    out.push_back(float(r * std::cos(2 * std::numbers::pi * double(draw.uniform()))));
  }
  return out;
}
double lost(const std::vector<float>& x) { return squares(difference(x, sent(tutti::two_bit_block{}, x))); }

} // namespace two_bits

BOOST_AUTO_TEST_CASE(levels_are_the_means_of_what_they_stand_for) {
  const tutti::two_bit_block codec;
  BOOST_CHECK((two_bits::sent(codec, std::vector<float>{1, -1, 3, -5}) == std::vector<float>{1, -1, 4, -4}));
  BOOST_CHECK((two_bits::sent(codec, std::vector<float>{-2, 2, -2}) == std::vector<float>{-2, 2, -2}));
  BOOST_CHECK((two_bits::sent(codec, std::vector<float>{0, 0, 0, 3}) == std::vector<float>{0, 0, 0, 3}));
  BOOST_CHECK((two_bits::sent(codec, std::vector<double>{-7}) == std::vector<double>{-7}));
}

BOOST_AUTO_TEST_CASE(two_bits_lose_what_their_page_says) {
  for (const std::size_t n : {1u, 3u, 255u, 256u, 1000u}) {
    const auto x = two_bits::drawn(n, n);
    const auto y = two_bits::sent(tutti::two_bit_block{}, x);
    BOOST_CHECK_CLOSE_FRACTION(two_bits::lost(x) + two_bits::squares(y), two_bits::squares(x), 1e-6);
    double bound = 0; // of scaled signs, block by block
    for (std::size_t b = 0; b < n; b += 256) {
      const std::vector<float> block(x.begin() + std::ptrdiff_t(b), x.begin() + std::ptrdiff_t(std::min(n, b + 256)));
      double sum = 0;
      for (const float v : block) sum += std::fabs(double(v));
      bound += two_bits::squares(block) - sum * sum / double(block.size());
    }
    BOOST_CHECK_LE(two_bits::lost(x), bound + 1e-6 * two_bits::squares(x));
  }
  const auto x = two_bits::normal(100 * 256);
  BOOST_CHECK_CLOSE_FRACTION(two_bits::lost(x), .127 * two_bits::squares(x), .02);
}

BOOST_AUTO_TEST_CASE(two_bits_in_blocks_of_zeros_and_of_what_is_no_number) {
  const tutti::two_bit_block codec;
  std::vector<float> x(600, 1.f);
  std::fill(x.begin() + 256, x.begin() + 512, -0.f);
  x[520] = two_bits::none;
  const auto y = two_bits::sent(codec, x);
  BOOST_CHECK(std::all_of(y.begin(), y.begin() + 256, [](float v) { return v == 1; }));
  BOOST_CHECK(std::all_of(y.begin() + 256, y.begin() + 512, [](float v) { return v == 0 && !std::signbit(v); }));
  BOOST_CHECK(std::all_of(y.begin() + 512, y.end(), [](float v) { return std::isnan(v); }));
  x[520] = 1;
  x[3] = -two_bits::infinite;
  BOOST_CHECK(std::isnan(two_bits::sent(codec, x)[0]) && !std::isnan(two_bits::sent(codec, x)[599]));
  BOOST_CHECK(two_bits::sent(codec, std::vector<float>{}).empty());
  for (const std::size_t n : {0u, 1u, 4u, 5u, 256u, 257u, 600u})
    BOOST_CHECK_EQUAL(codec.bytes<float>(n), (n + 3) / 4 + 8 * ((n + 255) / 256));
}

BOOST_AUTO_TEST_CASE(what_reaches_the_threshold_is_sent_as_one_size) {
  const tutti::threshold codec{.5f};
  const std::vector<float> x{.5f, .49f, -.5f, -7, 0, -.25f, two_bits::infinite, -two_bits::infinite, two_bits::none};
  const auto y = two_bits::sent(codec, x);
  BOOST_CHECK((std::vector<float>(y.begin(), y.begin() + 6) == std::vector<float>{.5f, 0, -.5f, -.5f, 0, 0}));
  BOOST_CHECK(std::isnan(y[6]) && std::isnan(y[7]) && std::isnan(y[8]));
  for (const std::size_t n : {0u, 1u, 4u, 5u, 257u}) BOOST_CHECK_EQUAL(codec.bytes<double>(n), (n + 3) / 4);
}

BOOST_AUTO_TEST_CASE(what_is_below_the_threshold_comes_together) {
  tutti::self comm;
  tutti::codec_memory<float> memory;
  float arrived = 0, alone = 0;
  for (int k = 0; k < 8; ++k) { // eighths, so that all is exact
    std::vector<float> g{.375f}, without = g;
    tutti::all_reduce(comm, g, tutti::direct{}, tutti::error_feedback{tutti::threshold{1}}, memory);
    tutti::all_reduce(comm, without, tutti::direct{}, tutti::threshold{1});
    arrived += g[0], alone += without[0];
    // A result of one rank is what that has sent.
    BOOST_CHECK_EQUAL(arrived + memory.sent()[0], .375f * float(k + 1));
  }
  BOOST_CHECK_EQUAL(arrived, 3);
  BOOST_CHECK_EQUAL(alone, 0);
}

BOOST_AUTO_TEST_CASE(a_threshold_on_both_ways_loses_nothing) {
  constexpr std::size_t ranks = 3, n = 70;
  std::vector<std::vector<float>> arrived(ranks, std::vector<float>(n)), missing = arrived;
  tutti::threads::run(int(ranks), [&](auto& world) {
    const auto me = std::size_t(world.rank());
    tutti::codec_memory<float> memory;
    for (std::size_t step = 0; step < 6; ++step) {
      std::vector<float> x(n); // sixteenths, so that sums are exact
      for (std::size_t i = 0; i < n; ++i) missing[me][i] += x[i] = float((i * 7 + step * 5 + me * 3) % 13) / 16 - .375f;
      tutti::all_reduce(world, x, tutti::direct{}, tutti::error_feedback{tutti::threshold{.5f}}, memory);
      for (std::size_t i = 0; i < n; ++i) arrived[me][i] += x[i];
    }
    for (std::size_t i = 0; i < n; ++i) missing[me][i] -= memory.sent()[i];
    for (std::size_t i = 0; i < memory.published().size(); ++i)
      missing[me][memory.finishes().begin + i] -= memory.published()[i];
  });
  BOOST_CHECK(arrived[0] == arrived[1] && arrived[0] == arrived[2]);
  for (std::size_t i = 0; i < n; ++i)
    BOOST_CHECK_EQUAL(missing[0][i] + missing[1][i] + missing[2][i], arrived[0][i]);
}

BOOST_AUTO_TEST_CASE(thresholds_that_make_no_sense_are_refused_by_name) {
  tutti::self comm;
  std::vector<float> g(4, 1.f);
  for (const float wrong : {0.f, -1.f, two_bits::infinite, two_bits::none})
    BOOST_CHECK_EXCEPTION(tutti::all_reduce(comm, g, tutti::direct{}, tutti::threshold{wrong}), tutti::error,
                          [](const tutti::error& e) {
                            return e.details().code == tutti::error_code::invalid_argument &&
                                   std::string{e.what()}.find("threshold::magnitude is not above 0 and finite") !=
                                       std::string::npos;
                          });
}

BOOST_AUTO_TEST_SUITE_END()
