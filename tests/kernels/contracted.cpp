// Bodies of kernels, compiled with -O3 -march=native -ffp-contract=fast (CMakeLists.txt): products are rounded before
// they are added, as the source says. The namespace has another name here, so that the linker does not take these
// functions for those of the other files.
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#define tutti contracted_tutti
#include <tutti/codecs/cast.hpp>
#include <tutti/kernels/cast.hpp>
#include <tutti/kernels/collect.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/distances.hpp>
#include <tutti/kernels/norm.hpp>
#include <tutti/kernels/reduce.hpp>
#include <tutti/reducers/elementary.hpp>

namespace contracted_kernels {

namespace kernels = tutti::detail::kernels;

/// Numbers that the compiler does not know; a * a rounded differs from a * a in a sum, as a^2 = 1 + 2^-11 + 2^-24.
const float a = [] {
  volatile float x = 1 + 0x1p-12f;
  return x;
}();
const float rounded_square = [] {
  volatile float x = a * a;
  return x;
}();
constexpr std::size_t n = 67;

template <class Body> void run(Body&& body) {
  kernels::run_on_host<32>(2, body);
}
void expect_all(const std::vector<float>& got, float wanted) {
  for (const float x : got) BOOST_CHECK_EQUAL(x, wanted);
}

BOOST_AUTO_TEST_SUITE(kernels_contracted)

BOOST_AUTO_TEST_CASE(no_body_fuses_a_product_with_a_sum) {
  BOOST_CHECK_EQUAL(rounded_square, 1 + 0x1p-11f);
  alignas(16) static float values[n], memory[n], out[n];
  const auto fill = [](float* to, float x) {
    for (std::size_t i = 0; i < n; ++i) to[i] = x;
  };

  fill(values, -rounded_square), fill(memory, a);
  alignas(16) static tutti::bfloat16 wire[n];
  run([&](auto& ctx) { // a * a - (a * a)
    kernels::cast_with_memory(
        ctx, kernels::rounding_with_memory<float, tutti::bfloat16>{values, wire, memory, memory, out, n, 0, a});
  });
  expect_all({memory, memory + n}, 0);

  fill(values, a), fill(out, -rounded_square);
  run([&](auto& ctx) {
    kernels::collect(ctx, kernels::collected<float, float, float>{values, out, n, 0, true, a, 1});
  });
  expect_all({out, out + n}, 0);

  fill(values, a), fill(memory, 1), fill(out, 9);
  run([&](auto& ctx) { // (a * a - (a * a) * 1) / 2
    kernels::weighted_rows<float, 2> of{{{values, memory}, out, n, 0, 2}, {a, -double(rounded_square)}, 2};
    kernels::reduce_weighted<2>(ctx, tutti::weighted_mean{}, of);
  });
  expect_all({out, out + n}, 0);
}

BOOST_AUTO_TEST_CASE(squares_are_rounded_before_they_are_added_up) {
  volatile double large = 1 + 0x1p-27, small = 1.25 * 0x1p-27;
  const double x = large, y = small; // x^2 = 1 + 2^-26 + 2^-54; y^2 is less than half of a last place, with 2^-54 more
  volatile double square = x * x, little = y * y;
  alignas(16) static double values[2];
  values[0] = y, values[1] = x;
  kernels::tensor_list<double, 4> list{{values}, {2}, {0, 1}, 1};
  kernels::found_norm found{};
  kernels::run_on_host<32>(1, [&](auto& ctx) { kernels::sum_squares(ctx, list, &found); });
  volatile double both = little + square;
  BOOST_CHECK_EQUAL(found.squares, double(both));
}

BOOST_AUTO_TEST_CASE(subnormal_numbers_are_not_flushed) {
  volatile float tiny = 0x1p-149f;
  alignas(16) static float one[n], other[n], out[n];
  for (std::size_t i = 0; i < n; ++i) one[i] = tiny, other[i] = tiny;
  run([&](auto& ctx) { kernels::reduce<2>(ctx, tutti::sum{}, kernels::rows<float, 2>{{one, other}, out, n, 0, 1}); });
  expect_all({out, out + n}, 0x1p-148f);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace contracted_kernels
