#include <tutti/optimizers/schedules.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <vector>

BOOST_AUTO_TEST_SUITE(schedules)

namespace {

template <tutti::learning_rate_schedule S>
void expect(const S& schedule, const std::vector<double>& rates) {
  for (std::size_t k = 0; k < rates.size(); ++k)
    BOOST_CHECK_MESSAGE(std::fabs(schedule(std::int64_t(k) + 1) - rates[k]) < 1e-12,
                        "step " << k + 1 << ": " << schedule(std::int64_t(k) + 1) << " instead of "
                                << rates[k]);
}
template <class S>
bool refuses(const S& schedule) {
  try {
    (void)schedule(1);
  } catch (const tutti::error& e) {
    return e.code() == tutti::error_code::invalid_argument;
  }
  return false;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_warm_up_has_its_first_rate_in_the_first_step) {
  expect(tutti::constant_rate{.peak = 1, .warm_up = 4}, {.25, .5, .75, 1, 1, 1});
  expect(tutti::constant_rate{.peak = 2}, {2, 2});
  expect(tutti::cosine_rate{.peak = 1, .floor = 0, .steps = 6, .warm_up = 2}, {.5, 1, (1 + std::sqrt(.5)) / 2, .5});
  expect(tutti::linear_rate{.peak = 1, .floor = 0, .steps = 6, .warm_up = 2}, {.5, 1, .75, .5, .25, 0, 0});
}

BOOST_AUTO_TEST_CASE(behind_the_end_a_rate_stays_where_it_is) {
  const tutti::cosine_rate cosine{.peak = 1, .floor = .1, .steps = 10};
  BOOST_CHECK_EQUAL(cosine(1), 1);
  for (const std::int64_t step : {std::int64_t{10}, std::int64_t{11}, std::int64_t{20}, (std::numeric_limits<std::int64_t>::max)()})
    BOOST_CHECK_CLOSE(cosine(step), .1, 1e-9);
  for (std::int64_t step = 2; step <= 10; ++step) BOOST_CHECK(cosine(step) < cosine(step - 1));
  const tutti::linear_rate line{.peak = 1, .floor = .1, .steps = 10};
  BOOST_CHECK_EQUAL(line(1), 1);
  BOOST_CHECK_CLOSE(line(11), .1, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_run_that_is_all_warm_up_has_no_division_by_zero) {
  for (const std::int64_t steps : {1, 4})
    for (std::int64_t step = 0; step <= 6; ++step) {
      BOOST_CHECK(std::isfinite((tutti::cosine_rate{.steps = steps, .warm_up = 4}(step))));
      BOOST_CHECK(std::isfinite((tutti::linear_rate{.steps = steps, .warm_up = 4}(step))));
    }
  BOOST_CHECK_EQUAL((tutti::cosine_rate{.peak = 1, .steps = 1}(1)), 1);
}

BOOST_AUTO_TEST_CASE(steps_fall_by_a_factor) {
  expect(tutti::step_rate{.peak = 1, .factor = .5, .every = 2}, {1, 1, .5, .5, .25});
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_work_are_refused) {
  BOOST_CHECK(refuses(tutti::cosine_rate{.steps = 0}));
  BOOST_CHECK(refuses(tutti::linear_rate{.steps = -1}));
  BOOST_CHECK(refuses(tutti::step_rate{.every = 0}));
  BOOST_CHECK(refuses(tutti::constant_rate{.warm_up = -1}));
}

BOOST_AUTO_TEST_SUITE_END()
