#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using tutti::partition;

static_assert(partition{10, 4, 4}.offset(1) == 3 && partition{10, 4, 4}.offset(2) == 6);
static_assert(partition{10, 4, 4}.length(3) == 2 && partition{10, 4, 4}.offset(4) == 10);
static_assert(partition{2, 3, 3}.length(1) == 1 && partition{2, 3, 3}.length(2) == 0);
// Two chunks a rank: the shares of 5 and 5 are cut into 3 + 2 each.
static_assert(partition{10, 2, 4}.length(0) == 3 && partition{10, 2, 4}.offset(2) == 5);
static_assert(partition{10, 2, 4}.length(2) == 3 && partition{10, 2, 4}.length(3) == 2);
// Two chunks for three ranks belong to no one.
static_assert(partition{5, 3, 2}.length(0) == 3 && partition{5, 3, 2}.length(1) == 2);

/// Empty when chunks follow each other, cover everything and are as equal as their shares allow.
std::string wrong(const partition& cut) {
  if (cut.offset(0) != 0 || cut.offset(cut.chunks) != cut.n) return "does not cover everything";
  const std::size_t least = cut.n / std::size_t(cut.chunks);
  for (int c = 0; c < cut.chunks; ++c) {
    if (cut.offset(c + 1) < cut.offset(c)) return "chunks overlap";
    const std::size_t slack = cut.chunks % cut.size == 0 && cut.chunks != cut.size ? 1 : 0;
    if (cut.length(c) + slack < least || cut.length(c) > least + 1 + slack) return "unequal chunks";
  }
  return {};
}

/// Empty when a rank's share does not depend on how many chunks each is cut into.
std::string wrong_shares(std::size_t n, int size, int each) {
  const partition whole{n, size, size}, finer{n, size, size * each};
  for (int r = 0; r <= size; ++r)
    if (finer.offset(r * each) != whole.offset(r)) return "shares move";
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(a_partition_covers_everything_in_equal_parts) {
  for (const int size : {1, 2, 3, 4, 5, 7})
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t(size - 1),
                                std::size_t(size + 1), std::size_t{1000}, std::size_t{1} << 40})
      for (const int chunks : {1, 2, size, 3 * size, 4 * size + 1}) {
        BOOST_CHECK_MESSAGE(wrong({n, size, chunks}).empty(), n << " on " << size << " in "
                                                                << chunks << ": "
                                                                << wrong({n, size, chunks}));
        BOOST_CHECK_MESSAGE(wrong_shares(n, size, 3).empty(), n << " on " << size);
      }
}

BOOST_AUTO_TEST_SUITE_END()
