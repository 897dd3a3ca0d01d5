// random_k: exactly k, at places that are equal on all ranks and new in every exchange; with feedback nothing is lost.
#include "coded.hpp"

#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/random_k.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <string>

BOOST_AUTO_TEST_SUITE(codecs)

namespace random_places {

using namespace coded;

std::vector<float> arrived(const tutti::random_k& codec, const std::vector<float>& x, tutti::coding at) {
  std::vector<std::byte> wire(codec.bytes<float>(x.size()));
  std::vector<float> y(x.size(), 77.f);
  codec.encode(std::span{x}, wire.data(), at);
  codec.decode(wire.data(), std::span{y}, at);
  return y;
}

} // namespace random_places

BOOST_AUTO_TEST_CASE(exactly_k_values_arrive_each_as_likely_as_the_others) {
  const tutti::random_k codec{.04};
  const std::vector<float> ones(100, 1.f);
  std::vector<int> often(100);
  for (std::uint64_t k = 0; k < 2000; ++k) {
    const auto y = random_places::arrived(codec, ones, {.exchange = k});
    BOOST_CHECK_EQUAL(std::count(y.begin(), y.end(), 1.f), 4);
    BOOST_CHECK_EQUAL(std::count(y.begin(), y.end(), 0.f), 96);
    for (std::size_t i = 0; i < 100; ++i) often[i] += y[i] == 1;
  }
  for (const int times : often) BOOST_CHECK(times > 40 && times < 125); // 80, of which the deviation is 9
  for (const std::size_t n : {0u, 1u, 3u, 24u, 26u}) {
    const auto y = random_places::arrived(codec, std::vector<float>(n, 1.f), {});
    BOOST_CHECK_EQUAL(std::size_t(std::count(y.begin(), y.end(), 1.f)), codec.kept(n));
    BOOST_CHECK_EQUAL(codec.bytes<float>(n), 4 * codec.kept(n));
  }
}

BOOST_AUTO_TEST_CASE(places_are_named_by_seed_exchange_and_place_alone) {
  const auto x = random_places::drawn(1000);
  const auto at = [&](std::uint64_t seed, tutti::coding where) {
    return random_places::arrived(tutti::random_k{.05, seed}, x, where);
  };
  BOOST_CHECK(at(1, {}) == at(1, {.rank = 2, .result = true}));
  BOOST_CHECK(at(1, {}) != at(2, {}));
  BOOST_CHECK(at(1, {}) != at(1, {.exchange = 1}));
  BOOST_CHECK(at(1, {}) != at(1, {.first = 1000})); // two tensors of one shape
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_seen_wherever_it_stands) {
  std::vector<float> x(100, 1.f);
  x[31] = random_places::infinite;
  const auto y = random_places::arrived(tutti::random_k{.03}, x, {});
  BOOST_CHECK_EQUAL(std::count_if(y.begin(), y.end(), [](float v) { return std::isnan(v); }), 3);
}

BOOST_AUTO_TEST_CASE(random_places_with_feedback_lose_nothing) {
  constexpr std::size_t n = 500;
  std::vector<std::vector<float>> results(3, std::vector<float>(n)), unsent = results, given = results;
  tutti::threads::run(3, [&](auto& world) {
    const auto me = std::size_t(world.rank());
    tutti::codec_memory<float> memory;
    for (int step = 0; step < 5; ++step) {
      std::vector<float> x(n);
      for (std::size_t i = 0; i < n; ++i) given[me][i] += x[i] = float(int((i * 7 + me * 3) % 11) - 5 + step);
      tutti::all_reduce(world, x, tutti::direct{}, tutti::error_feedback{tutti::random_k{.1}}, memory);
      for (std::size_t i = 0; i < n; ++i) results[me][i] += x[i];
    }
    std::copy(memory.sent().begin(), memory.sent().end(), unsent[me].begin());
  });
  BOOST_CHECK(results[0] == results[1] && results[0] == results[2]);
  for (std::size_t i = 0; i < n; ++i)
    BOOST_CHECK_EQUAL(given[0][i] + given[1][i] + given[2][i],
                      results[0][i] + unsent[0][i] + unsent[1][i] + unsent[2][i]);
  BOOST_CHECK(std::count(results[0].begin(), results[0].end(), 0.f) < 400); // other places in every exchange
}

BOOST_AUTO_TEST_SUITE_END()
