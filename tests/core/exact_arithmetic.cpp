// A mode of the thread that changes results: seen, named, and set aside while tutti computes.
#include "core/modes.hpp"

#include <boost/test/unit_test.hpp>

#include <tutti/core/exact_arithmetic.hpp>

#include <cfenv>
#include <string>
#include <thread>

namespace {

using tutti::detail::arithmetic_mode;

/// What require_exact_arithmetic says, or "nothing".
std::string objection() {
  try {
    tutti::detail::require_exact_arithmetic();
  } catch (const tutti::error& e) {
    return e.code() == tutti::error_code::unsafe_build ? e.what() : "another code";
  }
  return "nothing";
}

bool rounds_to_nearest() {
  volatile float one = 1.0f, most = 0.9e-7f, least = 1e-9f; // of an ulp of 1.2e-7
  volatile float up = one + most, down = one + least, below = -one - most;
  return up > one && down == one && below < -one;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_SUITE(exact_arithmetic)

BOOST_AUTO_TEST_CASE(a_mode_is_refused_by_its_name_and_not_as_the_builds_fault) {
  BOOST_CHECK_EQUAL(objection(), "nothing");
  for (const modes::mode& one : modes::all()) {
    const modes::scope set{one};
    const std::string text = objection();
    BOOST_CHECK_MESSAGE(says(text, one.name), one.name << " is not named: " << text);
    BOOST_CHECK_MESSAGE(!says(text, "compiled") && !says(text, "-ffast-math"),
                        "the compiler is blamed: " << text);
    for (const modes::mode& other : modes::all())
      BOOST_CHECK_MESSAGE(says(one.name, other.name) || !says(text, other.name),
                          other.name << " is named as well: " << text);
  }
  BOOST_CHECK_EQUAL(objection(), "nothing");
}

// What the sentence says to write.
BOOST_AUTO_TEST_CASE(the_default_environment_is_exact) {
  for (const modes::mode& one : modes::all()) {
    const modes::scope set{one};
    std::fesetenv(FE_DFL_ENV);
    BOOST_CHECK_EQUAL(objection(), "nothing");
  }
}

BOOST_AUTO_TEST_CASE(a_mode_is_set_aside_and_comes_back) {
  for (const modes::mode& one : modes::all()) {
    const modes::scope set{one};
    const auto before = arithmetic_mode::now();
    BOOST_CHECK_MESSAGE(before != 0, one.name << " is not seen");
    const bool exact = tutti::detail::exactly([] {
      return tutti::detail::arithmetic_is_exact() && rounds_to_nearest() && objection() == "nothing";
    });
    BOOST_CHECK_MESSAGE(exact, one.name << " is not set aside");
    BOOST_CHECK_MESSAGE(arithmetic_mode::now() == before, one.name << " did not come back");
  }
  BOOST_CHECK(arithmetic_mode::now() == 0);
}

// What a program hears of exceptions of its own is not forgotten.
BOOST_AUTO_TEST_CASE(exceptions_that_were_raised_stay) {
  std::feclearexcept(FE_ALL_EXCEPT);
  const modes::scope set{modes::all().front()};
  {
    const tutti::detail::exact_mode held;
    std::feraiseexcept(FE_DIVBYZERO);
  }
  BOOST_CHECK(std::fetestexcept(FE_DIVBYZERO) != 0);
  std::feclearexcept(FE_ALL_EXCEPT);
}

BOOST_AUTO_TEST_CASE(every_thread_has_a_mode_of_its_own) {
  for (const modes::mode& one : modes::all()) {
    std::string theirs;
    std::thread{[&] {
      const modes::scope set{one};
      theirs = objection();
    }}.join();
    BOOST_CHECK_MESSAGE(says(theirs, one.name), "the thread that set it: " << theirs);
    BOOST_CHECK_EQUAL(objection(), "nothing");
  }
}

BOOST_AUTO_TEST_SUITE_END()
