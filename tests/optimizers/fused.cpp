// The optimizers compiled for a machine with a fused multiply-add, at the level where loops are
// vectorised, give the bits of their description all the same. The namespace has another name here,
// so that the linker does not take these functions for those of the other tests.
#include "trial.hpp"

#include <boost/test/unit_test.hpp>

#include <bit>
#include <concepts>

#if defined(__x86_64__) && defined(__GNUC__)

#define tutti fused_tutti
#if defined(__clang__)
#define __FMA__ 1 // what -mfma would say
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC optimize("O3,fp-contract=fast,no-math-errno")
#pragma GCC target("avx2,fma")
#endif
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>

namespace {

/// A loop that may be fused, to see that this machine and compiler do.
__attribute__((noinline)) double fused(const double* a, const double* b, const double* c) {
#if defined(__clang__)
#pragma clang fp contract(fast)
#endif
  return *a * *b + *c;
}

} // namespace

#if defined(__clang__)
#pragma clang attribute pop
#undef __FMA__
#else
#pragma GCC pop_options
#endif

BOOST_AUTO_TEST_SUITE(optimizers)

BOOST_AUTO_TEST_CASE(nothing_is_fused_where_the_machine_could) {
  if (!__builtin_cpu_supports("fma") || !__builtin_cpu_supports("avx2")) {
    BOOST_TEST_MESSAGE("this machine has no fused multiply-add");
    return;
  }
  const double a = 1 + 0x1p-30, b = 1 - 0x1p-30, c = -1;
  BOOST_CHECK_MESSAGE(fused(&a, &b, &c) == -0x1p-60, "this build fuses nothing; the test says little");

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

#endif
