// Shamir's shares, the field that they are in, the graph of neighbours and the rule for words: what needs no keys.
#include <tutti/federated/secure/neighbours.hpp>
#include <tutti/federated/secure/ring.hpp>
#include <tutti/federated/secure/shamir.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_sharing)

namespace {

using tutti::secure::mersenne_61;
using numbers = std::vector<mersenne_61>;
using shares = std::vector<tutti::secure::share<mersenne_61>>;

/// 1234 + 166 x + 94 x^2 at 1 to 6.
shares published() {
  const std::array<std::uint32_t, 6> places{1, 2, 3, 4, 5, 6};
  std::uint64_t next[] = {166, 94};
  const numbers secret{mersenne_61{1234}};
  return tutti::secure::split<mersenne_61>(secret, 3, places, [&, k = 0]() mutable { return mersenne_61{next[k++]}; });
}
std::string refusal(const shares& given) {
  try {
    const auto out = tutti::secure::recovered<mersenne_61>(given);
    return "a secret: " + std::to_string(out.at(0).value());
  } catch (const tutti::error& e) {
    BOOST_CHECK(e.code() == tutti::error_code::bad_data);
    return e.what();
  }
}
bool names(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

} // namespace

BOOST_AUTO_TEST_CASE(the_published_polynomial_has_its_shares) {
  const std::uint64_t wanted[] = {1494, 1942, 2578, 3402, 4414, 5614};
  const shares all = published();
  for (std::size_t k = 0; k < 6; ++k) BOOST_CHECK_EQUAL(all[k].values.at(0).value(), wanted[k]);
  BOOST_CHECK_EQUAL(tutti::secure::recovered<mersenne_61>(all).at(0).value(), 1234u);
  for (std::size_t a = 0; a < 6; ++a)
    for (std::size_t b = 0; b < a; ++b)
      for (std::size_t c = 0; c < b; ++c)
        BOOST_CHECK_EQUAL(tutti::secure::recovered<mersenne_61>(shares{all[a], all[b], all[c]}).at(0).value(), 1234u);
}

// A line through two of them gives 1046.
BOOST_AUTO_TEST_CASE(fewer_shares_than_the_threshold_and_one_twice_are_refused) {
  const shares all = published();
  BOOST_CHECK(names(refusal({all[0], all[1]}), "2 shares were given, and 3 make the secret"));
  BOOST_CHECK(names(refusal({all[0], all[0], all[1]}), "two shares at 1"));
  BOOST_CHECK(names(refusal({}), "no share was given"));
  shares other = {all[0], all[1], all[2]};
  other[1].threshold = 2;
  BOOST_CHECK(names(refusal(other), "not of one secret"));
  other = {all[0], all[1], all[2], all[3]};
  other[3].values[0] += mersenne_61{1};
  BOOST_CHECK(names(refusal(other), "the share at 4 does not fit the others"));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_shared_is_refused) {
  const auto refused = [](int threshold, std::vector<std::uint32_t> at, const char* why) {
    const numbers secret{mersenne_61{1}};
    try {
      tutti::secure::split<mersenne_61>(secret, threshold, at, [] { return mersenne_61{}; });
      BOOST_ERROR("it was shared");
    } catch (const tutti::error& e) {
      BOOST_CHECK(e.code() == tutti::error_code::invalid_argument);
      BOOST_CHECK_MESSAGE(names(e.what(), why), e.what());
    }
  };
  refused(0, {1, 2}, "0 of 2 shares");
  refused(3, {1, 2}, "3 of 2 shares");
  refused(2, {0, 2}, "a share at 0");
  refused(2, {2, 2}, "two shares at 2");
}

// Modulo 7, threshold 3, all 343 polynomials: whatever two holders see, each of the seven secrets has led to it, and
// as often as any other.
BOOST_AUTO_TEST_CASE(fewer_shares_than_the_threshold_are_consistent_with_every_secret) {
  using field = tutti::secure::prime_field<7>;
  const std::array<std::uint32_t, 6> places{1, 2, 3, 4, 5, 6};
  int seen[6][6][7][7][7] = {}; // of two holders, their two numbers, the secret
  for (std::uint64_t s = 0; s < 7; ++s)
    for (std::uint64_t a = 0; a < 7; ++a)
      for (std::uint64_t b = 0; b < 7; ++b) {
        const field secret[] = {field{s}}, drawn[] = {field{a}, field{b}};
        const auto all = tutti::secure::split<field>(secret, 3, places, [&, k = 0]() mutable { return drawn[k++]; });
        for (std::size_t i = 0; i < 6; ++i)
          for (std::size_t j = 0; j < 6; ++j)
            if (i != j) ++seen[i][j][all[i].values[0].value()][all[j].values[0].value()][s];
        for (std::size_t i = 2; i < 6; ++i) {
          const std::vector<tutti::secure::share<field>> three{all[0], all[i - 1], all[i]};
          BOOST_REQUIRE(tutti::secure::recovered<field>(three)[0] == secret[0]);
        }
      }
  int wrong = 0;
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      for (int x = 0; x < 7; ++x)
        for (int y = 0; y < 7; ++y)
          for (int s = 0; s < 7; ++s) wrong += i != j && seen[i][j][x][y][s] != 1;
  BOOST_CHECK_EQUAL(wrong, 0);
}

BOOST_AUTO_TEST_CASE(numbers_of_the_field_are_those_of_the_integers) {
  using small_field = tutti::secure::prime_field<13>;
  for (std::uint64_t a = 0; a < 13; ++a)
    for (std::uint64_t b = 0; b < 13; ++b) {
      BOOST_REQUIRE_EQUAL((small_field{a} + small_field{b}).value(), (a + b) % 13);
      BOOST_REQUIRE_EQUAL((small_field{a} - small_field{b}).value(), (a + 13 - b) % 13);
      BOOST_REQUIRE_EQUAL((small_field{a} * small_field{b}).value(), a * b % 13);
    }
  constexpr std::uint64_t p = mersenne_61::prime;
  const std::uint64_t some[] = {0, 1, 2, 3, 1234567, p / 2, p - 2, p - 1, std::uint64_t{1} << 60};
  for (const std::uint64_t a : some) {
    if (a != 0) BOOST_CHECK_EQUAL((mersenne_61{a} * mersenne_61{a}.inverse()).value(), 1u);
    for (const std::uint64_t b : some)
      BOOST_CHECK_EQUAL((mersenne_61{a} * mersenne_61{b}).value(),
                        std::uint64_t(tutti::secure::detail::wide_word{a} * b % p));
  }
}

BOOST_AUTO_TEST_CASE(neighbours_are_mutual_as_many_for_each_and_the_graph_is_in_one_piece) {
  for (const auto& [clients, degree] : {std::pair{3, 0}, {3, 2}, {6, 4}, {10, 2}, {17, 8}, {100, 16}, {7, 12}}) {
    const tutti::secure::neighbour_graph graph{clients, degree, 5, 1};
    const int wanted = degree == 0 ? clients - 1 : std::min(degree, clients - 1);
    BOOST_CHECK_EQUAL(graph.degree(), wanted);
    std::set<int> reached{0};
    std::vector<int> next{0};
    while (!next.empty()) {
      const int at = next.back();
      next.pop_back();
      for (const int v : graph.of(at))
        if (reached.insert(v).second) next.push_back(v);
    }
    BOOST_CHECK_EQUAL(reached.size(), std::size_t(clients));
    for (int u = 0; u < clients; ++u) {
      const auto of = graph.of(u);
      BOOST_CHECK_EQUAL(std::set<int>(of.begin(), of.end()).size(), std::size_t(wanted));
      BOOST_CHECK(std::is_sorted(of.begin(), of.end()));
      for (const int v : of) BOOST_CHECK(v != u && v >= 0 && v < clients && graph.neighbours(v, u));
    }
  }
  const tutti::secure::neighbour_graph one{50, 4, 5, 1}, again{50, 4, 5, 1}, other{50, 4, 5, 2}, third{50, 4, 6, 1};
  BOOST_CHECK(std::ranges::equal(one.of(7), again.of(7)));
  BOOST_CHECK(!std::ranges::equal(one.of(7), other.of(7)) || !std::ranges::equal(one.of(8), other.of(8)));
  BOOST_CHECK(!std::ranges::equal(one.of(7), third.of(7)) || !std::ranges::equal(one.of(8), third.of(8)));
}

// 13-bit values, weights up to 60,000, words of 32 bits: 8 clients allowed, 9 refused.
BOOST_AUTO_TEST_CASE(weights_count_in_the_width_of_a_word) {
  using tutti::secure::sum_fits;
  static_assert(sum_fits(13, 60'000, 8, 32) && !sum_fits(13, 60'000, 9, 32));
  static_assert(sum_fits(32, 1, 1, 32) && !sum_fits(32, 1, 2, 32) && !sum_fits(32, 2, 1, 32));
  static_assert(tutti::secure::bits_for(1) == 0 && tutti::secure::bits_for(2) == 1 && tutti::secure::bits_for(3) == 2);
  using ring = tutti::secure::ring<std::uint32_t, 13, 8, 60'000>;
  for (const std::int64_t value : {-4096, 4095}) { // the outermost of 13 bits
    ring::word sum = 0;
    for (int client = 0; client < 8; ++client) sum += ring::of(value * 60'000);
    BOOST_CHECK_EQUAL(ring::number(sum), value * 60'000 * 8);
  }
}

BOOST_AUTO_TEST_SUITE_END()
