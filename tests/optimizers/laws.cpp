#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/laws.hpp>
#include <tutti/optimizers/one_bit_adam.hpp>
#include <tutti/optimizers/sgd.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <string_view>

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

/// The step depends on the gradient of the value before it.
struct smeared {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  struct moves {
    mutable T before = 0;
    void operator()(const tutti::rounding&, T& p, T g, T*) const {
      p -= g + before / 4;
      before = g;
    }
  };
  template <class T>
  auto at(std::int64_t) const {
    return moves<T>{};
  }
};

struct one_too_many {
  static constexpr std::array<std::string_view, 1> slots{"one"};
  template <class T>
  auto at(std::int64_t step) const {
    return [step](const tutti::rounding&, T&, T, T* state) { state[1] = T(step); };
  }
};

struct tired {
  static constexpr std::array<std::string_view, 0> slots{};
  mutable int calls = 0;
  template <class T>
  auto at(std::int64_t) const {
    return [n = T(++calls)](const tutti::rounding&, T& p, T g, T*) { p -= g / n; };
  }
};

static_assert(tutti::optimizer<smeared, float> && tutti::optimizer<tutti::adam, double>);
static_assert(!tutti::optimizer<tutti::sgd, tutti::detail::optimized<float>>);

struct without_slots {
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T&, T, T*) {};
  }
};
struct counts_its_slots {
  static constexpr std::size_t slots = 1;
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T&, T, T*) {};
  }
};
struct changes_gradients {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T&, T&, T*) {};
  }
};
struct remembers_in_itself {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  auto at(std::int64_t) {
    return [](const tutti::rounding&, T&, T, T*) {};
  }
};
static_assert(!tutti::optimizer<without_slots, float>);
static_assert(!tutti::optimizer<counts_its_slots, float>);
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
  lawful(tutti::one_bit_adam{.weight_decay = .1, .warm_up = 2}, "one_bit_adam");
}

BOOST_AUTO_TEST_CASE(wrong_optimizers_are_caught_with_the_law_named) {
  const auto by_neighbour = tutti::check_optimizer<float>(smeared{});
  BOOST_CHECK(!by_neighbour.keeps("split") && !by_neighbour.keeps("elementwise") &&
              by_neighbour.keeps("bounds"));
  BOOST_CHECK(!tutti::check_optimizer<float>(one_too_many{}).keeps("bounds"));
  BOOST_CHECK(!tutti::check_optimizer<double>(tired{}).keeps("repeatable"));
}

BOOST_AUTO_TEST_SUITE_END()
