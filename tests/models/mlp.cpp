#include "mlp.hpp"
#include "local_training.hpp"
#include "mnist.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using models_test::contains;
using models_test::message_of;

/// Twenty examples of five inputs and three classes, on no line.
struct small_set {
  int inputs() const { return 5; }
  int label(std::size_t i) const { return static_cast<int>(i * i % 3); }
  template <class T> void copy_input(std::size_t i, T* out) const {
    for (std::uint64_t j = 0; j < 5; ++j) {
      out[j] = static_cast<T>(models::unit_interval(models::draw(4, i, j)) - 0.5);
    }
  }
};

constexpr std::uint32_t seven[] = {3, 1, 4, 15, 9, 2, 6};

template <class T> models::basic_mlp<T> small_model() {
  models::basic_mlp<T> model({5, 7, 6, 3});
  model.initialise(1);
  std::uint64_t i = 0;
  for (T& value : model.flat_parameters()) {
    value += static_cast<T>(0.1 * models::unit_interval(models::draw(2, ++i)));
  }
  return model;
}

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(mlp_model)

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  auto model = small_model<double>();
  const small_set set;
  model.loss_and_gradients(set, seven);
  const std::vector<double> gradients(model.flat_gradients().begin(), model.flat_gradients().end());
  const auto parameters = model.flat_parameters();
  double worst = 0;

  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const double kept = parameters[i];
    constexpr double step = 1e-6;
    parameters[i] = kept + step;
    const double above = model.loss_and_gradients(set, seven);
    parameters[i] = kept - step;
    const double below = model.loss_and_gradients(set, seven);
    parameters[i] = kept;
    worst = std::max(worst, std::abs((above - below) / (2 * step) - gradients[i]));
  }

  BOOST_TEST(worst < 1e-8);
}

BOOST_AUTO_TEST_CASE(the_2nn_has_199210_parameters) {
  models::mlp model;

  const auto parameters = model.parameters();

  BOOST_TEST(model.parameter_count() == 199210u);
  BOOST_TEST(parameters.size() == 6u);
  BOOST_TEST(parameters[4].name == "layer2.weights");
  for (const auto& tensor : parameters) {
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(tensor.values.data()) % 64 == 0u);
  }
}

BOOST_AUTO_TEST_CASE(tensors_become_ready_from_last_to_first) {
  auto model = small_model<float>();
  std::vector<int> order;

  model.loss_and_gradients(small_set{}, seven, [&](int i) { order.push_back(i); });

  BOOST_TEST((order == std::vector<int>{5, 4, 3, 2, 1, 0}));
}

BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_addresses_or_history) {
  const auto digits = models::generate_digits(60, 1);
  const auto rows = models::shuffled(60, 1);
  const auto gradients = [&](std::size_t first_batch) {
    models::mlp model;
    model.initialise(1);
    model.loss_and_gradients(digits.training, std::span(rows).first(first_batch));
    model.loss_and_gradients(digits.training, std::span(rows).last(10));
    return std::vector<float>(model.flat_gradients().begin(), model.flat_gradients().end());
  };

  const auto expected = gradients(10);
  for (std::size_t size : {24u, 4104u, 70008u}) {
    const auto hole = std::make_unique<char[]>(size);
    const auto again = gradients(33);
    BOOST_TEST(std::memcmp(expected.data(), again.data(), 4 * again.size()) == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_client_learns_and_repeats_itself) {
  const auto digits = models::generate_digits(400, 200);
  const auto order = models::shuffled(digits.training.size(), 1);
  const auto rows = models::client_rows(order, 0, 1);
  const auto train = [&](std::uint64_t seed) {
    models::basic_mlp<float> model({784, 20, 10});
    model.initialise(1);
    const double loss = models::train_client(model, digits.training, rows, {12, 10, 0.1f}, seed);
    BOOST_TEST(loss < 0.3);
    BOOST_TEST(model.accuracy(digits.test) > 0.7);
    return std::vector<float>(model.flat_parameters().begin(), model.flat_parameters().end());
  };

  const auto once = train(1);

  BOOST_TEST((once == train(1)));
  BOOST_TEST((once != train(2)));
}

BOOST_AUTO_TEST_CASE(counts_of_right_answers_add_up) {
  auto model = small_model<float>();
  const small_set set;

  const auto whole = model.correct(set, 0, 20);

  BOOST_TEST(whole == model.correct(set, 0, 7) + model.correct(set, 7, 20));
  BOOST_TEST(model.correct(set, 5, 5) == 0u);
}

BOOST_AUTO_TEST_CASE(clients_hold_every_example_once) {
  const auto order = models::shuffled(103, 5);
  std::vector<std::uint32_t> all;

  for (std::size_t client = 0; client < 10; ++client) {
    const auto rows = models::client_rows(order, client, 10);
    BOOST_TEST((rows.size() == 10 || rows.size() == 11));
    all.insert(all.end(), rows.begin(), rows.end());
  }

  std::sort(all.begin(), all.end());
  std::vector<std::uint32_t> wanted(103);
  std::iota(wanted.begin(), wanted.end(), 0u);
  BOOST_TEST((all == wanted));
  BOOST_TEST((order != wanted));
  BOOST_TEST((order == models::shuffled(103, 5)));
  BOOST_TEST((order != models::shuffled(103, 6)));
}

BOOST_AUTO_TEST_CASE(wrong_arguments_say_what_to_do) {
  models::mlp model;
  const std::vector<std::uint32_t> none;

  BOOST_TEST(message_of([&] { model.loss_and_gradients(small_set{}, seven); }) ==
             "mlp: 7 examples of 5 inputs for a model of 784 - give at least one example");
  BOOST_TEST(
      contains(message_of([&] { small_model<float>().loss_and_gradients(small_set{}, none); }),
               "mlp: 0 examples of 5 inputs for a model of 5 - "));
  BOOST_TEST(contains(message_of([] { models::mlp({3}); }), "mlp: widths that cannot be built - "));
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
