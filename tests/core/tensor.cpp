#include <tutti/core/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <limits>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(tensors)

BOOST_AUTO_TEST_CASE(types_are_deduced_with_and_without_a_shape) {
  std::vector<float> x(6);
  const std::vector<double> y(6);
  static_assert(std::is_same_v<decltype(tutti::tensor{"x", std::span{x}}), tutti::tensor<float>>);
  static_assert(
      std::is_same_v<decltype(tutti::tensor{"y", std::span{y}, {2, 3}}), tutti::tensor<const double>>);
  const tutti::tensor shaped{"x", std::span{x}, {2, 3}};
  BOOST_CHECK_EQUAL(tutti::detail::text_of_shape(shaped), "2 x 3");
  BOOST_CHECK_EQUAL(tutti::detail::text_of_shape(tutti::tensor{"x", std::span{x}}), "6");
}

BOOST_AUTO_TEST_CASE(a_shape_fits_when_it_holds_as_many) {
  std::vector<float> six(6), one(1), none;
  const auto fits = [](std::vector<float>& x, std::vector<std::int64_t> shape) {
    return tutti::detail::fits_its_shape(tutti::tensor<float>{"x", x, std::move(shape)});
  };
  BOOST_CHECK(fits(six, {}) && fits(six, {6}) && fits(six, {2, 3}) && fits(six, {1, 6, 1}));
  BOOST_CHECK(!fits(six, {5}) && !fits(six, {2, 2}) && !fits(six, {0}) && !fits(six, {-2, -3}));
  BOOST_CHECK(fits(one, {}) && fits(one, {1, 1}) && !fits(one, {2}));
  BOOST_CHECK(fits(none, {0}) && fits(none, {2, 0}) && fits(none, {0, 5}) && !fits(none, {1}));
  const auto huge = (std::numeric_limits<std::int64_t>::max)();
  BOOST_CHECK(!fits(six, {huge, huge, 6}) && fits(none, {huge, huge, 0}) && !fits(none, {huge, huge}));
}

BOOST_AUTO_TEST_SUITE_END()
