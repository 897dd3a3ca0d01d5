// Medians and trimmed means in registers against the reducers, bit for bit.
#include "kernels/memory.hpp"

#include <tutti/kernels/context.hpp>
#include <tutti/kernels/order_statistics.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace order_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

template <std::size_t Size, class T, class R, class Pick>
std::string check(const R& r, const Pick& pick, int count, std::size_t n, std::uint32_t rare, int onto = -1) {
  std::vector<guarded<T>> memory;
  kernels::columns<T, Size> of{{}, nullptr, n, count};
  for (int k = 0; k < count; ++k) {
    memory.emplace_back(random_values<T>(n, std::uint64_t(k) + 100 * rare, true, rare), std::size_t(k) % 3);
    of.in[k] = memory.back().data();
  }
  std::vector<T> right;
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<float> column;
    for (int k = 0; k < count; ++k) column.push_back(tutti::element_cast<float>(of.in[k][i]));
    right.push_back(tutti::element_cast<T>(r.gather(std::span<float>{column})));
  }
  const guarded<T> separate{n, 1};
  const guarded<T>& out = onto < 0 ? separate : memory[std::size_t(onto)];
  of.out = out.data();
  kernels::run_on_host<32>(2, [&](auto& block) { kernels::pick_from_columns(block, pick, of); });
  if (!out.guards_hold()) return "a guard zone was written to";
  return difference(out.values(), right);
}

template <std::size_t Size> bool sorts_every_pattern() {
  for (std::uint32_t pattern = 0; pattern < (1u << Size); ++pattern) { // zeros and ones are enough (Knuth, 5.3.4)
    std::int32_t keys[Size];
    for (std::size_t i = 0; i < Size; ++i) keys[i] = std::int32_t(pattern >> i & 1);
    kernels::sort_in_registers(keys);
    for (std::size_t i = 1; i < Size; ++i)
      if (keys[i] < keys[i - 1]) return false;
  }
  return true;
}

BOOST_AUTO_TEST_SUITE(kernels_order_statistics)

BOOST_AUTO_TEST_CASE(networks_sort) {
  BOOST_CHECK(sorts_every_pattern<4>());
  BOOST_CHECK(sorts_every_pattern<8>());
  BOOST_CHECK(sorts_every_pattern<16>());
  BOOST_CHECK_EQUAL(kernels::comparators<4>, 5u);
  BOOST_CHECK_EQUAL(kernels::comparators<32>, 191u);
  BOOST_CHECK_EQUAL(kernels::comparators<64>, 543u);
}

BOOST_AUTO_TEST_CASE(medians_equal_the_reducer) {
  for (const std::uint32_t rare : {1000u, 2u}) // few special values, and one of two
    for (int count = 1; count <= 8; ++count)
      BOOST_CHECK_EQUAL((check<8, float>(tutti::median{}, kernels::middle{}, count, 257, rare)), "");
  BOOST_CHECK_EQUAL((check<64, float>(tutti::median{}, kernels::middle{}, 64, 33, 3)), "");
  BOOST_CHECK_EQUAL((check<64, float>(tutti::median{}, kernels::middle{}, 51, 33, 1)), ""); // special values alone
  BOOST_CHECK_EQUAL((check<8, tutti::bfloat16>(tutti::median{}, kernels::middle{}, 6, 100, 9)), "");
  BOOST_CHECK_EQUAL((check<8, float>(tutti::median{}, kernels::middle{}, 5, 100, 9, 2)), "");
}

BOOST_AUTO_TEST_CASE(trimmed_means_equal_the_reducer) {
  for (int count = 3; count <= 8; ++count)
    BOOST_CHECK_EQUAL((check<8, float>(tutti::trimmed_mean{1}, kernels::mean_within{1}, count, 257, 20)), "");
  BOOST_CHECK_EQUAL((check<8, float>(tutti::trimmed_mean{2}, kernels::mean_within{2}, 7, 64, 3)), "");
  BOOST_CHECK_EQUAL((check<8, float>(tutti::trimmed_mean{0}, kernels::mean_within{0}, 8, 64, 50)), "");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace order_kernels
