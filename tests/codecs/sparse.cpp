// top_k: exactly k, ties to the low index, bytes, bounds, and messages that are corrupted.
#include "coded.hpp"

#include <tutti/codecs/top_k.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

BOOST_AUTO_TEST_SUITE(codecs)

namespace sparse {

using namespace coded;

/// Which values arrive, in the obvious way.
template <class T>
std::vector<T> largest(const std::vector<T>& x, std::size_t k) {
  const auto size = [&](std::size_t i) {
    const double v = std::fabs(double(x[i]));
    return std::isnan(v) ? std::numeric_limits<double>::infinity() : v;
  };
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (std::isnan(double(x[a])) != std::isnan(double(x[b]))) return std::isnan(double(x[a]));
    return size(a) > size(b);
  });
  std::vector<T> out(x.size(), T(0));
  for (std::size_t j = 0; j < k; ++j) out[order[j]] = x[order[j]];
  return out;
}

bool refused(const auto& codec, std::vector<std::byte> wire, std::size_t n) {
  std::vector<float> out(n);
  try {
    codec.decode(wire.data(), std::span{out});
  } catch (const tutti::error& e) {
    return e.details().code == tutti::error_code::bad_data;
  }
  return false;
}

} // namespace sparse

BOOST_AUTO_TEST_CASE(the_largest_arrive_as_they_are) {
  for (const std::size_t n : {0u, 1u, 2u, 7u, 100u, 1000u})
    for (const double fraction : {.001, .01, .1, .3, .6, 1.}) {
      const tutti::top_k codec{fraction};
      const auto x = sparse::drawn(n, n + 1);
      const std::size_t k = codec.kept(n);
      BOOST_CHECK_EQUAL(k, n == 0 ? 0 : std::max<std::size_t>(1, std::size_t(std::ceil(fraction * double(n)))));
      BOOST_CHECK_EQUAL(codec.bytes<float>(n), std::min(8 * k, 4 * n));
      BOOST_CHECK(sparse::same_bits(sparse::sent(codec, x), sparse::largest(x, k)));
      const double lost = sparse::squares(sparse::difference(x, sparse::sent(codec, x)));
      BOOST_CHECK(n == 0 || lost <= (1 - double(k) / double(n)) * sparse::squares(x) * (1 + 1e-12));
      const std::vector<double> wide(x.begin(), x.end());
      BOOST_CHECK(sparse::same_bits(sparse::sent(codec, wide), sparse::largest(wide, k)));
    }
}

BOOST_AUTO_TEST_CASE(many_values_are_chosen_alike_whatever_a_sample_of_them_shows) {
  constexpr std::size_t n = 100'001;
  auto drawn = sparse::drawn(n, 3);
  std::vector<float> rising(n), steps(n), rare(n, 0), every_other(n);
  for (std::size_t i = 0; i < n; ++i) {
    rising[i] = float(i);
    steps[i] = float(i % 3);
    every_other[i] = i % 24 == 0 ? 1.f : 2.f; // a sample takes every 24th
  }
  for (std::size_t i = 5; i < n; i += 997) rare[i] = -float(i);
  for (const auto& x : {drawn, rising, steps, rare, every_other, std::vector<float>(n, 1.f)})
    for (const double fraction : {.00001, .001, .01, .4, .99}) {
      const tutti::top_k codec{fraction};
      BOOST_CHECK(sparse::same_bits(sparse::sent(codec, x), sparse::largest(x, codec.kept(n))));
    }
  const std::vector<double> wide(drawn.begin(), drawn.end());
  BOOST_CHECK(sparse::same_bits(sparse::sent(tutti::top_k{.01}, wide), sparse::largest(wide, 1001)));
}

BOOST_AUTO_TEST_CASE(ties_go_to_the_low_index) {
  const tutti::top_k half{.5};
  BOOST_CHECK((sparse::sent(half, std::vector<float>{1, -1, 1, 1}) == std::vector<float>{1, -1, 0, 0}));
  BOOST_CHECK((sparse::sent(half, std::vector<double>{1, 2, -1, 1}) == std::vector<double>{1, 2, 0, 0}));
  std::vector<float> equal(10000, .25f);
  const auto y = sparse::sent(tutti::top_k{.01}, equal);
  BOOST_CHECK(std::all_of(y.begin(), y.begin() + 100, [](float v) { return v == .25f; }));
  BOOST_CHECK(std::all_of(y.begin() + 100, y.end(), [](float v) { return v == 0; }));
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_larger_than_all) {
  std::vector<float> x(100, 1.f);
  x[40] = sparse::infinite;
  x[70] = sparse::none;
  const auto y = sparse::sent(tutti::top_k{.02}, x);
  BOOST_CHECK(std::isinf(y[40]) && std::isnan(y[70]));
  BOOST_CHECK_EQUAL(std::count(y.begin(), y.end(), 0.f), 98);
  BOOST_CHECK(std::isnan(sparse::sent(tutti::top_k{.01}, x)[70]));
}

BOOST_AUTO_TEST_CASE(results_have_room_for_what_all_have_sent) {
  const tutti::top_k codec{.01};
  BOOST_CHECK_EQUAL(codec.results(7).kept(1000), 70u);
  BOOST_CHECK_EQUAL(codec.results(7).kept(50), 7u);
  BOOST_CHECK_EQUAL(codec.results(200).kept(50), 50u);
  BOOST_CHECK_EQUAL(codec.results(200).bytes<float>(50), 200u); // as they are
}

BOOST_AUTO_TEST_CASE(corrupted_indices_are_refused_by_name) {
  const tutti::top_k codec{.02};
  auto wire = sparse::encoded(codec, sparse::drawn(100));
  const auto with = [&](std::uint32_t first, std::uint32_t second) {
    std::memcpy(wire.data(), &first, 4);
    std::memcpy(wire.data() + 4, &second, 4);
    return wire;
  };
  BOOST_CHECK(!sparse::refused(codec, with(0, 99), 100));
  BOOST_CHECK(sparse::refused(codec, with(0, 100), 100));
  BOOST_CHECK(sparse::refused(codec, with(5, 5), 100));
  BOOST_CHECK(sparse::refused(codec, with(6, 5), 100));
  BOOST_CHECK(sparse::refused(codec, with(0xffffffff, 5), 100));
}

BOOST_AUTO_TEST_SUITE_END()
