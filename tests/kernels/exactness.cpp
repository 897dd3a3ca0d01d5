// Whether arithmetic is what the source says: it is, as the tests are compiled.
#include <tutti/kernels/exactness.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(kernels_exactness)

BOOST_AUTO_TEST_CASE(this_build_computes_as_the_source_says) {
  tutti::detail::kernels::trial_numbers numbers;
  volatile float* const unknown = &numbers.large;
  *unknown = *unknown;
  BOOST_CHECK_EQUAL(tutti::detail::kernels::inexactness(numbers), 0u);
}

BOOST_AUTO_TEST_SUITE_END()
