// The k largest by kernels against top_k on the host: the same bytes, whatever the order of lanes and blocks.
#include "kernels/isolated.hpp"
#include "kernels/memory.hpp"

#include <tutti/codecs/top_k.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/selection.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace selection_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

constexpr std::size_t lanes = 32, blocks = 3;
using block = kernels::host_block<lanes>;

/// `isolated`: lanes see nothing of each other but behind a barrier.
template <class T> std::string check(const std::vector<T>& values, std::size_t k, std::uint64_t seed,
                                     std::size_t offset = 0, std::size_t room = 100, bool isolated = false) {
  const std::size_t n = values.size(), tiles = (n + kernels::tile<block> - 1) / kernels::tile<block>;
  std::vector<std::uint32_t> right_indices;
  std::vector<T> right;
  tutti::detail::each_largest<T>(values, k, [&](std::size_t i) {
    right_indices.push_back(std::uint32_t(i));
    right.push_back(values[i]);
  });

  const guarded<T> in{values, offset}, kept{k}, candidates{room};
  const guarded<std::uint32_t> indices{k}, places{room};
  std::vector<kernels::tile_count> counts(tiles, {~0ull, ~0ull});
  kernels::selecting s;
  std::memset(&s, 0xa5, sizeof s);
  std::uint32_t scratch[kernels::digits];
  const kernels::selection<T> of{in.data(),
                                 n,
                                 kernels::head_of(n, kernels::packet<T>::length, in.data()),
                                 candidates.data(),
                                 places.data(),
                                 room,
                                 &s,
                                 counts.data(),
                                 indices.data(),
                                 kept.data()};
  int conflicts = 0;
  const auto run = [&](std::size_t many, auto&& body) {
    if (isolated)
      conflicts += run_isolated<lanes>(many, {shared(scratch), shared(s), std::as_writable_bytes(std::span{counts})},
                                       body, seed);
    else kernels::run_on_host<lanes>(many, body, seed);
  };
  const auto choose = [&] {
    run(blocks, [&](auto& b) { kernels::count_digits(b, scratch, of); });
    run(1, [&](auto& b) { kernels::choose_digit(b, s); });
  };
  const auto tally = [&] {
    run(blocks, [&](auto& b) { kernels::count_tiles(b, of); });
    run(1, [&](auto& b) { kernels::add_up_tiles(b, of); });
  };
  run(1, [&](auto& b) { kernels::begin_selecting(b, of, k); });
  choose();
  tally();
  run(blocks, [&](auto& b) { kernels::gather_candidates(b, of); });
  while (s.low > 0) choose();
  tally();
  run(blocks, [&](auto& b) { kernels::keep_values(b, of); });
  for (const std::uint64_t c : s.count)
    if (c != 0) return "a count is left";
  if (conflicts != 0) return "two lanes write one place";
  if (!kept.guards_hold() || !indices.guards_hold() || !candidates.guards_hold() || !places.guards_hold())
    return "a guard zone was written to";
  if (indices.values() != right_indices) return "other indices";
  return std::memcmp(kept.data(), right.data(), k * sizeof(T)) == 0 ? "" : "other values";
}

BOOST_AUTO_TEST_SUITE(kernels_selection)

BOOST_AUTO_TEST_CASE(exactly_k_of_the_largest_in_their_order) {
  for (const std::size_t n : lengths)
    for (const std::size_t k : {std::size_t{1}, n / 7, n / 2, n - 1, n})
      if (n > 0 && k > 0 && k <= n)
        for (const std::size_t offset : {0u, 1u, 3u})
          BOOST_CHECK_EQUAL(check(random_values<float>(n, 1), k, n + k, offset), "");
  BOOST_CHECK_EQUAL(check(random_values<tutti::bfloat16>(2000, 1), 300, 1, 1), ""); // many are equal
  BOOST_CHECK_EQUAL(check(random_values<double>(500, 1), 33, 1, 1), "");
}

BOOST_AUTO_TEST_CASE(of_equal_ones_those_with_the_lowest_index) {
  std::vector<float> two(1000, -1.5f);
  for (std::size_t i = 0; i < two.size(); i += 3) two[i] = 2;
  for (const std::size_t k : {1u, 333u, 334u, 335u, 999u, 1000u})
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      BOOST_CHECK_EQUAL(check(std::vector<float>(1000, 0.0f), k, seed), "");
      BOOST_CHECK_EQUAL(check(std::vector<float>(1000, -3.0f), k, seed), "");
      BOOST_CHECK_EQUAL(check(two, k, seed), "");
    }
}

BOOST_AUTO_TEST_CASE(candidates_are_gathered_where_there_is_room_and_barriers_are_where_they_must_be) {
  const auto values = random_values<float>(1500, 3);
  for (const std::size_t room : {0u, 1u, 200u, 1500u})
    for (const bool isolated : {false, true}) {
      BOOST_CHECK_EQUAL(check(values, 40, room, 1, room, isolated), "");
      BOOST_CHECK_EQUAL(check(random_values<double>(500, 1), 33, room, 0, room, isolated), "");
    }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace selection_kernels
