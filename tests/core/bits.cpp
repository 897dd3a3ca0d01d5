// Bits in words of 64.
#include <tutti/core/bits.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using tutti::detail::words_for_bits;

static_assert(words_for_bits(0) == 0 && words_for_bits(1) == 1);
static_assert(words_for_bits(64) == 1 && words_for_bits(65) == 2);

} // namespace

BOOST_AUTO_TEST_CASE(bits_are_read_as_they_were_written_over_what_was_there) {
  for (const std::size_t n : std::vector<std::size_t>{0, 1, 63, 64, 65, 130}) {
    std::vector<std::uint64_t> words(words_for_bits(n), ~std::uint64_t{0});
    const auto third = [](std::size_t k) { return k % 3 == 0; };
    tutti::detail::write_bits(words, n, third);
    for (std::size_t k = 0; k < n; ++k)
      BOOST_CHECK_MESSAGE(tutti::detail::bit(words, k) == third(k), "bit " << k << " of " << n);
    if (n % 64 != 0) BOOST_CHECK_MESSAGE(words.back() >> n % 64 == 0, "behind the last of " << n << " is something");
  }
}

BOOST_AUTO_TEST_SUITE_END()
