// Rounds of a buffer, by hand: who counts how much, and what is not used any more.
#include "federated/rogues.hpp"
#include "training/scratch.hpp"

#include <tutti/communicators/simulated.hpp>
#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_buffer)

namespace buffered {

using trial::movers;
using trial::rogue;
using trial::whole;

/// Rank 1 gives so many answers of nothing, which are as many buffers as make `steps` steps; then `fresh`, one after
/// the other, and rank 2, which was asked before all of them, answers `stale`. What is left of a model of 0.
double model_after(const tutti::serving_options& how, int steps, const std::vector<double>& fresh, double stale) {
  std::vector<double> x(1);
  std::atomic<int> made{0};
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, how};
      for (; made <= steps; ++made) (void)server.next();
      server.finish();
      return;
    }
    rogue client{world};
    client.enter({{world.rank(), 1}});
    if (world.rank() == 1) {
      for (int k = 0; k < steps * how.buffer; ++k) client.answer(client.work(), 0);
      for (const double difference : fresh) client.answer(client.work(), difference);
    } else {
      const auto first = client.work();
      while (made < steps) std::this_thread::yield();
      client.answer(first, stale);
    }
    client.leave();
  });
  return x[0];
}

} // namespace buffered

using namespace buffered;

// K = 2, .2 at staleness 0 and .6 at 3: (.2 + .6 / 2) / 2.
BOOST_AUTO_TEST_CASE(a_buffer_of_two_has_the_published_value) {
  BOOST_CHECK_SMALL(model_after({.buffer = 2, .clients = 2}, 3, {-.2}, -.6) - .25, 1e-15);
}

// One of a model before, ten of the model now: a mean of the two versions' means would be 1/2.
BOOST_AUTO_TEST_CASE(answers_count_alike_whatever_model_they_began_with) {
  const std::vector<double> nothing(10);
  const double x = model_after({.buffer = 11, .staleness = 0, .clients = 2}, 1, nothing, 1);
  BOOST_CHECK_SMALL(x + 1. / 11, 1e-15);
}

// Three answers of .1 of a client that is always ready make three steps; then one of .6 comes that was asked before
// them: it counts half. The paper's buffer of two: (.2 + .6 / 2) / 2 = .25 by the same rule.
BOOST_AUTO_TEST_CASE(a_buffer_takes_whoever_is_ready_and_scales_by_staleness) {
  std::atomic<int> made{0};
  std::vector<double> x(1);
  tutti::round_report last;
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, {.buffer = 1, .clients = 2}};
      for (int k = 0; k < 3; ++k) {
        (void)server.next();
        BOOST_CHECK_SMALL(x[0] + .1 * (k + 1), 1e-12);
        made = k + 1;
      }
      last = server.next();
      server.finish();
    } else if (world.rank() == 1) {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      int rounds = 0;
      client.serve(people, std::vector{1}, [&](std::uint32_t) { return ++rounds < 3; });
    } else {
      rogue other{world};
      other.enter({{6, 1}, {7, 1}});
      const auto work = other.work();
      while (made < 3) std::this_thread::yield();
      other.answer(work, .6);
      other.leave();
    }
  });
  BOOST_CHECK_SMALL(x[0] + .6, 1e-12);
  BOOST_CHECK_EQUAL(last.counted, 1);

  x[0] = 0;
  tutti::threads::run(2, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, {.buffer = 4, .staleness = 0, .clients = 3}};
      const auto report = server.next();
      BOOST_CHECK(report.clients == 4 && report.counted == 4 && report.metrics.empty());
      server.finish();
    } else {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      client.serve(people, std::vector{2, 4, 6});
    }
  });
  BOOST_CHECK_SMALL(x[0] + (.2 + .4 + .6 + .2) / 4, 1e-12); // its clients take turns
}

namespace buffered {

/// Rank r's client r takes 2^r hundredths of a second of virtual time, and says in which order it was asked.
template <class Comm>
struct unlike_speeds {
  static constexpr const char* names[] = {"", "one", "two", "three"};
  Comm& world;
  int clients() const { return 4; }
  double examples(int) const { return 1; }
  tutti::trained train(int client, tutti::local_training<double>& local, tutti::random_stream random) const {
    world.compute(.005 * (1 << client));
    local.step(std::vector<double>{local.parameters()[0] - client + random.uniform()});
    return {.metrics = {{names[client], 1}}};
  }
};

struct virtual_run {
  std::vector<double> models;   ///< after each round
  double answers[3] = {};       ///< of each client
  std::vector<int> late;        ///< in all rounds
};
virtual_run in_virtual_time(const tutti::federated& policy, tutti::serving_options how, int rounds) {
  virtual_run out;
  how.clients = 3;
  tutti::simulated::run(4, {}, [&](auto& world) {
    std::vector<double> x(1);
    if (world.rank() == 0) {
      tutti::round_server server{world, x, policy, how};
      while (server.made() < rounds) {
        const tutti::round_report report = server.next();
        out.models.push_back(x[0]);
        for (const auto& mean : report.metrics)
          for (int k = 0; k < 3; ++k)
            if (mean.name == unlike_speeds<decltype(world)>::names[k + 1]) out.answers[k] += mean.examples;
        for (const int client : report.who(tutti::absence::late)) out.late.push_back(client);
      }
      server.finish();
    } else {
      unlike_speeds<std::remove_reference_t<decltype(world)>> people{world};
      tutti::round_client client{world, x, tutti::sgd{.learning_rate = .1}};
      client.serve(people, std::vector{world.rank()});
    }
  });
  return out;
}

} // namespace buffered

// In virtual time a buffer is the same in every run, too. Who is twice as fast is heard twice as often.
BOOST_AUTO_TEST_CASE(whoever_is_ready_is_taken_as_often_as_it_is_ready) {
  const tutti::serving_options three{.buffer = 3};
  const virtual_run one = in_virtual_time({}, three, 14), other = in_virtual_time({}, three, 14);
  BOOST_CHECK(one.models == other.models);
  const double wanted[] = {24, 12, 6}; // of 42
  for (int k = 0; k < 3; ++k) BOOST_CHECK_MESSAGE(std::abs(one.answers[k] - wanted[k]) <= 1, one.answers[k]);
}

// Of three hundredths of a second, where the third client takes four: late, then not asked, then late again.
BOOST_AUTO_TEST_CASE(a_deadline_is_one_of_the_communicators_clock) {
  const virtual_run got = in_virtual_time({.fraction = 1, .attendance = {.deadline = .03}}, {}, 3);
  BOOST_CHECK(got.late == (std::vector{3, 3}));
  BOOST_CHECK_EQUAL(got.answers[0], 3);
  BOOST_CHECK_EQUAL(got.answers[2], 0);
}

// The second rank owes an answer when the first model comes back: it is heard, not used, and asked again.
BOOST_AUTO_TEST_CASE(what_was_asked_before_a_load_is_not_used_after_it) {
  const scratch here;
  const std::string folder = here / "begin";
  std::vector<double> x(1);
  std::atomic<bool> loaded{false};
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, {.buffer = 1, .clients = 2}};
      server.save(folder);
      (void)server.next();
      BOOST_CHECK_EQUAL(x[0], -.25);
      BOOST_CHECK(server.load(folder).empty());
      BOOST_CHECK(x[0] == 0 && server.made() == 0);
      loaded = true;
      BOOST_CHECK_EQUAL(server.next().round, 1);
      server.finish();
      return;
    }
    rogue client{world};
    client.enter({{world.rank(), 1}});
    const auto first = client.work();
    if (world.rank() == 1) {
      client.answer(first, .25);
      (void)client.work(); // which nobody answers
    } else {
      while (!loaded) std::this_thread::yield();
      client.answer(first, 100);
      client.answer(client.work(), .5);
    }
    client.leave();
  });
  BOOST_CHECK_EQUAL(x[0], -.5);
}

// Two that hold nothing: a total weight of 0 is divided by nowhere.
BOOST_AUTO_TEST_CASE(a_server_skips_rounds_of_those_who_hold_nothing) {
  std::vector<double> x{1.5};
  std::vector<tutti::round_report> reports;
  std::atomic<bool> skipped{false};
  tutti::threads::run(2, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{.fraction = 1}, {.clients = 2}};
      reports.push_back(server.next());
      BOOST_CHECK_EQUAL(x[0], 1.5);
      skipped = true;
      do reports.push_back(server.next());
      while (reports.back().counted == 0);
      server.finish();
      return;
    }
    rogue client{world};
    client.enter({{1, 0}, {2, 0}});
    while (!skipped) std::this_thread::yield();
    client.enter({{3, 2}});
    client.answer(client.work(), .5);
    client.leave();
  });
  BOOST_CHECK_EQUAL(reports[0].skipped,
                    "round 1 was skipped: none of its 2 clients counts: 2 without examples");
  BOOST_CHECK_EQUAL(reports.back().counted, 1);
  BOOST_CHECK_EQUAL(x[0], 1);
}

BOOST_AUTO_TEST_SUITE_END()
