#include "logistic.hpp"

#include "libsvm.hpp"
#include "local_training.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using models_test::contains;
using models_test::message_of;
using models_test::temporary_folder;

constexpr std::string_view three_rows = "+1 3:1 7:0.5\n-1 1:-2e1 # comment\r\n\n0\n";

std::string failure(std::string_view text) {
  const temporary_folder folder;
  const auto path = folder.write("rows", text);
  return message_of([&] { models::read_libsvm(path); });
}

void check_three_rows(const models::sparse_rows& rows) {
  BOOST_TEST((rows.labels == std::vector<std::uint8_t>{1, 0, 0}));
  BOOST_TEST((rows.begins == std::vector<std::size_t>{0, 2, 3, 3}));
  BOOST_TEST((rows.columns == std::vector<int>{2, 6, 0}));
  BOOST_TEST((rows.values == std::vector<float>{1.0f, 0.5f, -20.0f}));
  BOOST_TEST(rows.features == 7);
}

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(libsvm_reader)

BOOST_AUTO_TEST_CASE(plain_and_compressed_files_hold_the_same_rows) {
  const temporary_folder folder;

  check_three_rows(models::read_libsvm(folder.write("rows", three_rows)));
  check_three_rows(models::read_libsvm(folder.write_gz("rows.gz", three_rows)));
}

BOOST_AUTO_TEST_CASE(the_last_line_needs_no_end) {
  const temporary_folder folder;

  const auto rows = models::read_libsvm(folder.write("rows", "1 2:3"));

  BOOST_TEST(rows.size() == 1u);
  BOOST_TEST(rows.features == 2);
}

namespace {

std::vector<std::uint8_t> classes_of(std::string_view text,
                                     const models::two_classes* known = nullptr) {
  const temporary_folder folder;
  return models::read_libsvm(folder.write("rows", text), known).labels;
}

} // namespace

BOOST_AUTO_TEST_CASE(of_two_labels_the_greater_is_the_positive_class) {
  using labels = std::vector<std::uint8_t>;
  BOOST_TEST((classes_of("1 1:1\n2 1:1\n1 1:1\n") == labels{0, 1, 0}));
  BOOST_TEST((classes_of("4 1:1\n2 1:1\n") == labels{1, 0}));
  BOOST_TEST((classes_of("-3 1:1\n-7.5 1:1\n") == labels{1, 0}));
  BOOST_TEST((classes_of("+1 1:1\n-1 1:1\n") == labels{1, 0}));
  BOOST_TEST((classes_of("0 1:1\n1.0 1:1\n") == labels{0, 1}));

  // Rows that are to test a model may be of one class: those of the training say which.
  const models::two_classes one_two{false, 1, 2};
  BOOST_TEST((classes_of("1 1:1\n1 1:1\n", &one_two) == labels{0, 0}));
  BOOST_TEST((classes_of("2 1:1\n", &one_two) == labels{1}));
  BOOST_TEST(
      contains(message_of([&] { classes_of("3 1:1\n", &one_two); }),
               "its label 3 is none of the training rows - give files that belong together"));
  const models::two_classes signs{};
  BOOST_TEST((classes_of("-1 1:1\n", &signs) == labels{0}));
  BOOST_TEST(
      contains(message_of([&] { classes_of("2 1:1\n", &signs); }), "its label 2 is none of"));
}

BOOST_AUTO_TEST_CASE(labels_that_are_no_two_classes_are_refused) {
  const std::string remedy = " - give rows of two classes, such as -1 and 1";
  BOOST_TEST(contains(failure("1 1:1\n2 1:1\n3 1:1\n"), "it has 3 classes (1, 2, 3)" + remedy));
  BOOST_TEST(contains(failure("5 1:1\n1 1:1\n2 1:1\n3 1:1\n4 1:1\n"),
                      "it has 5 classes (1, 2, 3, 4, ...)" + remedy));
  BOOST_TEST(contains(failure("2 1:1\n2 1:1\n"), "it has 1 class (2)" + remedy));
  for (const char* label : {"nan", "-nan", "inf", "-inf", "1e400", "+-1"})
    BOOST_TEST(contains(failure(std::string{label} + " 1:1\n"),
                        "line 1: \"" + std::string{label} + "\" is not a label"));
}

BOOST_AUTO_TEST_CASE(small_values_are_values_and_none_is_no_number) {
  const temporary_folder folder;
  const auto rows = models::read_libsvm(
      folder.write("rows", "1 1:1e-46 2:-1e-46 3:1e-400 4:1e-40 5:3e38 6:0.25\n"));
  BOOST_TEST((rows.values == std::vector<float>{0.0f, -0.0f, 0.0f, 1e-40f, 3e38f, 0.25f}));
  for (const char* value : {"nan", "inf", "-inf", "1e39", "-1e400"})
    BOOST_TEST(contains(failure("1 1:" + std::string{value} + "\n"),
                        "line 1: \"" + std::string{value} + "\" is not a value"));
}

BOOST_AUTO_TEST_CASE(an_index_that_no_memory_holds_is_refused) {
  BOOST_TEST(contains(failure("1 1:1\n-1 2147483647:1\n"),
                      "line 2: index 2147483647 is too large, features end at 67108864"));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_seen_is_shown_as_its_number) {
  BOOST_TEST(
      contains(failure("\xef\xbb\xbf+1 1:1\n"), "line 1: \"\\xef\\xbb\\xbf+1\" is not a label"));
  BOOST_TEST(contains(failure(std::string("1 1:1\0\n", 7)),
                      "line 1: \"1\\x00\" is not a value - each line"));
  BOOST_TEST(contains(failure(std::string("\x1b[31m 1:1\n", 10)), "\"\\x1b[31m\" is not a label"));
  BOOST_TEST(contains(failure(std::string(1000, 'z') + " 1:1\n"),
                      "\"" + std::string(40, 'z') + "...\" is not a label"));
}

BOOST_AUTO_TEST_CASE(malformed_lines_are_named_with_a_remedy) {
  const std::string remedy = " - each line is LABEL INDEX:VALUE INDEX:VALUE ...";

  BOOST_TEST(contains(failure("1 1:1\nyes 1:1\n"), "line 2: \"yes\" is not a label" + remedy));
  BOOST_TEST(contains(failure("1 4\n"), "line 1: \"4\" has no colon" + remedy));
  BOOST_TEST(contains(failure("1 x:4\n"), "line 1: \"x\" is not an index" + remedy));
  BOOST_TEST(contains(failure("1 4:\n"), "line 1: \"\" is not a value" + remedy));
  BOOST_TEST(contains(failure("1 4:1.5e\n"), "line 1: \"1.5e\" is not a value" + remedy));
  BOOST_TEST(contains(failure("1 0:1\n"), "line 1: index 0 follows 0, they must ascend from 1"));
  BOOST_TEST(contains(failure("1 4:1 4:1\n"), "line 1: index 4 follows 4, they must ascend"));
  BOOST_TEST(contains(failure("1 9999999999:1\n"), "\"9999999999\" is not an index"));
  BOOST_TEST(contains(failure("\n# nothing\n"), "it holds no rows - give lines such as +1 3:1"));
  BOOST_TEST(contains(failure(""), "it holds no rows"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(logistic_model)

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  const auto data = models::generate_classification(30, 1);
  models::basic_logistic<double> model(data.features(), 0.01);
  const auto parameters = model.flat_parameters();
  for (std::size_t i = 0; i < 124; ++i) {
    parameters[i < 123 ? i : parameters.size() - 8] =
        models::unit_interval(models::draw(1, i)) - 0.5;
  }
  const auto rows = models::shuffled(30, 1);
  model.loss_and_gradients(data.training, rows);
  const std::vector<double> gradients(model.flat_gradients().begin(), model.flat_gradients().end());
  double worst = 0;

  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i >= 123 && i != parameters.size() - 8) {
      continue;
    }
    const double kept = parameters[i];
    constexpr double step = 1e-6;
    parameters[i] = kept + step;
    const double above = model.loss_and_gradients(data.training, rows);
    parameters[i] = kept - step;
    const double below = model.loss_and_gradients(data.training, rows);
    parameters[i] = kept;
    worst = std::max(worst, std::abs((above - below) / (2 * step) - gradients[i]));
  }

  BOOST_TEST(worst < 1e-9);
}

BOOST_AUTO_TEST_CASE(generated_rows_are_learned) {
  const auto data = models::generate_classification();
  models::logistic model(data.features());
  model.initialise();
  BOOST_TEST(model.accuracy(data.test) < 0.6);
  std::vector<std::uint32_t> rows;

  for (std::uint64_t step = 0; step < 1000; ++step) {
    models::draw_rows(0, data.training.size(), 64, 1, step, 0, rows);
    model.loss_and_gradients(data.training, rows);
    models::descend(model, 0.2f);
  }

  BOOST_TEST(model.accuracy(data.test) > 0.85);
  BOOST_TEST(model.correct(data.test, 0, 100) + model.correct(data.test, 100, data.test.size()) ==
             model.correct(data.test, 0, data.test.size()));
}

BOOST_AUTO_TEST_CASE(rows_are_drawn_by_seed_step_and_rank_alone) {
  const auto rows = [](std::uint64_t seed, std::uint64_t step, std::uint64_t rank) {
    std::vector<std::uint32_t> out;
    models::draw_rows(10, 20, 30, seed, step, rank, out);
    return out;
  };

  const auto expected = rows(1, 2, 3);
  BOOST_TEST(expected.size() == 30u);
  for (const auto row : expected) {
    BOOST_TEST((row >= 10 && row < 20));
  }
  BOOST_TEST((expected == rows(1, 2, 3)));
  BOOST_TEST((expected != rows(2, 2, 3)));
  BOOST_TEST((expected != rows(1, 3, 3)));
  BOOST_TEST((expected != rows(1, 2, 4)));
}

BOOST_AUTO_TEST_CASE(wrong_arguments_say_what_to_do) {
  const auto data = models::generate_classification(5, 5);
  models::logistic model(3);
  const std::vector<std::uint32_t> row{0};

  BOOST_TEST(contains(message_of([&] { model.loss_and_gradients(data.training, row); }),
                      "logistic: 1 rows with "));
  BOOST_TEST(message_of([] { models::logistic(0); }) ==
             "logistic: no features - give at least one");
  BOOST_TEST(message_of([&] { model.accuracy({}); }) ==
             "logistic: no rows to score - give at least one");
  std::vector<std::uint32_t> rows;
  BOOST_TEST(contains(message_of([&] { models::draw_rows(3, 3, 8, 1, 0, 0, rows); }),
                      "draw_rows: there are no rows to draw from"));
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
