// The parameter server when answers come late and in odd orders: what a worker goes on with.
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cmath>
#include <limits>

BOOST_AUTO_TEST_SUITE(sync_policies)

namespace {

/// Everything that one rank exchanges is reported to it late.
template <class Inner> class dawdling : public tutti::decorator<Inner> {
public:
  static constexpr bool idle_blocks = false;

  dawdling(Inner&& inner, int rank)
      : tutti::decorator<Inner>{std::forward<Inner>(inner)}, rank_{rank} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    auto handle = this->inner_.exchange(execution, on, round);
    const std::uint64_t tests = this->rank() == rank_ ? 40 : 0;
    return tutti::detail::delayed_handle<decltype(handle)>{std::move(handle), tests};
  }
  void idle(std::uint64_t, tutti::deadline) { std::this_thread::yield(); }

private:
  int rank_;
};
template <class Inner> dawdling(Inner&&, int) -> dawdling<Inner>;

/// One value a key, so that servers own few; every rank's values after every step.
using trace = std::vector<std::vector<double>>;

std::vector<trace> traces(int ranks, int late, int steps, auto... parts) {
  std::vector<trace> all(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    dawdling comm{world, late};
    std::vector<double> values(6, 1.0), gradient(6);
    tutti::strategy strategy{comm, parts...};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 0.1});
    for (int step = 0; step < steps; ++step) {
      for (std::size_t i = 0; i < 6; ++i)
        gradient[i] = values[i] * (1 + 0.5 * world.rank()) - double(i) - world.rank();
      trainer.step(gradient);
      all[std::size_t(world.rank())].push_back(values);
    }
    trainer.finalize();
    all[std::size_t(world.rank())].push_back(values);
  });
  return all;
}

double worst_difference(const trace& a, const trace& b) {
  double worst = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < a.size() && k < b.size(); ++k)
    for (std::size_t i = 0; i < a[k].size(); ++i)
      worst = std::max(worst, std::abs(a[k][i] - b[k][i]));
  return worst;
}

} // namespace

BOOST_AUTO_TEST_CASE(without_staleness_every_worker_goes_on_with_the_synchronous_parameters) {
  for (const int ranks : {2, 3, 5}) {
    auto expected = traces(ranks, -1, 12, tutti::synchronous{})[0];
    for (const int servers : {1, 2})
      for (int late = 0; late < ranks; ++late) {
        const auto got = traces(ranks, late, 12, tutti::star{.servers = servers},
                                tutti::asynchronous{.staleness = 0});
        double worst = 0;
        for (const trace& mine : got) worst = std::max(worst, worst_difference(mine, expected));
        BOOST_CHECK_MESSAGE(worst < 1e-12, ranks << " ranks, " << servers << " servers, rank "
                                                 << late << " is late: values differ by " << worst);
      }
  }
}

namespace {

/// Adds gradients up, and counts in the last value of each key range how often it did.
struct adding {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_step_with_a_nan_is_left_out_of_all_key_ranges) {
  for (const int servers : {1, 2, 3})
    for (const bool dedicated : {false, true}) {
      const int ranks = dedicated ? servers + 2 : 3;
      std::vector<std::vector<float>> results(static_cast<std::size_t>(ranks));
      std::vector<std::int64_t> left_out(results.size());
      tutti::threads::run(ranks, [&](auto& world) {
        const auto r = std::size_t(world.rank());
        std::vector<float> values(7);
        tutti::strategy strategy{world, tutti::star{.servers = servers, .dedicated = dedicated},
                                 tutti::sum{}, tutti::asynchronous{.staleness = 1}};
        auto trainer = strategy.bind(values, adding{},
                                     tutti::training_options{.non_finite = tutti::non_finite::skip});
        if (trainer.role() == tutti::role::server) trainer.serve();
        for (int step = 0; step < 6 && trainer.role() != tutti::role::server; ++step) {
          std::vector<float> gradient(7, 1.0f);
          if (world.rank() == ranks - 1 && step % 3 == 1) gradient[std::size_t(step)] = NAN;
          trainer.step(gradient);
        }
        trainer.finalize();
        results[r] = values;
        left_out[r] = trainer.skipped();
      });
      const int workers = dedicated ? 2 : 3;
      const std::vector<float> expected(7, float(6 * workers - 2));
      for (std::size_t r = 0; r < results.size(); ++r)
        BOOST_CHECK_MESSAGE(results[r] == expected,
                            servers << " servers, dedicated " << dedicated << ": rank " << r
                                    << " has " << results[r][0] << " and " << results[r][6]
                                    << " instead of " << expected[0]);
      BOOST_CHECK_EQUAL(left_out.back(), 2);
    }
}

BOOST_AUTO_TEST_CASE(a_gradient_that_overflows_on_the_wire_is_an_error_that_names_the_rank) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(5), gradient(5, world.rank() == 1 ? 1e6f : 1.0f);
    tutti::strategy strategy{world, tutti::star{.servers = 2}, tutti::asynchronous{.staleness = 0},
                             tutti::cast<tutti::half>{}};
    strategy.bind(values, tutti::sgd{}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "step 1: the gradient of \"values\" on rank 1"),
                      trial::joined(errors));
}

namespace {

/// What every worker has added to the first value when its step returns, by rank and step.
std::vector<std::vector<float>> seen_by_workers(int ranks, tutti::star servers, int staleness,
                                                int late) {
  std::vector<std::vector<float>> seen(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    dawdling comm{world, late};
    std::vector<float> values(9), gradient(9, float(1 << (4 * world.rank())));
    tutti::strategy strategy{comm, servers, tutti::sum{},
                             tutti::asynchronous{.staleness = staleness}};
    auto trainer = strategy.bind(values, adding{});
    if (trainer.role() == tutti::role::server) trainer.serve();
    for (int step = 0; step < 10 && trainer.role() != tutti::role::server; ++step) {
      trainer.step(gradient);
      for (const float v : values) seen[std::size_t(world.rank())].push_back(v);
    }
    trainer.finalize();
  });
  return seen;
}

} // namespace

// Worker r adds 16^r a step, at most 10 times: the digits of a value are the steps of each worker
// that it holds. Its own are all there, and of others' at least what the bound promises.
BOOST_AUTO_TEST_CASE(what_a_worker_is_answered_holds_every_push_that_the_bound_promises) {
  for (const int staleness : {0, 1, 3})
    for (const tutti::star servers :
         {tutti::star{}, tutti::star{.servers = 2}, tutti::star{.servers = 1, .dedicated = true}})
      for (int late = 0; late < 4; ++late) {
        const auto seen = seen_by_workers(4, servers, staleness, late);
        std::string wrong;
        for (int r = 0; r < 4; ++r)
          for (std::size_t k = 0; k < seen[std::size_t(r)].size(); ++k) {
            const int step = int(k / 9) + 1;
            const int digits = int(seen[std::size_t(r)][k]);
            for (int other = servers.dedicated ? 1 : 0; other < 4; ++other) {
              const int held = (digits >> (4 * other)) & 15;
              const int least = other == r ? step : step - staleness;
              const int most = other == r ? step : step + staleness + (staleness > 0);
              if (held < least || held > most)
                wrong = "step " + std::to_string(step) + " of rank " + std::to_string(r) +
                        " holds " + std::to_string(held) + " pushes of rank " +
                        std::to_string(other);
            }
          }
        BOOST_CHECK_MESSAGE(wrong.empty(), servers.servers << " servers, dedicated "
                                                           << servers.dedicated << ", staleness "
                                                           << staleness << ", rank " << late
                                                           << " is late: " << wrong);
      }
}

namespace {

/// What every rank throws when server `silent` of ranks 0 and 1 does not serve.
std::vector<std::string> waiting_for_a_server(int silent) {
  std::atomic<int> bound{0}, given_up{0};
  own_time times[4];
  return trial::errors_on_ranks(4, [&](auto& ranks) {
    own_time& time = times[ranks.rank()];
    on_own_clock world{ranks, time};
    const bool works = world.rank() > 1;
    std::vector<float> values(10), gradient(10, 1.0f);
    tutti::strategy strategy{world, tutti::star{.servers = 2, .dedicated = true},
                             tutti::asynchronous{}};
    auto trainer = strategy.bind(values, tutti::sgd{},
                                 tutti::options{.timeout = std::chrono::milliseconds{100}});
    ++bound;
    wait_until([&] { return bound == 4; });
    if (world.rank() == silent) {
      wait_until([&] { return given_up >= 2; });
      return;
    }
    if (works) time.last = (tutti::deadline::max)(); // the server's stands
    for (int other = 0; other < 4 && works; ++other)
      if (other != world.rank() && other != silent) time.beside.push_back(&times[other]);
    try {
      works ? trainer.step(gradient) : trainer.serve();
    } catch (const tutti::error&) {
      ++given_up;
      throw;
    }
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(a_server_that_does_not_answer_in_time_is_named_to_all) {
  for (const int silent : {0, 1}) {
    auto texts = waiting_for_a_server(silent);
    texts.erase(texts.begin() + silent);
    const std::string named = "(peer " + std::to_string(silent) + ")";
    BOOST_CHECK_MESSAGE(trial::all_contain(texts, "timeout") && trial::all_contain(texts, named),
                        "server " << silent << " is silent:" << trial::joined(texts));
  }
}

BOOST_AUTO_TEST_SUITE_END()
