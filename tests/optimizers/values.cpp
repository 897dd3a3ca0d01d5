#include "trial.hpp"

#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(optimizers)

namespace {

/// One parameter through several gradients.
template <class O>
double after(const O& o, double parameter, std::vector<double> gradients) {
  std::array<double, tutti::slots_of<O>> state{};
  tutti::optimizer_slots<double, tutti::slots_of<O>> slots;
  for (std::size_t k = 0; k < slots.size(); ++k) slots[k] = {&state[k], 1};
  std::int64_t step = 0;
  for (const double g : gradients)
    tutti::update<double>(o, ++step, std::span{&parameter, 1}, std::span<const double>{&g, 1}, slots);
  return parameter;
}

} // namespace

BOOST_AUTO_TEST_CASE(sgd_on_numbers_worked_out_by_hand) {
  BOOST_CHECK_CLOSE(after(tutti::sgd{.learning_rate = .5}, 1, {.5, -1}), 1.25, 1e-12);
  // v: 1, 1.5, 1.75
  BOOST_CHECK_CLOSE(after(tutti::sgd{.learning_rate = .1, .momentum = .5}, 1, {1, 1, 1}), .575,
                    1e-12);
  // g + m v: 1.5, 1.75, 1.875
  BOOST_CHECK_CLOSE(
      after(tutti::sgd{.learning_rate = .1, .momentum = .5, .nesterov = true}, 1, {1, 1, 1}), .4875,
      1e-12);
  // g' = 2 + .5 * 4; then 0 + .5 * 3.6
  BOOST_CHECK_CLOSE(after(tutti::sgd{.learning_rate = .1, .weight_decay = .5}, 4, {2, 0}), 3.42,
                    1e-12);
}

BOOST_AUTO_TEST_CASE(the_first_step_of_adam_is_the_learning_rate_in_the_direction_of_the_sign) {
  for (const double g : {1e-3, -.5, 7., -1e6}) {
    const double expected = 2 - .01 * (g > 0 ? 1 : -1);
    BOOST_CHECK_SMALL(after(tutti::adam{.learning_rate = .01}, 2, {g}) - expected, 2e-7);
  }
  BOOST_CHECK_EQUAL(after(tutti::adam{}, 2, {0, 0, 0}), 2);
}

BOOST_AUTO_TEST_CASE(adam_on_numbers_worked_out_by_hand) {
  // b1 = .5, b2 = .75: m = 1/2, -1/4; m^ = 1, -1/3; v = 1/4, 7/16; v^ = 1, 1
  const tutti::adam simple{.learning_rate = .3, .beta1 = .5, .beta2 = .75, .epsilon = 0};
  BOOST_CHECK_CLOSE(after(simple, 1, {1, -1}), 1 - .3 + .1, 1e-12);
}

BOOST_AUTO_TEST_CASE(weight_decay_is_part_of_the_gradient_in_adam_and_not_in_adamw) {
  // Scaled by the moments, the decay of a zero gradient is a whole step; decoupled, it is rate *
  // decay.
  BOOST_CHECK_CLOSE(after(tutti::adam{.learning_rate = .01, .weight_decay = .5}, 3, {0}), 2.99,
                    1e-5);
  BOOST_CHECK_CLOSE(after(tutti::adamw{.learning_rate = .01, .weight_decay = .5}, 3, {0}), 2.985,
                    1e-12);
  BOOST_CHECK_CLOSE(after(tutti::adamw{.learning_rate = .01, .weight_decay = 0}, 3, {.2, -.7, .1}),
                    after(tutti::adam{.learning_rate = .01}, 3, {.2, -.7, .1}), 1e-12);
}

BOOST_AUTO_TEST_CASE(a_learning_rate_may_be_changed_between_steps) {
  tutti::sgd o{.learning_rate = 1};
  double parameter = 0, velocity = 0, gradient = 1;
  for (int step = 1; step <= 3; ++step, o.learning_rate /= 2)
    tutti::update<double>(o, step, std::span{&parameter, 1}, std::span<const double>{&gradient, 1},
                          {std::span{&velocity, 1}});
  BOOST_CHECK_EQUAL(parameter, -1.75);
}

BOOST_AUTO_TEST_CASE(every_operation_is_rounded_once_as_described) {
  const tutti::sgd plain{.learning_rate = .3, .weight_decay = .07},
      nesterov{.learning_rate = .3, .momentum = .9, .nesterov = true, .weight_decay = .07};
  const tutti::adam adam{.learning_rate = .03, .weight_decay = .07};
  const tutti::adamw adamw{.learning_rate = .03, .weight_decay = .07};

  BOOST_CHECK_EQUAL(sgd_difference<float>(plain), "");
  BOOST_CHECK_EQUAL(sgd_difference<double>(plain), "");
  BOOST_CHECK_EQUAL(sgd_difference<float>(nesterov), "");
  BOOST_CHECK_EQUAL(sgd_difference<double>(nesterov), "");
  BOOST_CHECK_EQUAL(adam_difference<float>(adam, false), "");
  BOOST_CHECK_EQUAL(adam_difference<double>(adam, false), "");
  BOOST_CHECK_EQUAL(adam_difference<float>(adamw, true), "");
  BOOST_CHECK_EQUAL(adam_difference<double>(adamw, true), "");
}

BOOST_AUTO_TEST_CASE(shipped_optimizers_find_a_minimum) {
  const auto distance = [](const auto& o) { // of a parameter that begins at 5 from the target, 1
    double parameter = 5;
    std::array<double, 2> state{};
    tutti::optimizer_slots<double, tutti::slots_of<std::remove_cvref_t<decltype(o)>>> slots;
    for (std::size_t k = 0; k < slots.size(); ++k) slots[k] = {&state[k], 1};
    for (int step = 1; step <= 500; ++step) {
      const double gradient = parameter - 1;
      tutti::update<double>(o, step, std::span{&parameter, 1}, std::span{&gradient, 1}, slots);
    }
    return std::fabs(parameter - 1);
  };
  BOOST_CHECK_SMALL(distance(tutti::sgd{.learning_rate = .1}), 1e-6);
  BOOST_CHECK_SMALL(distance(tutti::sgd{.learning_rate = .01, .momentum = .9}), 1e-6);
  BOOST_CHECK_SMALL(distance(tutti::adam{.learning_rate = .1}), 1e-3);
  BOOST_CHECK_SMALL(distance(tutti::adamw{.learning_rate = .1, .weight_decay = 0}), 1e-3);
}

BOOST_AUTO_TEST_SUITE_END()
