// The same compiled with -ffast-math (CMakeLists.txt), which is found out. The namespace has another name here, so that
// the linker does not take these functions for those of the other files.
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>

#define tutti fast_tutti
#include <tutti/kernels/exactness.hpp>

BOOST_AUTO_TEST_SUITE(kernels_exactness)

BOOST_AUTO_TEST_CASE(fast_math_is_found_out) {
  tutti::detail::kernels::trial_numbers numbers;
  volatile float* const unknown = &numbers.large;
  *unknown = *unknown;
  BOOST_CHECK((tutti::detail::kernels::inexactness(numbers) & tutti::detail::kernels::reassociates) != 0);
}

BOOST_AUTO_TEST_SUITE_END()
