// Distances between contributions: launches and refusals, and the choice that krum makes of them.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/cuda/distances.cuh>
#include <tutti/reducers/krum.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace distances {

using namespace mocked;

BOOST_AUTO_TEST_SUITE(cuda_distances)

BOOST_AUTO_TEST_CASE(krum_chooses_as_on_the_host) {
  mock::begin();
  const cuda::stream on;
  cuda::distance_workspace with{on};
  const std::size_t n = tutti::detail::kernels::distance_tile * 3 + 5;
  std::vector<placed<float>> memory;
  std::vector<const float*> rows;
  std::vector<std::vector<float>> values;
  for (std::uint64_t k = 0; k < 5; ++k) values.push_back(kernel_memory::random_values<float>(n, k, false));
  std::vector<cuda::device_span<const float>> in;
  for (const auto& row : values) {
    rows.push_back(row.data());
    memory.emplace_back(on, row, rows.size() % 2);
    in.push_back(memory.back().read());
  }
  std::vector<double> wanted(25), got(25);
  tutti::detail::measure_distances(tutti::gathered_rows<float>{rows, n}, wanted);

  const int before = mock::calls("cudaMallocAsync");
  const auto matrix = cuda::measure_distances<float>(on, in, with);
  BOOST_CHECK_EQUAL(mock::calls("cudaMallocAsync"), before);
  cuda::check(cudaMemcpyAsync(got.data(), matrix.data(), 25 * sizeof(double), cudaMemcpyDefault, on.handle()), "copy");
  on.wait();

  BOOST_CHECK_EQUAL(kernel_memory::apart(got, wanted, 2e-6), "");
  BOOST_CHECK(tutti::krum{}.agreed(got).ranks == tutti::krum{}.agreed(wanted).ranks);
}

BOOST_AUTO_TEST_CASE(of_no_values_they_are_zero) {
  mock::begin();
  const cuda::stream on;
  cuda::distance_workspace with{on};
  const cuda::device_span<const float> none;
  const auto matrix = cuda::measure_distances<float>(on, std::vector{none, none}, with, true);
  std::vector<double> got(9, -1);
  cuda::check(cudaMemcpyAsync(got.data(), matrix.data(), 9 * sizeof(double), cudaMemcpyDefault, on.handle()), "copy");
  on.wait();
  BOOST_CHECK(got == std::vector<double>(9));
}

BOOST_AUTO_TEST_CASE(what_they_refuse) {
  mock::begin();
  const cuda::stream on, elsewhere{1};
  cuda::distance_workspace with{on};
  const placed<float> two{on, {1, 2}}, one{on, {1}}, there{elsewhere, {1}};
  const auto refused = [&](std::vector<cuda::device_span<const float>> in) {
    return refusal([&] { cuda::measure_distances<float>(on, in, with); });
  };
  BOOST_CHECK(says(refused({}), "0 contributions were given - give 1 to 32"));
  BOOST_CHECK(says(refused(std::vector(33, one.read())), "33 contributions were given"));
  BOOST_CHECK(says(refused({one.read(), two.read()}), "spans of 1 and 2 values were given"));
  BOOST_CHECK(says(refused({one.read(), there.read()}), "a span is on device 1 and the stream on device 0"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace distances
