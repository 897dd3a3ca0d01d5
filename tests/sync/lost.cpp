// Workers that are lost while the others train on: at every exchange of small cases, and silent ones.
#include "communicators/on_threads.hpp"
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"
#include "losing.hpp"
#include "training/small.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

BOOST_AUTO_TEST_SUITE(lost_workers)

namespace {

using losing::patience;
using losing::steps;
using small_model::by_one;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::asynchronous;
using tutti::backup_workers;
using tutti::on_loss;
using tutti::quorum;
using tutti::star;
using std::chrono::milliseconds;

/// What the others end with when a worker has left: the same values, which its pushes are part of or not.
template <class Policy>
void sweep(const std::string& name, const Policy& policy, bool every_step_is_one) {
  int survived = 0;
  for (const star& servers : {star{}, star{.servers = 2}, star{.servers = 1, .dedicated = true}}) {
    const int ranks = 4;
    for (int leaver = 0; leaver < ranks; ++leaver)
      for (std::uint64_t round = 0;; ++round) {
        const losing::outcome got = losing::run({.rank = leaver, .round = round}, ranks, servers, tutti::mean{}, policy);
        if (!got.left) break;
        const bool goes_on = got.was_bound && leaver >= servers.servers;
        std::string wrong;
        const floats* first = nullptr;
        for (int r = 0; r < ranks; ++r) {
          if (r == leaver) continue;
          const auto k = std::size_t(r);
          if (!goes_on) { // by the end of all it may be too late to be told
            bool ended = got.told[k] == "none" && got.was_bound;
            for (const float v : got.values[k]) ended = ended && v < 1e-5f - float(steps);
            if (!ended && got.told[k].find("(peer " + std::to_string(leaver) + ")") == std::string::npos)
              wrong += " rank " + std::to_string(r) + " was told " + got.told[k];
            continue;
          }
          if (got.told[k] != "none") wrong += " rank " + std::to_string(r) + " was told " + got.told[k];
          if (got.told[k] != "none") continue;
          if (!first) first = &got.values[k];
          if (got.values[k] != *first) wrong += " rank " + std::to_string(r) + " has other values";
          for (const int who : got.lost[k])
            if (who != leaver) wrong += " rank " + std::to_string(r) + " names rank " + std::to_string(who);
          for (const float v : got.values[k])
            if (every_step_is_one && v != -float(steps)) wrong += " a value is " + std::to_string(v);
        }
        survived += goes_on;
        BOOST_CHECK_MESSAGE(wrong.empty(), name << ", " << servers.servers << " servers, dedicated "
                                                << servers.dedicated << ", rank " << leaver << " leaves at exchange "
                                                << round << ":" << wrong);
      }
  }
  BOOST_CHECK_MESSAGE(survived >= 30, name << ": " << survived << " losses were survived");
}

} // namespace

BOOST_AUTO_TEST_CASE(the_others_train_on_wherever_a_worker_leaves) {
  sweep("quorum", quorum{.min = 3, .on_loss = on_loss::go_on}, false);
  sweep("backup workers, none spare", backup_workers{.spare = 0, .on_loss = on_loss::go_on}, true);
  sweep("asynchronous, in step", asynchronous{.staleness = 0, .on_loss = on_loss::go_on}, false);
  sweep("asynchronous", asynchronous{.on_loss = on_loss::go_on}, false);
}

namespace {

/// Lets the clock of its rank go on by little more than the timeout, when there have been so many pushes: all that
/// there are while rank 3 is silent.
struct subtracting {
  static constexpr std::array<std::string_view, 0> slots{};
  own_time* time = nullptr;
  std::atomic<int>* pushes = nullptr;
  int in_all = 0;
  template <class T> auto at(std::int64_t) const {
    if (++*pushes == in_all) time->last = time->now + milliseconds{801};
    return [](const tutti::rounding&, T& p, T g, T*) { p -= g; };
  }
};

} // namespace

// Rank 3 does nothing more after its first step, and is given up; when it pushes after all, it is told so.
BOOST_AUTO_TEST_CASE(one_that_is_silent_is_given_up_named_and_told) {
  const auto silent = [](const char* name, auto policy, int in_all) {
    std::atomic<int> ended{0}, pushes{0};
    std::vector<std::string> told(1);
    on_threads(4, [&](auto& world, report& r) {
      own_time time;
      on_own_clock comm{world, time};
      floats w(4), ones(4, 1);
      tutti::strategy strategy{comm, star{.servers = 1, .dedicated = true}, tutti::sum{}, policy,
                               tutti::options{.timeout = milliseconds{800}}};
      auto trainer = strategy.bind(w, subtracting{&time, &pushes, in_all});
      if (world.rank() == 0) trainer.serve();
      for (int k = 0; k < 3 && world.rank() > 0; ++k) {
        if (k == 1 && world.rank() == 3) {
          wait_until([&] { return ended >= 2; });
          try {
            trainer.step(ones);
          } catch (const tutti::error& e) {
            told[0] = e.what();
          }
          ++ended;
          return;
        }
        trainer.step(ones);
      }
      if (world.rank() > 0) {
        ++ended;
        if (world.rank() == 1) r.check(trainer.dropped() == 0, "dropped");
      }
      if (world.rank() == 0) wait_until([&] { return world.in_flight().step(), ended >= 3; });
      trainer.finalize();
      r.check(w[3] == -7, "a value is " + std::to_string(w[3]));
      r.check(trainer.lost() == std::vector<int>{3}, "who is lost");
    });
    BOOST_CHECK_MESSAGE(told[0].find("tutti: step: timeout on rank 3 (peer 0): rank 0 has heard nothing of this rank "
                                     "for 800 ms, and the others train on without it - raise "
                                     "tutti::options::timeout if this rank is only slow") == 0,
                        name << ": " << told[0]);
  };
  silent("asynchronous", asynchronous{.staleness = 1, .on_loss = on_loss::go_on}, 7);
  silent("asynchronous, in step", asynchronous{.staleness = 0, .on_loss = on_loss::go_on}, 5);
}

BOOST_AUTO_TEST_CASE(those_who_are_left_train_on_after_the_end) {
  std::atomic<int> left{0};
  const auto got = on(3, [&](auto& world) {
    floats w(2), ones(2, 1);
    tutti::strategy strategy{world, tutti::mean{}, quorum{.min = 3, .on_loss = on_loss::go_on}};
    auto trainer = strategy.bind(w, by_one);
    trainer.step(ones);
    if (world.rank() == 2) return floats{-5, -5};
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (int k = 0; k < 2; ++k) trainer.step(ones);
      trainer.finalize();
    }
    must_equal(trainer.lost().size(), std::size_t{1}, "lost");
    return w;
  });
  small_model::expect_all("values", got, {-5, -5});
}

// Unless the policy says otherwise.
BOOST_AUTO_TEST_CASE(a_loss_is_an_error_by_default) {
  for (const bool backup : {false, true}) {
    const auto errors = trial::errors_on_ranks(3, [&](auto& world) {
      floats w(2);
      const auto train = [&](auto policy) {
        tutti::strategy strategy{world, tutti::mean{}, policy, patience};
        auto trainer = strategy.bind(w, by_one);
        for (int k = 0; world.rank() < 2 || k < 2; ++k) trainer.step(floats(2, 1));
      };
      if (backup)
        train(backup_workers{.spare = 0});
      else
        train(quorum{.min = 3});
    });
    for (const int r : {0, 1})
      BOOST_CHECK_MESSAGE(errors[std::size_t(r)].find("rank 2 has left without finalize()") != std::string::npos,
                          trial::joined(errors));
  }
}

BOOST_AUTO_TEST_SUITE_END()
