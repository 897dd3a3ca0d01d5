// Distances between contributions: by their definition, at the ends of the range of floats, and of what is no number.
#include <tutti/core/random.hpp>
#include <tutti/reducers/distances.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(distances)

namespace {

template <class T>
std::vector<double> between(const std::vector<std::vector<T>>& all, bool origin) {
  std::vector<const T*> rows;
  for (const auto& row : all) rows.push_back(row.data());
  const std::size_t points = rows.size() + origin;
  std::vector<double> out(points * points);
  tutti::detail::measure_distances(tutti::gathered_rows<T>{rows, all[0].size()}, out);
  return out;
}

/// Serially, in long double.
template <class T>
void check_by_definition(std::size_t n, double scale) {
  tutti::random_stream draw{n};
  std::vector<std::vector<T>> all(4, std::vector<T>(n));
  for (auto& row : all)
    for (T& x : row) x = tutti::element_cast<T>(float((double(draw.uniform()) - .5) * scale));
  const auto got = between(all, true);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      long double wanted = 0;
      for (std::size_t k = 0; k < n; ++k) {
        const auto value = [&](std::size_t row) {
          return row == 4 ? 0.L : static_cast<long double>(tutti::element_cast<tutti::accumulator_t<T>>(all[row][k]));
        };
        wanted += (value(i) - value(j)) * (value(i) - value(j));
      }
      BOOST_CHECK_MESSAGE(std::abs(got[i * 5 + j] - double(wanted)) <= 1e-6 * double(wanted),
                          i << ", " << j << " of " << n << " times " << scale << ": " << got[i * 5 + j]);
    }
}

} // namespace

BOOST_AUTO_TEST_CASE(squares_are_those_of_the_definition_also_where_floats_would_overflow_or_vanish) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{15}, std::size_t{17}, std::size_t{511}, std::size_t{5000}}) {
    for (const double scale : {1., 1e-18, 1e-25, 1e19, 1e30}) check_by_definition<float>(n, scale);
    check_by_definition<double>(n, 1);
    check_by_definition<tutti::bfloat16>(n, 1);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_infinitely_far_from_all) {
  std::vector<std::vector<float>> all(3, std::vector<float>(1000, 1));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    all[1][700] = bad;
    const auto got = between(all, true);
    BOOST_CHECK(std::isinf(got[0 * 4 + 1]) && std::isinf(got[1 * 4 + 2]) && std::isinf(got[1 * 4 + 3]));
    BOOST_CHECK_EQUAL(got[0 * 4 + 2], 0);
    BOOST_CHECK_CLOSE(got[0 * 4 + 3], 1000, 1e-4);
    BOOST_CHECK_EQUAL(got[1 * 4 + 1], 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
