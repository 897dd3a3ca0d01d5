// qsgd, terngrad: unbiased, within their variance, and drawn by name.
#include "coded.hpp"

#include <tutti/codecs/laws.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/stochastic.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/star.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>

BOOST_AUTO_TEST_SUITE(codecs)

namespace stochastic {

using namespace coded;
using tutti::coding;

template <class C>
std::vector<float> drawn_at(const C& codec, const std::vector<float>& x, coding at) {
  std::vector<std::byte> wire(codec.template bytes<float>(x.size()));
  std::vector<float> y(x.size(), 77.f);
  codec.encode(std::span{x}, wire.data(), at);
  codec.decode(wire.data(), std::span{y}, at);
  return y;
}

/// Over 4,000 exchanges: the mean of what arrives, and of the squares that are lost, against the bound.
template <class C>
void check_unbiased(const C& codec, double bound_of_squares, const std::vector<float>& x) {
  constexpr int draws = 4000;
  std::vector<double> mean(x.size());
  double lost = 0;
  for (int k = 0; k < draws; ++k) {
    const auto y = drawn_at(codec, x, {.exchange = std::uint64_t(k)});
    for (std::size_t i = 0; i < x.size(); ++i) mean[i] += double(y[i]) / draws;
    lost += squares(difference(x, y)) / draws;
  }
  BOOST_CHECK_LE(lost, bound_of_squares * 1.02);
  double off = 0; // its expectation is lost / draws
  for (std::size_t i = 0; i < x.size(); ++i) off += (mean[i] - double(x[i])) * (mean[i] - double(x[i]));
  BOOST_CHECK_LE(off, 2 * lost / draws);
}

} // namespace stochastic

BOOST_AUTO_TEST_CASE(rounding_at_random_is_unbiased_and_within_its_variance) {
  const auto x = stochastic::drawn(200);
  double magnitudes = 0;
  float most = 0;
  for (const float v : x) magnitudes += std::fabs(double(v)), most = std::max(most, std::fabs(v));
  stochastic::check_unbiased(tutti::qsgd{7}, 256 / (127. * 127) * stochastic::squares(x), x);
  stochastic::check_unbiased(tutti::terngrad{7}, double(most) * magnitudes - stochastic::squares(x), x);
}

BOOST_AUTO_TEST_CASE(draws_are_named_by_seed_exchange_place_and_rank) {
  const auto x = stochastic::drawn(600);
  const auto with = [&](std::uint64_t seed, tutti::coding at) {
    return stochastic::drawn_at(tutti::terngrad{seed}, x, at);
  };
  const auto plain = with(1, {});
  BOOST_CHECK(plain == with(1, {}));
  BOOST_CHECK(plain != with(2, {}));
  BOOST_CHECK(with(0, {}) != with((std::uint64_t{1} << 32) + 1, {})); // equal when folded into 32 bits
  BOOST_CHECK(plain != with(1, {.exchange = 1}));
  BOOST_CHECK(plain != with(1, {.first = 600}));
  BOOST_CHECK(plain != with(1, {.rank = 1}));
  BOOST_CHECK(plain != with(1, {.result = true}));
  // However it is cut, blocks of 256 draw the same.
  const std::vector<float> second(x.begin() + 256, x.end());
  const auto cut = stochastic::drawn_at(tutti::terngrad{1}, second, {.first = 256});
  BOOST_CHECK(std::equal(cut.begin(), cut.end(), plain.begin() + 256));
}

BOOST_AUTO_TEST_CASE(values_on_levels_and_special_ones_stay) {
  const std::vector<float> one{0, -3, 0, 0}, equal{2, -2, 2, -0.f};
  for (std::uint64_t k = 0; k < 1000; ++k) {
    BOOST_CHECK(stochastic::drawn_at(tutti::qsgd{}, one, {.exchange = k}) == one);
    BOOST_CHECK(stochastic::drawn_at(tutti::terngrad{}, equal, {.exchange = k}) == equal);
  }
  // Ten million draws, none of which is 1: a level is not left for the next.
  std::vector<float> many(1'000'000, 2.f), single(many.size(), 0.f);
  for (std::size_t i = 0; i < many.size(); i += 256) single[i] = -3;
  for (std::uint64_t k = 0; k < 5; ++k) {
    BOOST_CHECK(stochastic::drawn_at(tutti::terngrad{}, many, {.exchange = k}) == many);
    BOOST_CHECK(stochastic::drawn_at(tutti::qsgd{}, single, {.exchange = k}) == single);
  }
  for (const float bad : {stochastic::none, stochastic::infinite}) {
    for (const auto& y : {stochastic::drawn_at(tutti::qsgd{}, {1, bad, 2}, {}),
                          stochastic::drawn_at(tutti::terngrad{}, {1, bad, 2}, {})})
      BOOST_CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
  }
  BOOST_CHECK_EQUAL(tutti::qsgd{}.bytes<float>(257), 257 + 8u);
  BOOST_CHECK_EQUAL(tutti::terngrad{}.bytes<float>(257), 64 + 1 + 8u);
  for (const auto& report : {tutti::check_codec<float>(tutti::qsgd{}), tutti::check_codec<double>(tutti::terngrad{}),
                             tutti::check_codec<tutti::half>(tutti::terngrad{})})
    BOOST_CHECK_MESSAGE(report, report.text());
}

BOOST_AUTO_TEST_CASE(all_ranks_end_with_the_same_bits_and_a_memory_counts) {
  std::vector<std::vector<float>> first(3), second(3), third(3);
  tutti::threads::run(3, [&](auto& world) {
    const auto me = std::size_t(world.rank());
    tutti::codec_memory<float> memory;
    const auto x = stochastic::drawn(900, me + 1);
    first[me] = second[me] = third[me] = x;
    tutti::all_reduce(world, first[me], tutti::mean{}, tutti::direct{}, tutti::terngrad{}, memory);
    tutti::all_reduce(world, second[me], tutti::mean{}, tutti::direct{}, tutti::terngrad{}, memory);
    tutti::all_reduce(world, third[me], tutti::mean{}, tutti::direct{}, tutti::terngrad{});
  });
  BOOST_CHECK(first[0] == first[1] && first[0] == first[2]);
  BOOST_CHECK(second[0] == second[1] && second[0] == second[2]);
  BOOST_CHECK(first[0] != second[0]);
  BOOST_CHECK(first[0] == third[0]); // the first exchange draws as one without a memory
}

BOOST_AUTO_TEST_SUITE_END()
