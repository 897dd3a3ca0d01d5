// Pairs that lose a rank while the others train on: at every exchange of small cases, and silent ones.
#include "communicators/on_threads.hpp"
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"
#include "losing.hpp"
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(lost_of_pairs)

namespace {

using losing::patience;
using losing::steps;
using small_model::by_one;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::on_loss;
using tutti::pairwise_averaging;
using std::chrono::milliseconds;

constexpr pairwise_averaging go_on{.seed = 1, .on_loss = on_loss::go_on};

/// Who is left ends with the same values, and all have made all their steps; half of a last meeting may be missing.
/// Where the lowest of them is lost when it takes their mean, they are told, or it was too late to be lost.
template <class Graph>
void sweep(const std::string& name, int ranks, const Graph& graph) {
  int survived = 0;
  for (int leaver = 0; leaver < ranks; ++leaver)
    for (std::uint64_t round = 0;; ++round) {
      const losing::outcome got = losing::run({.rank = leaver, .round = round}, ranks, graph, go_on);
      if (!got.left) break;
      const std::string named = "(peer " + std::to_string(leaver) + ")";
      std::string wrong;
      const floats* first = nullptr;
      for (int r = 0; r < ranks; ++r) {
        if (r == leaver) continue;
        const auto k = std::size_t(r);
        const std::string& told = got.told[k];
        const bool at_the_end = leaver == 0 && told.find("while it took the mean of all") != std::string::npos;
        if (told != "none") {
          // named is who left, or who was to take the mean next and had waited for that one
          if (!at_the_end && (told.find(named) == std::string::npos || got.was_bound))
            wrong += " rank " + std::to_string(r) + " was told " + told;
          continue;
        }
        if (!first) first = &got.values[k];
        if (got.values[k] != *first) wrong += " rank " + std::to_string(r) + " has other values";
        for (const int who : got.lost[k])
          if (who != leaver && got.told[std::size_t(who)] == "none")
            wrong += " rank " + std::to_string(r) + " names rank " + std::to_string(who);
        for (const float v : got.values[k])
          if (v > -.5f || v < -1.5f * float(steps)) wrong += " a value is " + std::to_string(v);
        survived += got.was_bound;
      }
      BOOST_CHECK_MESSAGE(wrong.empty(), name << " on " << ranks << " ranks, rank " << leaver
                                              << " leaves at exchange " << round << ":" << wrong);
    }
  BOOST_CHECK_MESSAGE(survived >= 20, name << ": " << survived << " ranks went on");
}

} // namespace

BOOST_AUTO_TEST_CASE(the_others_train_on_wherever_one_leaves) {
  sweep("complete_graph", 2, tutti::complete_graph{});
  sweep("complete_graph", 4, tutti::complete_graph{});
  sweep("ring_graph", 4, tutti::ring_graph{}); // who has no neighbour any more goes on alone
}

namespace {

/// An exchange by which it is not seen that rank 0 has left.
template <class Handle, class Comm>
struct blind_exchange {
  Handle inner;
  Comm* comm; ///< none to see everything
  bool test() { return !(comm && comm->looks_away()) && inner.test(); }
  bool take_back() { return tutti::detail::take_back(inner); }
  int waiting_for() const { return inner.waiting_for(); }
};
/// Rank 0 leaves in the place of sending values of 20 bytes, from arm() on, when it has those of all. The others do
/// not see that by the words that they wait for: as if it left when they have just looked at these.
template <class Inner>
class leaving_with_all_values : public tutti::decorator<Inner> {
public:
  using tutti::decorator<Inner>::decorator;
  void arm() { armed_ = true; }
  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    if (armed_ && this->rank() == 0 && !round.sends.empty() && round.sends[0].bytes.size() == 20)
      throw tutti::rank_leaves{"rank 0 leaves"};
    const bool is_word =
        round.sends.empty() && !round.receives.empty() && round.receives[0].bytes.size() == sizeof(std::uint64_t);
    auto handle = this->inner_.exchange(execution, on, round);
    return blind_exchange<decltype(handle), leaving_with_all_values>{std::move(handle), is_word ? this : nullptr};
  }
  bool has_left(int peer) const { return !std::exchange(is_away_, false) && this->inner_.has_left(peer); }
  bool looks_away() const { return is_away_ = this->rank() != 0 && this->inner_.has_left(0); }

private:
  bool armed_ = false;
  mutable bool is_away_ = false;
};
template <class Inner>
leaving_with_all_values(Inner&&) -> leaving_with_all_values<Inner>;

} // namespace

// It has what the others sent: they wait for nothing but its answer.
BOOST_AUTO_TEST_CASE(one_that_leaves_with_the_values_of_all_is_missed) {
  std::vector<std::string> told(3, "none");
  tutti::threads::run(3, [&](auto& inner) {
    leaving_with_all_values world{inner};
    floats w(5);
    try {
      tutti::strategy strategy{world, go_on, patience};
      auto trainer = strategy.bind(w, by_one);
      world.arm();
      trainer.finalize();
    } catch (const tutti::rank_leaves&) {
    } catch (const tutti::error& e) {
      told[std::size_t(world.rank())] = e.what();
    }
  });
  for (const std::size_t r : {1u, 2u})
    BOOST_CHECK_MESSAGE(has(told[r], "peer_lost on rank") && has(told[r], "(peer 0)") &&
                            has(told[r], "was lost while it took the mean of all replicas"),
                        "rank " << r << " was told " << told[r]);
}

namespace {

/// An exchange that is complete, which its rank sees when it has looked once more since the other has left.
template <class Handle, class Comm>
struct late_exchange {
  Handle inner;
  Comm* comm; ///< none for in time
  int peer;
  bool is_done = false, has_looked = false;
  bool test() {
    is_done = is_done || inner.test();
    if (!comm || !is_done || has_looked) return is_done;
    has_looked = comm->looks_away(peer);
    return false;
  }
  bool take_back() { return tutti::detail::take_back(inner); }
  int waiting_for() const { return inner.waiting_for(); }
};
/// Of values of 20 bytes, from arm() on.
template <class Inner>
class seeing_late : public tutti::decorator<Inner> {
public:
  using tutti::decorator<Inner>::decorator;
  void arm() { armed_ = true; }
  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    bool late = false;
    int peer = -1;
    for (const auto& m : round.sends) late = armed_ && this->rank() == 0 && m.bytes.size() == 20, peer = m.peer;
    for (const auto& m : round.receives) late = armed_ && this->rank() != 0 && m.bytes.size() == 20, peer = m.peer;
    auto handle = this->inner_.exchange(execution, on, round);
    return late_exchange<decltype(handle), seeing_late>{std::move(handle), late ? this : nullptr, peer};
  }
  bool has_left(int peer) const { return !std::exchange(is_away_, false) && this->inner_.has_left(peer); }
  bool looks_away(int peer) const { return is_away_ = this->inner_.has_left(peer); }

private:
  bool armed_ = false;
  mutable bool is_away_ = false;
};
template <class Inner>
seeing_late(Inner&&) -> seeing_late<Inner>;

} // namespace

// At the end of all who has answered may leave, and who has its answer: it is not lost.
BOOST_AUTO_TEST_CASE(one_that_leaves_after_the_end_is_not_lost) {
  for (const bool host : {true, false}) {
    std::vector<std::string> told(3, "none");
    tutti::threads::run(3, [&](auto& inner) {
      seeing_late world{inner};
      floats w(5);
      try {
        tutti::strategy strategy{world, go_on, patience};
        auto trainer = strategy.bind(w, by_one);
        if ((world.rank() == 0) == host) world.arm();
        trainer.finalize();
        if (!trainer.lost().empty()) told[std::size_t(world.rank())] = "that some are lost";
      } catch (const tutti::error& e) {
        told[std::size_t(world.rank())] = e.what();
      }
    });
    for (const std::string& one : told)
      BOOST_CHECK_MESSAGE(one == "none", (host ? "the host sees late: " : "the others see late: ") << one);
  }
}

// Rank 2 does nothing more after its first step, and is given up by a rank that has asked it, or waits for it at the
// end; it is named by all, and when it goes on after all, it is told so.
BOOST_AUTO_TEST_CASE(one_that_is_silent_is_given_up_named_and_told) {
  std::atomic<int> bound{0}, ended{0};
  std::vector<std::string> told(1);
  own_time times[3];
  on_threads(3, [&](auto& world, report& r) {
    own_time& time = times[world.rank()];
    on_own_clock comm{world, time};
    floats w(4), ones(4, 1);
    tutti::strategy strategy{comm, go_on, tutti::options{.timeout = milliseconds{800}}};
    auto trainer = strategy.bind(w, by_one);
    ++bound;
    wait_until([&] { return bound == 3; });
    time.last = time.now + milliseconds{900}; // more than the timeout, and less than twice
    for (const int other : {0, 1})
      if (other != world.rank()) time.beside.push_back(&times[other]);
    if (world.rank() == 2) {
      wait_until([&] { return ended >= 2; });
      try {
        trainer.step(ones);
        trainer.finalize();
      } catch (const tutti::error& e) {
        told[0] = e.what();
      }
      ++ended;
      return;
    }
    for (int k = 0; k < 4; ++k) trainer.step(ones);
    trainer.finalize();
    r.check(w == floats(4, -4), "a value is " + std::to_string(w[0]));
    r.check(trainer.lost() == std::vector<int>{2}, "who is lost");
    ++ended;
    wait_until([&] { return world.in_flight().step(), time.waited(), ended >= 3; });
  });
  BOOST_CHECK_MESSAGE(has(told[0], "has heard nothing of this rank for 800 ms, and the others train on without it - "
                                   "raise tutti::options::timeout if this rank is only slow"),
                      told[0]);
  BOOST_CHECK_MESSAGE(has(told[0], "tutti: step: timeout on rank 2 (peer "), told[0]);
}

// It is missed when somebody trains on, not before; those who are left may end twice.
BOOST_AUTO_TEST_CASE(those_who_are_left_train_on_after_the_end) {
  for (const int leaver : {0, 1, 2}) {
    const auto got = on(3, [&](auto& world) {
      floats w(2), ones(2, 1);
      tutti::strategy strategy{world, go_on, patience};
      auto trainer = strategy.bind(w, by_one);
      trainer.step(ones);
      trainer.finalize();
      if (world.rank() == leaver) return floats{-5, -5};
      for (int epoch = 0; epoch < 2; ++epoch) {
        for (int k = 0; k < 2; ++k) trainer.step(ones);
        trainer.finalize();
      }
      must_equal(trainer.lost() == std::vector<int>{leaver}, true, "who is lost");
      return w;
    });
    small_model::expect_all("values", got, {-5, -5});
  }
}

BOOST_AUTO_TEST_SUITE_END()
