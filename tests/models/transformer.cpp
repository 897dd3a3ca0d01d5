#include "transformer.hpp"
#include "local_training.hpp"
#include "recipes.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using models_test::contains;
using models_test::message_of;

constexpr models::transformer_shape tiny{.context = 5, .width = 8, .heads = 2, .layers = 2};
constexpr models::transformer_shape aligned{.context = 16, .width = 32, .heads = 2, .layers = 2};

std::vector<std::uint8_t> some_bytes(std::size_t n, std::uint64_t seed = 3) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < n; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(models::draw(seed, i) % 7 + 'a'));
  }
  return bytes;
}

/// Everywhere different from zero, unlike what initialise leaves.
template <class T> void fill_parameters(models::basic_transformer<T>& model, std::uint64_t seed) {
  std::uint64_t i = 0;
  for (const auto& tensor : model.parameters()) {
    for (T& value : tensor.values) {
      value = static_cast<T>(models::unit_interval(models::draw(seed, ++i)) - 0.5);
    }
  }
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<float> gradients_of(models::transformer& model, const std::vector<std::uint8_t>& rows,
                                int batch) {
  model.loss_and_gradients(rows, batch);
  return {model.flat_gradients().begin(), model.flat_gradients().end()};
}

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(transformer_model)

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  models::basic_transformer<double> model(tiny);
  fill_parameters(model, 1);
  const auto rows = some_bytes(3 * 6);
  model.loss_and_gradients(rows, 3);
  const auto parameters = model.parameters();
  const auto gradients = model.gradients();
  double worst = 0, largest = 0;

  for (std::size_t tensor = 0; tensor < parameters.size(); ++tensor) {
    for (std::uint64_t draw = 0; draw < 40; ++draw) {
      const auto span = parameters[tensor].values;
      const std::size_t row = tensor == 0 ? static_cast<std::size_t>(rows[draw % 17]) * 8 : 0;
      const auto i = tensor == 0 ? row + draw % 8 : models::draw(7, tensor, draw) % span.size();
      const double kept = span[i];
      constexpr double step = 1e-5;
      span[i] = kept + step;
      const double above = model.loss(rows, 3);
      span[i] = kept - step;
      const double below = model.loss(rows, 3);
      span[i] = kept;
      const double gradient = gradients[tensor].values[i];
      worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient));
      largest = std::max(largest, std::abs(gradient));
    }
  }

  BOOST_TEST(worst < 1e-8);
  BOOST_TEST(largest > 0.01);
}

BOOST_AUTO_TEST_CASE(float_gradients_are_close_to_double_ones) {
  models::basic_transformer<double> exact(tiny);
  models::transformer model(tiny);
  fill_parameters(exact, 2);
  fill_parameters(model, 2);
  const auto rows = some_bytes(4 * 6);

  exact.loss_and_gradients(rows, 4);
  model.loss_and_gradients(rows, 4);

  double worst = 0;
  const auto expected = exact.gradients();
  const auto got = model.gradients();
  for (std::size_t t = 0; t < got.size(); ++t) {
    for (std::size_t i = 0; i < got[t].values.size(); ++i) {
      worst = std::max(worst, std::abs(expected[t].values[i] - double{got[t].values[i]}));
    }
  }
  BOOST_TEST(worst < 1e-5);
}

BOOST_AUTO_TEST_CASE(initial_loss_is_that_of_uniform_bytes) {
  models::transformer model(aligned);
  model.initialise(1);

  const double loss = model.loss(some_bytes(2 * 17), 2);

  BOOST_TEST(loss == std::log(256.0), boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(later_bytes_do_not_change_earlier_predictions) {
  models::transformer model(aligned);
  fill_parameters(model, 4);
  auto rows = some_bytes(17);
  const double whole = model.nats(rows, 1), tail = model.nats(rows, 1, 10);
  for (std::size_t i = 11; i < rows.size(); ++i) {
    rows[i] = 'z';
  }
  const double other_whole = model.nats(rows, 1), other_tail = model.nats(rows, 1, 10);

  BOOST_TEST(whole != other_whole);
  BOOST_TEST(whole - tail == other_whole - other_tail, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(order_within_a_batch_does_not_matter) {
  models::basic_transformer<double> model(tiny);
  fill_parameters(model, 5);
  const auto first = some_bytes(6, 1), second = some_bytes(6, 2);
  auto forward = first, backward = second;
  forward.insert(forward.end(), second.begin(), second.end());
  backward.insert(backward.end(), first.begin(), first.end());

  BOOST_TEST(model.loss(forward, 2) == model.loss(backward, 2),
             boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(tensors_become_ready_from_last_to_first_and_stay) {
  models::transformer model(aligned);
  fill_parameters(model, 6);
  const auto rows = some_bytes(2 * 17);
  std::vector<int> order;
  std::vector<std::vector<float>> when_ready;

  model.loss_and_gradients(rows, 2, [&](int i) {
    const auto values = model.gradients()[static_cast<std::size_t>(i)].values;
    order.push_back(i);
    when_ready.emplace_back(values.begin(), values.end());
  });

  const auto gradients = model.gradients();
  BOOST_REQUIRE(order.size() == gradients.size());
  for (std::size_t n = 0; n < order.size(); ++n) {
    const std::size_t tensor = gradients.size() - 1 - n;
    BOOST_TEST(order[n] == static_cast<int>(tensor));
    BOOST_TEST(same_bits(when_ready[n], gradients[tensor].values));
  }
}

BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_addresses_or_history) {
  const auto rows = some_bytes(3 * 17), others = some_bytes(5 * 17, 9);
  models::transformer first(aligned);
  fill_parameters(first, 7);
  const auto expected = gradients_of(first, rows, 3);

  for (std::size_t size : {24u, 1000u, 4104u, 70008u}) {
    const auto hole = std::make_unique<char[]>(size);
    models::transformer second(aligned);
    fill_parameters(second, 7);
    gradients_of(second, others, 5);
    BOOST_TEST(same_bits(expected, gradients_of(second, rows, 3)));
  }
}

BOOST_AUTO_TEST_CASE(tensors_are_aligned_and_padding_is_zero) {
  models::transformer model({.context = 3, .width = 10, .heads = 1, .layers = 1});
  model.initialise(1);
  model.loss_and_gradients(some_bytes(4), 1);

  std::size_t in_tensors = 0;
  for (const auto& all : {model.parameters(), model.gradients()}) {
    for (const auto& tensor : all) {
      BOOST_TEST(reinterpret_cast<std::uintptr_t>(tensor.values.data()) % 64 == 0u);
      in_tensors += tensor.values.size();
    }
  }
  BOOST_TEST(in_tensors == 2 * model.parameter_count());
  double inside = 0, everything = 0;
  for (const auto& tensor : model.gradients()) {
    for (float value : tensor.values) {
      inside += std::abs(value);
    }
  }
  for (float value : model.flat_gradients()) {
    everything += std::abs(value);
  }
  BOOST_TEST(inside == everything, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(initialise_and_load_give_the_same_model) {
  models::transformer first(aligned), second(aligned);
  first.initialise(8);
  second.load(first.flat_parameters());

  BOOST_TEST(same_bits(first.flat_parameters(), second.flat_parameters()));
  second.initialise(9);
  BOOST_TEST(!same_bits(first.flat_parameters(), second.flat_parameters()));
  BOOST_TEST(first.flat_parameters()[0] == -0.412843585f); // on every machine
}

BOOST_AUTO_TEST_CASE(learns_a_repeated_text) {
  models::transformer model(aligned);
  model.initialise(1);
  std::string text;
  while (text.size() < 4 * 17) {
    text += "tutti ";
  }
  const std::vector<std::uint8_t> rows(text.begin(), text.begin() + 4 * 17);
  const auto parameters = model.flat_parameters();
  const auto gradients = model.flat_gradients();

  for (int step = 0; step < 120; ++step) {
    model.loss_and_gradients(rows, 4);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i] -= 0.3f * gradients[i];
    }
  }

  BOOST_TEST(model.loss(rows, 4) < 0.1);
  BOOST_TEST(model.sample("tutti tutti t", 11, 0, 1) == "utti tutti ");
  BOOST_TEST(model.sample("tutti tutti tutti tutti t", 5, 0, 1) == "utti ");
}

BOOST_AUTO_TEST_CASE(a_client_learns_its_text_and_repeats_itself) {
  const auto text = some_bytes(400);
  const auto train = [&](std::uint64_t seed) {
    models::transformer model(aligned);
    model.initialise(1);
    const double first =
        models::train_client(model, text, 1, 4, seed, [&](int) { models::descend(model, 0.3f); });
    const double later =
        models::train_client(model, text, 30, 4, seed, [&](int) { models::descend(model, 0.3f); });
    BOOST_TEST(later < first - 1);
    return std::vector<float>(model.flat_parameters().begin(), model.flat_parameters().end());
  };

  const auto once = train(1);

  BOOST_TEST((once == train(1)));
  BOOST_TEST((once != train(2)));
}

BOOST_AUTO_TEST_CASE(the_rate_rises_then_falls_to_nothing) {
  const models::text_recipe recipe{.steps = 100, .warmup = 10, .peak_learning_rate = 1.0};

  BOOST_TEST(recipe.learning_rate(0) == 0.1);
  BOOST_TEST(recipe.learning_rate(9) > recipe.learning_rate(8));
  BOOST_TEST(recipe.learning_rate(10) == 0.9);
  BOOST_TEST(recipe.learning_rate(99) == 0.01, boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(sampling_depends_on_its_arguments_alone) {
  models::transformer model(aligned);
  fill_parameters(model, 3);

  const auto once = model.sample("", 20, 1.0, 5);

  BOOST_TEST(once.size() == 20u);
  BOOST_TEST((once == model.sample("", 20, 1.0, 5)));
  BOOST_TEST((once != model.sample("", 20, 1.0, 6)));
}

BOOST_AUTO_TEST_CASE(wrong_arguments_say_what_to_do) {
  models::transformer model(tiny);
  const std::vector<float> few(3);

  BOOST_TEST(contains(message_of([&] { model.loss(some_bytes(7), 1); }),
                      "7 bytes for a batch of 1 - each row is context + 1 = 6"));
  BOOST_TEST(contains(message_of([&] { model.load(few); }), "models: 3 values for a model of"));
  BOOST_TEST(contains(message_of([] { models::transformer({.width = 10, .heads = 4}); }),
                      "transformer: a shape that cannot be built - "));
}

BOOST_AUTO_TEST_CASE(tensors_have_shapes_and_a_single_row_or_column_is_a_vector) {
  models::parameter_buffer<float> buffer{{{"matrix", 3, 4}, {"column", 5, 1}, {"row", 1, 6}}};
  const auto all = buffer.tensors();
  const std::vector<std::vector<std::int64_t>> wanted{{3, 4}, {5}, {6}};
  BOOST_REQUIRE(all.size() == wanted.size());
  for (std::size_t k = 0; k < all.size(); ++k)
    BOOST_TEST(all[k].shape == wanted[k], boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(tensors_of_another_shape_are_not_loaded_in_part) {
  models::transformer from(tiny), to(tiny);
  from.initialise(8);
  to.initialise(9);
  const std::vector<float> before(to.flat_parameters().begin(), to.flat_parameters().end());
  auto fewer = from.parameters(), shorter = from.parameters();
  fewer.pop_back();
  shorter.back().values = shorter.back().values.subspan(1);

  for (const auto& others : {fewer, shorter}) {
    BOOST_TEST(message_of([&] { to.load(others); }) ==
               "models: these tensors are not those of this model - load what parameters() of the same shape returned");
    BOOST_TEST(same_bits(to.flat_parameters(), before));
  }
  to.load(from.parameters());
  BOOST_TEST(same_bits(to.flat_parameters(), from.flat_parameters()));
}

BOOST_AUTO_TEST_CASE(exponential_is_accurate) {
  double worst = 0;
  for (int i = 0; i <= 870000; ++i) {
    const float x = static_cast<float>(-1e-4 * i);
    const double exact = std::exp(double{x});
    worst = std::max(worst, std::abs(double{models::exponential(x)} - exact) / exact);
  }

  BOOST_TEST(worst < 2e-7);
  BOOST_TEST(models::exponential(0.0f) == 1.0f);
  BOOST_TEST(models::exponential(-1000.0f) == 0.0f);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
