// The optimizers give the bits of their description where the machine and the flags would fuse
// multiplications with additions: this file is compiled with -O3 -march=native -ffp-contract=fast,
// see CMakeLists.txt. The namespace has another name here, so that the linker does not take these
// functions for those of the other files.
#include "trial.hpp"

#include <boost/test/unit_test.hpp>

#include <bit>
#include <concepts>

#define tutti fused_tutti
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>

BOOST_AUTO_TEST_SUITE(optimizers)

BOOST_AUTO_TEST_CASE(nothing_is_fused_where_the_machine_could) {
  volatile double a = 1 + 0x1p-30, b = 1 - 0x1p-30, c = -1;
  const double x = a, y = b, z = c;
  if (x * y + z == 0) BOOST_TEST_MESSAGE("nothing is fused here in the first place");

  const tutti::sgd sgd{.learning_rate = .3, .momentum = .9, .nesterov = true, .weight_decay = .07};
  const tutti::adam adam{.learning_rate = .03, .weight_decay = .07};
  const tutti::adamw adamw{.learning_rate = .03, .weight_decay = .07};
  BOOST_CHECK_EQUAL(sgd_difference<float>(sgd), "");
  BOOST_CHECK_EQUAL(sgd_difference<double>(sgd), "");
  BOOST_CHECK_EQUAL(adam_difference<float>(adam, false), "");
  BOOST_CHECK_EQUAL(adam_difference<double>(adam, false), "");
  BOOST_CHECK_EQUAL(adam_difference<float>(adamw, true), "");
  BOOST_CHECK_EQUAL(adam_difference<double>(adamw, true), "");
}

BOOST_AUTO_TEST_SUITE_END()
