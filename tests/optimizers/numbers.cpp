// Numbers of optimizers that cannot be are refused on every rank, wherever an optimizer is taken.
#include "sync/model.hpp"

#include <tutti/carriers/sparse_table.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(numbers_of_optimizers)

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();

template <class Optimizer, class... Parts>
void refused(const Optimizer& optimizer, const std::string& sentence, const Parts&... parts) {
  const auto texts = trial::errors_on_ranks(2, [&](auto& world) {
    std::vector<float> w(3);
    tutti::strategy strategy{world, parts...};
    (void)strategy.bind(w, optimizer);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, "invalid_argument") && trial::all_contain(texts, sentence),
                      sentence << " was wanted:" << trial::joined(texts));
}

} // namespace

BOOST_AUTO_TEST_CASE(are_refused_with_a_sentence) {
  const std::string finite = " cannot be - give a finite number";
  refused(tutti::sgd{.learning_rate = nan}, "learning_rate of tutti::sgd" + finite);
  refused(tutti::sgd{.momentum = infinite}, "momentum of tutti::sgd" + finite);
  refused(tutti::sgd{.weight_decay = nan}, "weight_decay of tutti::sgd" + finite);
  refused(tutti::adam{.learning_rate = -infinite}, "learning_rate of tutti::adam" + finite);
  refused(tutti::adam{.beta1 = 1}, "beta1 of tutti::adam cannot be - give at least 0, and less than 1");
  refused(tutti::adamw{.beta2 = -.1}, "beta2 of tutti::adamw cannot be - give at least 0, and less than 1");
  refused(tutti::adamw{.epsilon = -1e-9}, "epsilon of tutti::adamw" + finite + " of at least 0");
  refused(tutti::fed_adam{.tau = 0}, "tau of tutti::fed_adam" + finite + " above 0");
  refused(tutti::fed_yogi{.beta2 = nan}, "beta2 of tutti::fed_yogi cannot be");
  refused(tutti::fed_adagrad{.beta1 = 2}, "beta1 of tutti::fed_adagrad cannot be");
}

BOOST_AUTO_TEST_CASE(of_those_within_others_too) {
  const tutti::asynchronous at_servers{};
  refused(tutti::delay_compensated{tutti::sgd{}, -1.}, "lambda of tutti::delay_compensated cannot be", at_servers);
  refused(tutti::delay_compensated{tutti::sgd{.learning_rate = nan}, .1}, "learning_rate of tutti::sgd", at_servers);
  refused(tutti::sgd{}, "momentum of tutti::sgd",
          tutti::diloco{.outer = {.learning_rate = .7, .momentum = nan, .nesterov = true}});
}

BOOST_AUTO_TEST_CASE(of_tables_too) {
  const auto texts = trial::errors_on_ranks(2, [](auto& world) {
    tutti::sparse_table table{world, tutti::star{}, tutti::sgd{.learning_rate = nan}, {.columns = 2}};
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, "learning_rate of tutti::sgd cannot be"), trial::joined(texts));
}

// Who climbs gives a negative rate, and no step at all is one, too.
BOOST_AUTO_TEST_CASE(what_somebody_may_want_is_taken) {
  const auto texts = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<float> w(3);
    tutti::strategy strategy{world};
    (void)strategy.bind(w, tutti::sgd{.learning_rate = -1});
    (void)strategy.bind(w, tutti::adam{.learning_rate = 0, .beta1 = 0, .epsilon = 0});
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, "none"), trial::joined(texts));
}

BOOST_AUTO_TEST_SUITE_END()
