// The executor on a communicator without buffering and with adversarial completion order.
//
// The schedules are proven (tests/topologies); that the executor carries them out is tested here: 1
// to 7 ranks live in one thread, a scheduler drawn from the seed steps them in any order, each has
// up to four collectives in flight and waits for them in an order of its own. Inputs are whole
// numbers whose results are exactly representable, so any order of summation must give the same.
#include "jobs.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <stdexcept>

namespace {

using namespace adversary;

constexpr std::uint64_t seeds = 100'000;
constexpr std::size_t most_in_flight = 4;

/// One rank's program: it starts all jobs in order and completes them in an order of its own.
class rank_program {
public:
  rank_program(network& all, int rank) : comm_{all, rank}, rank_{rank} {}

  communicator& comm() { return comm_; }
  bool done(std::size_t jobs) const { return finished_ == jobs; }

  /// Starts a job or tests a request; whether it came to an end with a fault is for the caller to
  /// catch.
  std::string step(std::vector<std::unique_ptr<job>>& jobs, tutti::random_stream& random) {
    const bool may_start = started_ < jobs.size();
    if (may_start && (started_ == finished_ || random.below(2) == 0)) {
      flights_.push_back({started_, jobs[started_]->start(rank_, comm_)});
      ++started_;
      return {};
    }
    if (waits_for_ >= flights_.size()) waits_for_ = random.below(std::uint32_t(flights_.size()));
    if (!flights_[waits_for_].under_way.test()) return {};
    const std::size_t which = flights_[waits_for_].job;
    flights_.erase(flights_.begin() + std::ptrdiff_t(waits_for_));
    waits_for_ = ~std::size_t{0};
    ++finished_;
    return jobs[which]->finish(rank_);
  }
  /// Completes or fails whatever is in flight, one test each; whether something is left.
  bool drain() {
    for (std::size_t k = flights_.size(); k-- > 0;) try {
        if (!flights_[k].under_way.test()) continue;
        flights_.erase(flights_.begin() + std::ptrdiff_t(k));
      } catch (const tutti::error&) {
        flights_.erase(flights_.begin() + std::ptrdiff_t(k));
      }
    return !flights_.empty();
  }
  /// Leaves by an exception, as a program does: the requests are dropped while it unwinds.
  void leave() {
    try {
      const auto dropped = std::move(flights_);
      throw std::runtime_error{"this rank has had enough"};
    } catch (const std::runtime_error&) {
    }
    flights_.clear();
  }

private:
  struct flight {
    std::size_t job;
    tutti::request under_way;
  };
  communicator comm_;
  int rank_;
  std::size_t started_ = 0, finished_ = 0, waits_for_ = ~std::size_t{0};
  std::vector<flight> flights_;
};

struct world {
  explicit world(std::uint64_t seed) : random{seed}, all{int(1 + random.below(7)), seed} {
    for (auto n = 1 + random.below(most_in_flight); n > 0; --n)
      jobs.push_back(draw_job(random, all.size()));
    for (int r = 0; r < all.size(); ++r) ranks.push_back(std::make_unique<rank_program>(all, r));
  }
  std::size_t anyone() { return random.below(std::uint32_t(all.size())); }

  tutti::random_stream random;
  network all;
  std::vector<std::unique_ptr<job>> jobs; // outlive the requests of the ranks
  std::vector<std::unique_ptr<rank_program>> ranks;
};

std::string text_of(std::uint64_t seed, const world& w, const std::string& what) {
  std::string text = "seed " + std::to_string(seed) + ", " + std::to_string(w.all.size()) +
                     " ranks: " + what + "; in flight:";
  for (const auto& j : w.jobs) text += " [" + j->text() + "]";
  return text;
}

/// Runs all jobs of a seed on all ranks; what went wrong, if anything.
std::string run(std::uint64_t seed) {
  world w{seed};
  std::string wrong;
  try {
    std::size_t left = w.ranks.size();
    for (int steps = 0; left > 0 && wrong.empty() && w.all.violation().empty(); ++steps) {
      if (steps > 1'000'000) wrong = "the ranks make no progress";
      rank_program& rank = *w.ranks[w.anyone()];
      if (rank.done(w.jobs.size())) continue;
      wrong = rank.step(w.jobs, w.random);
      left -= rank.done(w.jobs.size());
    }
  } catch (const tutti::error& e) {
    wrong = e.what();
  }
  if (wrong.empty()) wrong = w.all.violation();
  if (wrong.empty()) return {};
  w.all.revoke({.code = tutti::error_code::peer_lost, .detail = "the test has failed"});
  return text_of(seed, w, wrong);
}

/// The same with one rank that fails after some exchanges, or leaves: on every other rank every
/// request ends, and those that could not complete end with the first failure.
std::string run_to_a_failure(std::uint64_t seed, bool leaves) {
  world w{seed};
  const std::size_t culprit = w.anyone();
  const int when = int(w.random.below(12));
  if (!leaves) w.ranks[culprit]->comm().fail_after(when);
  std::vector<bool> over(w.ranks.size());
  int failed = 0;
  for (int steps = 0; steps < 300; ++steps) {
    const std::size_t r = w.anyone();
    if (leaves && steps == when * 3) {
      w.ranks[culprit]->leave();
      over[culprit] = true;
    }
    if (over[r]) continue;
    try {
      if (w.ranks[r]->done(w.jobs.size())) continue;
      const std::string wrong = w.ranks[r]->step(w.jobs, w.random);
      if (!wrong.empty()) return text_of(seed, w, wrong);
    } catch (const tutti::error& e) {
      ++failed;
      over[r] = true;
      const auto expected = leaves ? tutti::error_code::peer_lost : tutti::error_code::transport;
      if (e.code() != expected) return text_of(seed, w, std::string{"wrong error: "} + e.what());
      if (e.rank() != int(r)) return text_of(seed, w, std::string{"wrong rank: "} + e.what());
      if (leaves && e.peer() != int(culprit))
        return text_of(seed, w, std::string{"wrong peer: "} + e.what());
    }
  }
  if (!w.all.violation().empty()) return text_of(seed, w, w.all.violation());
  if (failed > 0 && !w.all.revoked())
    return text_of(seed, w, "a failure was not told to the others");
  if (w.all.revoked())
    for (auto& rank : w.ranks)
      if (rank->drain()) return text_of(seed, w, "a request neither completes nor fails");
  w.all.revoke({.detail = "the end"}); // where nothing came to pass, requests are still in flight
  return {};
}

} // namespace

BOOST_AUTO_TEST_SUITE(collectives)

BOOST_AUTO_TEST_CASE(any_order_of_completion_gives_the_exact_result) {
  std::string first;
  std::uint64_t failures = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failures < 10; ++seed)
    if (std::string wrong = run(seed); !wrong.empty()) {
      BOOST_TEST_MESSAGE(wrong);
      if (failures++ == 0) first = wrong;
    }
  BOOST_CHECK_MESSAGE(failures == 0, first);
}

BOOST_AUTO_TEST_CASE(a_failure_of_one_rank_ends_every_request_on_all) {
  std::string first;
  for (std::uint64_t seed = 1; seed <= seeds / 10 && first.empty(); ++seed)
    first = run_to_a_failure(seed, false);
  BOOST_CHECK_MESSAGE(first.empty(), first);
}

BOOST_AUTO_TEST_CASE(a_rank_that_leaves_by_an_exception_is_named_to_all_others) {
  std::string first;
  for (std::uint64_t seed = 1; seed <= seeds / 10 && first.empty(); ++seed)
    first = run_to_a_failure(seed, true);
  BOOST_CHECK_MESSAGE(first.empty(), first);
}

BOOST_AUTO_TEST_SUITE_END()
