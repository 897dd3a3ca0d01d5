// The k largest by kernels against top_k on the host: the same bytes, whatever the order of lanes and blocks.
#include "kernels/memory.hpp"

#include <tutti/codecs/top_k.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/selection.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace selection_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

constexpr std::size_t lanes = 32, blocks = 3;
using block = kernels::host_block<lanes>;

template <class T>
std::string check(const std::vector<T>& values, std::size_t k, std::uint64_t seed, std::size_t offset = 0) {
  const std::size_t n = values.size(), tiles = (n + kernels::tile<block> - 1) / kernels::tile<block>;
  std::vector<std::uint32_t> right_indices;
  std::vector<T> right;
  tutti::detail::each_largest<T>(values, k, [&](std::size_t i) {
    right_indices.push_back(std::uint32_t(i));
    right.push_back(values[i]);
  });

  const guarded<T> in{values, offset}, kept{k};
  const guarded<std::uint32_t> indices{k};
  const std::size_t head = kernels::head_of(n, kernels::packet<T>::length, in.data());
  kernels::selecting s{};
  kernels::begin_selecting<T>(s, k);
  std::uint32_t scratch[kernels::digits];
  while (s.low > 0) {
    kernels::run_on_host<lanes>(
        blocks, [&](auto& b) { kernels::count_digits(b, scratch, in.data(), n, head, s); }, seed);
    kernels::run_on_host<lanes>(
        1, [&](auto& b) { kernels::choose_digit(b, s); }, seed);
  }
  std::vector<kernels::tile_count> counts(tiles, {~0ull, ~0ull});
  kernels::tile_count one, many[lanes];
  kernels::run_on_host<lanes>(
      blocks, [&](auto& b) { kernels::count_tiles(b, one, in.data(), n, s, counts.data()); }, seed);
  kernels::run_on_host<lanes>(
      1, [&](auto& b) { kernels::add_up_tiles(b, many, tiles, counts.data()); }, seed);
  kernels::run_on_host<lanes>(
      blocks,
      [&](auto& b) { kernels::keep_values(b, many, in.data(), n, s, counts.data(), indices.data(), kept.data()); },
      seed);
  for (const std::uint64_t c : s.count)
    if (c != 0) return "a count is left";
  if (!kept.guards_hold() || !indices.guards_hold()) return "a guard zone was written to";
  if (indices.values() != right_indices) return "other indices";
  return std::memcmp(kept.data(), right.data(), k * sizeof(T)) == 0 ? "" : "other values";
}

BOOST_AUTO_TEST_SUITE(kernels_selection)

BOOST_AUTO_TEST_CASE(exactly_k_of_the_largest_in_their_order) {
  for (const std::size_t n : lengths)
    for (const std::size_t k : {std::size_t{1}, n / 7, n / 2, n - 1, n})
      if (n > 0 && k > 0 && k <= n)
        for (const std::size_t offset : {0, 1, 3})
          BOOST_CHECK_EQUAL(check(random_values<float>(n, 1), k, n + k, offset), "");
  BOOST_CHECK_EQUAL(check(random_values<tutti::bfloat16>(2000, 1), 300, 1, 1), ""); // many are equal
  BOOST_CHECK_EQUAL(check(random_values<double>(500, 1), 33, 1, 1), "");
}

BOOST_AUTO_TEST_CASE(of_equal_ones_those_with_the_lowest_index) {
  std::vector<float> two(1000, -1.5f);
  for (std::size_t i = 0; i < two.size(); i += 3) two[i] = 2;
  for (const std::size_t k : {1, 333, 334, 335, 999, 1000})
    for (const std::uint64_t seed : {1, 2, 3}) {
      BOOST_CHECK_EQUAL(check(std::vector<float>(1000, 0.0f), k, seed), "");
      BOOST_CHECK_EQUAL(check(std::vector<float>(1000, -3.0f), k, seed), "");
      BOOST_CHECK_EQUAL(check(two, k, seed), "");
    }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace selection_kernels
