#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/laws.hpp>
#include <tutti/optimizers/sgd.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>

BOOST_AUTO_TEST_SUITE(optimizers)

namespace {

template <class O>
void lawful(const O& optimizer, const char* name) {
  const auto in_float = tutti::check_optimizer<float>(optimizer);
  const auto in_double = tutti::check_optimizer<double>(optimizer);
  BOOST_CHECK_MESSAGE(in_float, name << " of float: " << in_float.text());
  BOOST_CHECK_MESSAGE(in_double, name << " of double: " << in_double.text());
}

// --- optimizers that are wrong on purpose -------------------------------------------------------

/// As PyTorch's clipping, and layer-wise rates: the step depends on the norm of the key range.
struct normalized {
  static constexpr std::size_t slots = 0;
  template <class T>
  void update(std::int64_t, std::span<T> parameters, std::span<const T> gradients,
              tutti::optimizer_slots<T, 0>) const {
    T square = 0;
    for (const T g : gradients) square += g * g;
    for (std::size_t i = 0; i < parameters.size(); ++i)
      parameters[i] -= gradients[i] / std::sqrt(square + 1);
  }
};

struct one_too_many {
  static constexpr std::size_t slots = 1;
  template <class T>
  void update(std::int64_t step, std::span<T> parameters, std::span<const T>,
              tutti::optimizer_slots<T, 1> state) const {
    parameters.data()[parameters.size()] = T(step);
    state[0].data()[-1] = T(step);
  }
};

struct tired {
  static constexpr std::size_t slots = 0;
  mutable int calls = 0;
  template <class T>
  void update(std::int64_t, std::span<T> parameters, std::span<const T> gradients,
              tutti::optimizer_slots<T, 0>) const {
    ++calls;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= gradients[i] / T(calls);
  }
};

static_assert(tutti::optimizer<normalized, float> && tutti::optimizer<tutti::adam, double>);
static_assert(!tutti::optimizer<tutti::sgd, tutti::detail::optimized<float>>);

struct without_slots {
  template <class T>
  void update(std::int64_t, std::span<T>, std::span<const T>, tutti::optimizer_slots<T, 0>) const;
};
struct changes_gradients : normalized {
  template <class T>
  void update(std::int64_t, std::span<T>, std::span<T>, tutti::optimizer_slots<T, 0>) const;
};
struct remembers_in_itself : normalized {
  template <class T>
  void update(std::int64_t, std::span<T>, std::span<const T>, tutti::optimizer_slots<T, 0>);
};
static_assert(!tutti::optimizer<without_slots, float>);
static_assert(!tutti::optimizer<changes_gradients, float>);
static_assert(!tutti::optimizer<remembers_in_itself, float>);

} // namespace

BOOST_AUTO_TEST_CASE(shipped_optimizers_keep_the_laws) {
  lawful(tutti::sgd{}, "sgd");
  lawful(tutti::sgd{.momentum = .9, .weight_decay = .01}, "momentum");
  lawful(tutti::sgd{.momentum = .9, .nesterov = true}, "nesterov");
  lawful(tutti::adam{}, "adam");
  lawful(tutti::adam{.beta1 = 0, .weight_decay = .1}, "adam with decay");
  lawful(tutti::adamw{.weight_decay = .1}, "adamw");
}

BOOST_AUTO_TEST_CASE(wrong_optimizers_are_caught_with_the_law_named) {
  const auto by_norm = tutti::check_optimizer<float>(normalized{});
  BOOST_CHECK(!by_norm.keeps("split") && !by_norm.keeps("elementwise") && by_norm.keeps("bounds"));
  BOOST_CHECK(!tutti::check_optimizer<float>(one_too_many{}).keeps("bounds"));
  BOOST_CHECK(!tutti::check_optimizer<double>(tired{}).keeps("repeatable"));
}

BOOST_AUTO_TEST_SUITE_END()
