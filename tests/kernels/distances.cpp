// Distances between contributions: the body on the host, beside what krum agrees on, part of which is added up in float.
#include "kernels/memory.hpp"

#include <tutti/kernels/context.hpp>
#include <tutti/kernels/distances.hpp>
#include <tutti/reducers/krum.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <limits>
#include <vector>

namespace distance_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

constexpr std::size_t lanes = 32;

/// The matrix as blocks find it, `window` tiles at a time, in an order of lanes and blocks that `seed` chooses.
template <class T>
std::vector<double> measured(const std::vector<std::vector<T>>& rows, bool origin, std::size_t window,
                             std::uint64_t seed) {
  std::vector<guarded<T>> memory;
  kernels::points<T, 32> of{{}, rows[0].size(), int(rows.size()), origin};
  for (std::size_t k = 0; k < rows.size(); ++k) {
    memory.emplace_back(rows[k], k % 3);
    of.in[k] = memory.back().data();
  }
  const std::size_t tiles = (of.n + kernels::distance_tile - 1) / kernels::distance_tile;
  const auto points = std::size_t(of.count()), pairs = std::size_t(of.pairs());
  std::vector<double> found(window * pairs, -1), matrix(points * points, -1);
  kernels::distance_scratch<lanes> scratch{};
  std::size_t first = 0;
  do {
    const std::size_t count = (std::min)(window, tiles - first);
    kernels::run_on_host<lanes>(
        count, [&](auto& block) { kernels::measure_tile(block, of, first, found.data(), scratch); }, seed);
    kernels::run_on_host<lanes>(
        2,
        [&](auto& block) {
          kernels::add_tiles(block, found.data(), count, int(points), first == 0, first + count == tiles,
                             matrix.data());
        },
        seed);
    first += count;
  } while (first < tiles);
  return matrix;
}
template <class T> std::vector<double> wanted(const std::vector<std::vector<T>>& rows, bool origin) {
  std::vector<const T*> all;
  for (const auto& row : rows) all.push_back(row.data());
  std::vector<double> matrix((rows.size() + origin) * (rows.size() + origin));
  tutti::detail::measure_distances(tutti::gathered_rows<T>{all, rows[0].size()}, matrix);
  return matrix;
}
template <class T> std::vector<std::vector<T>> contributions(std::size_t count, std::size_t n, bool special) {
  std::vector<std::vector<T>> all;
  for (std::size_t k = 0; k < count; ++k) all.push_back(random_values<T>(n, k + 1, special && k % 4 == 1));
  return all;
}

BOOST_AUTO_TEST_SUITE(kernels_distances)

BOOST_AUTO_TEST_CASE(pairs_are_counted_once) {
  int p = 0;
  for (int i = 1; i <= 32; ++i)
    for (int j = 0; j < i; ++j, ++p) {
      BOOST_REQUIRE_EQUAL(kernels::pair_at(p).i, i);
      BOOST_REQUIRE_EQUAL(kernels::pair_at(p).j, j);
    }
}

BOOST_AUTO_TEST_CASE(they_are_those_of_krum) {
  for (const std::size_t count : {1u, 2u, 7u, 32u})
    for (const std::size_t n : {0u, 1u, 7u, 1023u, 1025u, 4099u})
      for (const bool special : {false, true}) {
        const auto rows = contributions<float>(count, n, special);
        for (const bool origin : {false, true})
          BOOST_CHECK_EQUAL(apart(measured(rows, origin, 2, n + count), wanted(rows, origin), 2e-6), "");
      }
  const auto halves = contributions<tutti::half>(5, 3000, true);
  BOOST_CHECK_EQUAL(apart(measured(halves, true, 8, 3), wanted(halves, true), 2e-6), "");
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_infinitely_far) {
  auto rows = contributions<float>(3, 2000, false);
  rows[1][1500] = std::numeric_limits<float>::quiet_NaN();
  const auto all = measured(rows, false, 1, 1);
  BOOST_CHECK_EQUAL(all[1], std::numeric_limits<double>::infinity());
  BOOST_CHECK_EQUAL(all[3 * 1 + 2], std::numeric_limits<double>::infinity());
  BOOST_CHECK_LT(all[2], 1e30);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace distance_kernels
