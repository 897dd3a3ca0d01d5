// Weights under MPI, in every way in which ranks reach each other, and weights that are refused.
#include "collectives/weighing.hpp"
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

/// Four clients, of which the last holds all examples there are, and may say nothing.
struct one_that_counts {
  bool silent = false;
  int clients() const { return 4; }
  double examples(int client) const { return client == 3 ? 1e-50 : 0; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream) const {
    for (float& x : local.parameters())
      if (!silent) x = client == 3 ? 5.0f : std::numeric_limits<float>::quiet_NaN();
  }
};

} // namespace

BOOST_AUTO_TEST_SUITE(weights)

BOOST_AUTO_TEST_CASE(no_weight_is_lost_and_what_weighs_nothing_may_hold_anything) {
  const auto body = [](auto& comm, report& r) { weighing::every_element(comm, r); };
  on_mpi("in shared memory", body);
  on_mpi("by messages", body, {.shared_memory = false});
  on_mpi("attached", [](auto& comm, report& r) { weighing::every_way<float>(comm, r, 1e-46); },
         {.attached_bytes = 1});
}

BOOST_AUTO_TEST_CASE(a_weight_that_would_count_for_nothing_is_refused_on_every_rank) {
  const auto refused = [](const char* name, auto call) {
    on_mpi(name, [&](auto& comm, report& r) {
      std::vector<float> x(8, 1.0f);
      const double weight = comm.rank() == comm.size() - 1 ? 2.0 : 1.0;
      const auto got =
          conformance::failure_of([&] { call(comm, x, tutti::options{.weight = weight}); });
      r.check(got.failed && got.what.code == tutti::error_code::invalid_argument &&
                  got.what.detail.find("use tutti::weighted_mean") != std::string::npos,
              [&] { return "an invalid_argument - " + conformance::told(got); });
    });
  };
  refused("a mean",
          [](auto& w, auto& x, auto how) { tutti::all_reduce(w, x, tutti::mean{}, how); });
  refused("a ring", [](auto& w, auto& x, auto how) {
    tutti::async_all_reduce(w, x, tutti::mean{}, tutti::ring{}, how).wait();
  });
  refused("a trainer", [](auto& w, auto& x, auto how) {
    tutti::strategy strategy{w};
    (void)strategy.bind(x, tutti::sgd{}, how);
  });
}

BOOST_AUTO_TEST_CASE(rounds_in_which_little_or_nothing_counts) {
  for (const bool silent : {false, true})
    on_mpi(silent ? "a silent client" : "a light client", [&](auto& comm, report& r) {
      std::vector<float> values(7, 1.0f);
      one_that_counts people{silent};
      tutti::strategy strategy{comm, tutti::federated{.fraction = 1}};
      const auto round = strategy.run(values, people, {.rounds = 1}).rounds.at(0);
      r.check(values[6] == (silent ? 1.0f : 5.0f),
              [&] { return "a value is " + std::to_string(values[6]); });
      r.check(round.count(tutti::absence::silent) == int(silent) && round.skipped.empty() == !silent,
              [&] { return "the report says \"" + round.skipped + "\""; });
    });
}

BOOST_AUTO_TEST_SUITE_END()
