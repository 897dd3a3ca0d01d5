// The norm of a gradient, what follows from it, and rounding: bodies of kernels on the host.
#include "kernels/memory.hpp"

#include <tutti/kernels/context.hpp>
#include <tutti/kernels/norm.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace norm_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

constexpr int lanes = 32, most = 8;
constexpr std::size_t chunk = 4 * lanes * kernels::chunk_rounds;

/// Of tensors at unlike places; `seed` chooses in which order lanes and blocks are run.
template <class T>
kernels::norm_verdict judged(const std::vector<std::vector<T>>& tensors, std::size_t offset, double scale, double clip,
                             std::uint64_t seed = 1, std::size_t blocks = 3) {
  std::vector<guarded<T>> memory;
  kernels::tensor_list<T, most> list{};
  for (const auto& t : tensors) {
    memory.emplace_back(t, offset + memory.size() % 2);
    const auto k = std::size_t(list.count++);
    list.data[k] = memory.back().data();
    list.n[k] = t.size();
    list.chunks_before[k + 1] = list.chunks_before[k] + (t.size() + chunk - 1) / chunk;
  }
  std::vector<kernels::found_norm> found(blocks, {-1, 99});
  kernels::run_on_host<lanes>(
      blocks, [&](auto& block) { kernels::sum_squares(block, list, found.data()); }, seed);
  kernels::norm_verdict verdict{-1, -1, 99};
  kernels::run_on_host<lanes>(
      1, [&](auto& block) { kernels::judge_norm(block, found.data(), found.size(), scale, clip, &verdict); }, seed);
  return verdict;
}

std::vector<std::vector<float>> some_tensors() {
  return {random_values<float>(5, 1, false),
          {},
          random_values<float>(3 * chunk + 7, 2, false),
          random_values<float>(chunk, 3, false)};
}

BOOST_AUTO_TEST_SUITE(kernels_norm)

BOOST_AUTO_TEST_CASE(squares_are_those_of_the_values_wherever_they_are) {
  const auto tensors = some_tensors();
  long double right = 0;
  for (const auto& t : tensors)
    for (const float x : t) right += static_cast<long double>(x) * x;
  const auto first = judged(tensors, 0, 1, 0);
  BOOST_CHECK_LT(std::fabs(double(first.squares - right)), 1e-12 * double(right));
  BOOST_CHECK(first.finite == 1 && first.factor == 1);
  for (const std::size_t offset : {1, 2, 3})
    for (const std::uint64_t seed : {2, 3}) {
      const auto again = judged(tensors, offset, 1, 0, seed);
      BOOST_CHECK_EQUAL(again.squares, first.squares);
    }
}

BOOST_AUTO_TEST_CASE(small_numbers_worked_out_by_hand) {
  const std::vector<std::vector<float>> three_four{{3}, {0, 4}};
  BOOST_CHECK_EQUAL(judged(three_four, 0, 1, 0).squares, 25);
  BOOST_CHECK_EQUAL(judged(three_four, 0, 1, 0).factor, 1);
  BOOST_CHECK_EQUAL(judged(three_four, 0, 1, 2.5).factor, 0.5f);     // as long as 2.5
  BOOST_CHECK_EQUAL(judged(three_four, 0, 0.5, 0).squares, 6.25);    // unscaled
  BOOST_CHECK_EQUAL(judged(three_four, 0, 0.5, 1.25).factor, 0.25f); // unscaled, and half as long
  BOOST_CHECK_EQUAL(judged(three_four, 0, 0.5, 3).factor, 0.5f);
  BOOST_CHECK_EQUAL(judged<float>({}, 0, 1, 1).squares, 0);
  BOOST_CHECK_EQUAL(judged<float>({{}}, 0, 1, 1).finite, 1);
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_found_in_any_tensor) {
  const float wrong[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                         std::numeric_limits<float>::quiet_NaN()};
  for (const float bad : wrong)
    for (const std::size_t where : {0, 3}) {
      auto tensors = some_tensors();
      tensors[where].back() = bad;
      BOOST_CHECK_EQUAL(judged(tensors, 1, 1, 1).finite, 0);
    }
  BOOST_CHECK_EQUAL(judged<tutti::half>({{tutti::half{65504.f}}}, 0, 1, 0).finite, 1);
  BOOST_CHECK_EQUAL(judged<double>({{1e200}}, 0, 1, 0).finite, 0); // its square is no number
}

BOOST_AUTO_TEST_CASE(scaling_and_rounding_leaves_out_what_is_not_finite) {
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1}) {
      const auto values = random_values<float>(n, 5);
      const guarded<float> in{values, offset};
      const guarded<tutti::bfloat16> out{n, offset};
      const std::size_t head = kernels::head_of(n, 8, in.data(), out.data());
      const auto run = [&](kernels::norm_verdict verdict) {
        kernels::run_on_host<lanes>(
            2, [&](auto& block) { kernels::scale_and_cast(block, in.data(), out.data(), n, head, &verdict); });
      };
      const std::vector<tutti::bfloat16> poisoned = out.values();
      run({1, 0.3f, 0});
      BOOST_CHECK_EQUAL(difference(out.values(), poisoned), "");
      run({1, 0.3f, 1});
      std::vector<tutti::bfloat16> right;
      for (const float x : values) right.push_back(tutti::bfloat16{x * 0.3f});
      BOOST_CHECK_EQUAL(difference(out.values(), right), "");
      BOOST_CHECK(out.guards_hold());
    }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace norm_kernels
