// What a client is given: the parameters of the round, an optimizer that begins anew, and steps.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_local_training)

namespace {

struct two_tensors {
  std::vector<float> a = std::vector<float>(3, 1.0f), b = std::vector<float>(2, 2.0f);
  std::vector<tutti::tensor<float>> parameters() { return {{"a", a, {3, 1}}, {"b", b}}; }
};

/// Says in `seen` what local training looks like, and makes two steps.
struct curious {
  std::vector<std::string> seen = {};

  int clients() const { return 3; }
  double examples(int) const { return 1; }
  template <class Optimizer>
  void train(int, tutti::local_training<float, Optimizer>& local, tutti::random_stream) {
    const auto note = [&](bool holds, const char* what) {
      if (!holds) seen.push_back(what);
    };
    note(local.received().size() == 5, "all values are received");
    note(local.parameters().size() == 5, "all values can be written");
    note(trial::same_bits({local.received().begin(), local.received().end()},
                          {local.parameters().begin(), local.parameters().end()}),
         "the client's own begin as a copy");
    note(local.steps() == 0, "steps are counted anew");
    note(!local.contributes(), "nothing is contributed at first");
    note(local.tensors().size() == 2 && local.tensors()[0].name == "a" && local.tensors()[1].name == "b",
         "tensors have their names");
    note(local.tensors()[0].shape == std::vector<std::int64_t>{3, 1}, "and their shapes");
    note(local.tensors()[1].values.data() == local.parameters().data() + 3, "and are the parameters");
    note(local.optimizer().learning_rate == .5, "rates are those that were given");
    local.optimizer().learning_rate = .25;
    const std::vector<float> first{1, 2, 3}, second{4, 5};
    const std::vector<tutti::tensor<const float>> gradients{{"a", first}, {"b", second}};
    local.step(gradients);
    note(local.parameters()[2] == local.received()[2] - .25f * 3, "a step descends by the rate that was set");
    const std::vector<float> flat{0, 0, 1, 0, 0};
    local.step(flat); // velocity: .5 * 3 + 1
    note(local.parameters()[2] == local.received()[2] - .25f * 3 - .25f * 2.5f, "the next one has momentum");
    note(local.steps() == 2, "steps are counted");
    note(local.contributes(), "something is contributed");
  }
};

/// Steps that cannot be, each by a client of its own.
struct confused {
  std::vector<std::string>& texts;
  int clients() const { return 3; }
  double examples(int) const { return 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream) {
    const std::vector<float> five(5), four(4), three(3), none;
    const auto refused = [&](auto&& gradients) {
      try {
        local.step(gradients);
        texts.push_back("not refused");
      } catch (const tutti::error& e) {
        texts.push_back(e.what());
      }
    };
    using gradients = std::vector<tutti::tensor<const float>>;
    if (client == 0) refused(four);
    if (client == 1) refused(gradients{{"a", five}, {"b", four}});
    if (client == 2) refused(gradients{{"a", three}, {"b", none}, {"c", none}});
    if (local.steps() != 0 || local.contributes()) texts.push_back("a refused step has changed something");
  }
};

/// One step of ones.
struct one_step {
  int clients() const { return 2; }
  double examples(int) const { return 1; }
  void train(int, tutti::local_training<float>& local, tutti::random_stream) {
    local.step(std::vector<float>(5, 1.0f));
  }
};

/// One step in which "b" has no gradient.
struct without_b : one_step {
  void train(int, tutti::local_training<float>& local, tutti::random_stream) {
    const std::vector<float> ones(3, 1.0f);
    local.step(std::vector<tutti::tensor<const float>>{{"a", ones}, {"b", {}}});
  }
};

template <class Population>
std::vector<float> after_a_round(Population clients, const tutti::training_options& how = {}) {
  two_tensors model;
  tutti::threads::run(2, [&](auto& world) {
    two_tensors mine;
    tutti::strategy strategy{world, tutti::federated{.fraction = 1}, how};
    strategy.run(mine.parameters(), tutti::sgd{.learning_rate = .5}, clients, {.rounds = 1},
                 [](const auto&) { return true; });
    if (world.rank() == 1) model = mine;
  });
  std::vector<float> all = model.a;
  all.insert(all.end(), model.b.begin(), model.b.end());
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_client_sees_the_round_and_an_optimizer_that_begins_anew) {
  std::vector<std::string> wrong;
  tutti::threads::run(1, [&](auto& world) {
    curious clients;
    two_tensors model;
    tutti::strategy strategy{world, tutti::federated{.fraction = 1}};
    auto rounds = strategy.rounds(model.parameters(), tutti::sgd{.learning_rate = .5, .momentum = .5}, clients);
    (void)rounds.next();
    (void)rounds.next();
    wrong = clients.seen;
  });
  BOOST_CHECK_MESSAGE(wrong.empty(), trial::joined(wrong));
}

BOOST_AUTO_TEST_CASE(gradients_that_do_not_fit_are_refused_and_change_nothing) {
  std::vector<std::string> texts;
  tutti::threads::run(1, [&](auto& world) {
    confused clients{texts};
    two_tensors model;
    tutti::strategy strategy{world, tutti::federated{.fraction = 1}};
    const auto report = strategy.run(model.parameters(), clients, {.rounds = 1});
    BOOST_CHECK_EQUAL(report.rounds.at(0).count(tutti::absence::silent), 3);
  });
  std::sort(texts.begin(), texts.end());
  const auto said = [&](const std::string& what) {
    for (const std::string& t : texts)
      if (t.find(what) != std::string::npos) return true;
    return false;
  };
  BOOST_CHECK_MESSAGE(texts.size() == 3, trial::joined(texts));
  BOOST_CHECK_MESSAGE(said("there are 1 gradients for 2 tensors - give one for each, or all of their values one behind "
                           "the other"),
                      trial::joined(texts));
  BOOST_CHECK_MESSAGE(said("the gradient of \"a\" has 5 values, and the tensor 3"), trial::joined(texts));
  BOOST_CHECK_MESSAGE(said("there are 3 gradients for 2 tensors"), trial::joined(texts));
}

BOOST_AUTO_TEST_CASE(tensors_without_a_gradient_frozen_ones_and_groups_are_the_clients_business) {
  const auto check = [](const std::vector<float>& got, float a, float b) {
    BOOST_CHECK_MESSAGE((got == std::vector<float>{a, a, a, b, b}),
                        got[0] << " and " << got[3] << " instead of " << a << " and " << b);
  };
  check(after_a_round(one_step{}), .5f, 1.5f);
  check(after_a_round(without_b{}), .5f, 2);
  check(after_a_round(one_step{}, {.frozen = {"b"}}), .5f, 2);
  check(after_a_round(one_step{}, {.groups = {{.names = "b", .rate = .5}}}), .5f, 1.75f);
}

BOOST_AUTO_TEST_CASE(options_that_rounds_have_no_use_for_are_refused_on_every_rank) {
  const auto refused = [](const char* why, const tutti::training_options& how, const tutti::options& moved = {}) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      one_step clients;
      two_tensors model;
      tutti::strategy{world, tutti::federated{}, how, moved}.run(model.parameters(), clients);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, "run"), trial::joined(errors));
  };
  refused("uneven::by_world is given, and clients count what they hold - leave it out",
          {.uneven = tutti::uneven::by_world});
  refused("a scale of the loss is given, and losses are the clients' own - leave it out, and scale in "
          "train(client, local, random) of the population",
          {.loss_scale = tutti::dynamic_loss_scale});
  refused("the parameter group \"c\" matches no tensor", {.groups = {{.names = "c"}}});
  refused("options::weight is given, and clients count what they hold", {}, {.weight = 2});
}

BOOST_AUTO_TEST_SUITE_END()
