// Servers and workers of unlike speed, in virtual time: nobody leads by more than the bound, every order of arrival
// comes to an end, and nobody is served less than another.
//
// Acceptance gives more: -- --steps 1000000 --orders 10000
#include "training/arguments.hpp"

#include <boost/test/unit_test.hpp>

#include <tutti/communicators/simulated.hpp>
#include <tutti/core/random.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(stragglers)

namespace {

/// So many steps of each worker, of as long as is drawn: many short ones, and some that are 200 times as long.
struct drawn_pace {
  std::uint64_t seed;
  double seconds(int worker, int step) const {
    tutti::random_stream draw{seed, std::uint32_t(step), std::uint64_t(worker)};
    const double as_a_rule = tutti::random_stream{seed, 0, std::uint64_t(worker)}.below(4) == 0 ? 3e-3 : 1e-3;
    return as_a_rule * (draw.below(20) == 0 ? 200 : .5 + double(draw.uniform()));
  }
};

struct lead {
  std::int64_t most = 0;    ///< steps by which one that began had left another behind
  std::int64_t missing = 0; ///< steps of another by which the parameters it began with were older than its own
  std::int64_t steps = 0;
};

/// Worker w adds one to every w-th value of each server's range, so parameters say which steps they hold.
lead farthest(std::uint64_t seed, tutti::star servers, int workers, int staleness, int steps) {
  lead out;
  const int first = servers.dedicated ? servers.servers : 0;
  std::vector<std::int64_t> pushed(static_cast<std::size_t>(workers));
  const drawn_pace pace{seed};
  (void)tutti::simulated::run(workers + first, {}, [&](auto& comm) {
    const int me = comm.rank() - first;
    std::vector<double> values(std::size_t(workers) * std::size_t(servers.servers)), ones(values.size());
    for (std::size_t k = 0; k < values.size(); ++k) ones[k] = int(k) % workers == me ? -1 : 0;
    tutti::strategy strategy{comm, servers, tutti::sum{}, tutti::asynchronous{.staleness = staleness}};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1});
    if (trainer.role() == tutti::role::server) trainer.serve();
    for (int step = 0; step < steps && me >= 0; ++step) {
      out.most = (std::max)(out.most, step - *std::min_element(pushed.begin(), pushed.end()));
      out.missing = (std::max)(out.missing, step - std::int64_t(*std::min_element(values.begin(), values.end())));
      comm.compute(pace.seconds(me, step));
      ++pushed[std::size_t(me)];
      ++out.steps;
      trainer.step(ones);
    }
    if (me >= 0) pushed[std::size_t(me)] = tutti::no_worker;
    trainer.finalize();
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_bound_is_never_exceeded_and_without_one_it_is) {
  const std::int64_t wanted = std::stoll(argument("--steps", "10000"));
  const int bounds[] = {0, 1, 3, 10};
  std::int64_t steps = 0;
  for (std::uint64_t seed = 0; steps < wanted; ++seed) {
    const int bound = bounds[seed % 4], workers = 2 + int(seed % 5);
    const tutti::star servers{.servers = 1 + int(seed % 2), .dedicated = seed % 3 != 0};
    const lead got = farthest(seed, servers, workers, bound, 100);
    steps += got.steps;
    // Servers that work, too, and answer between two steps alone, may keep others from using all of it.
    const bool used = !servers.dedicated || (got.most == bound && got.missing == bound);
    BOOST_CHECK_MESSAGE(got.most <= bound && got.missing <= bound && used,
                        "seed " << seed << ": a worker began " << got.most << " steps ahead, its parameters lacked "
                                << got.missing << ", the bound is " << bound);
    if (seed % 4 != 0) continue;
    const lead free = farthest(seed, servers, workers, tutti::unbounded, 100);
    BOOST_CHECK_MESSAGE(free.most > 10 && free.missing > 10, "seed " << seed << ": without a bound " << free.most);
    steps += free.steps;
  }
  BOOST_TEST_MESSAGE(steps << " steps of workers, none too far ahead");
}

namespace {

/// Workers that arrive in an order of their own, and have unlike numbers of steps, or none; what is wrong.
template <class Policy>
std::string comes_to_an_end(std::uint64_t seed, const Policy& policy) {
  tutti::random_stream draw{seed};
  const int workers = 2 + int(draw.below(4)), dedicated = int(draw.below(3));
  const tutti::star servers{.servers = dedicated == 0 ? 1 + int(draw.below(2)) : dedicated, .dedicated = dedicated > 0};
  const drawn_pace pace{seed};
  std::vector<std::vector<double>> values(std::size_t(workers + dedicated), std::vector<double>(6));
  std::vector<int> steps;
  for (int w = 0; w < workers; ++w) steps.push_back(int(draw.below(7)));
  std::int64_t dropped = 0;
  try {
    (void)tutti::simulated::run(workers + dedicated, {}, [&](auto& comm) {
      const int me = comm.rank() - dedicated;
      auto& mine = values[std::size_t(comm.rank())];
      tutti::strategy strategy{comm, servers, tutti::sum{}, policy};
      auto trainer = strategy.bind(mine, tutti::sgd{.learning_rate = 1});
      if (trainer.role() == tutti::role::server) trainer.serve();
      for (int step = 0; me >= 0 && step < steps[std::size_t(me)]; ++step) {
        comm.compute(pace.seconds(me, step));
        trainer.step(std::vector<double>(6, -1));
      }
      trainer.finalize();
      dropped += trainer.dropped();
    });
  } catch (const std::exception& e) {
    return e.what();
  }
  double pushes = 0;
  for (const int n : steps) pushes += n;
  for (const auto& v : values)
    if (v != values[0]) return "ranks end with unlike parameters";
  // With one server a push is dropped or counts; with two, each may find it in time or late.
  for (const double v : values[0])
    if (servers.servers == 1 ? v != pushes - double(dropped) : v > pushes || v < pushes - double(dropped))
      return "of " + std::to_string(pushes) + " pushes " + std::to_string(dropped) + " were dropped, and " +
             std::to_string(v) + " count";
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(every_order_of_arrival_comes_to_an_end) {
  const std::uint64_t orders = std::stoull(argument("--orders", "200"));
  for (std::uint64_t seed = 0; seed < orders; ++seed) {
    const auto check = [&](const char* name, const auto& policy) {
      const std::string wrong = comes_to_an_end(seed, policy);
      BOOST_CHECK_MESSAGE(wrong.empty(), name << ", seed " << seed << ": " << wrong);
    };
    switch (seed % 8) {
    case 0: check("staleness 0", tutti::asynchronous{.staleness = 0}); break;
    case 1: check("staleness 1", tutti::asynchronous{.staleness = 1}); break;
    case 2: check("staleness 4", tutti::asynchronous{.staleness = 4}); break;
    case 3: check("unbounded", tutti::asynchronous{}); break;
    case 4: check("one backup worker", tutti::backup_workers{.spare = 1}); break;
    case 5: check("no backup worker", tutti::backup_workers{.spare = 0}); break;
    case 6: check("quorum of one", tutti::quorum{.min = 1, .grace = std::chrono::milliseconds{2}}); break;
    case 7: check("quorum of two", tutti::quorum{.min = 2}); break;
    }
  }
}

namespace {

/// How many steps each of equal workers makes in a second, while the server's link has more to do than it can.
std::vector<int> served(int workers, const tutti::simulated::machine& on, std::size_t n, auto&& before_step) {
  std::vector<int> steps(static_cast<std::size_t>(workers));
  (void)tutti::simulated::run(workers + 1, on, [&](auto& comm) {
    std::vector<float> values(n), ones(n, 1.0f);
    tutti::strategy strategy{comm, tutti::star{.servers = 1, .dedicated = true}, tutti::asynchronous{}};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1e-3});
    if (trainer.role() == tutti::role::server) trainer.serve();
    while (comm.rank() > 0 && tutti::now_of(comm).time_since_epoch() < std::chrono::milliseconds{500}) {
      comm.compute(1e-3);
      before_step(comm.rank());
      trainer.step(ones);
      ++steps[std::size_t(comm.rank() - 1)];
    }
    trainer.finalize();
  });
  return steps;
}

} // namespace

BOOST_AUTO_TEST_CASE(equal_workers_are_served_equally) {
  // A push takes .4 ms of the server's link, so eight workers that need 1 ms themselves keep it busy all the time.
  const auto steps = served(8, {.between = {.latency = 1e-5, .bandwidth = 1e7}}, 1000, [](int) {});
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
  BOOST_CHECK_MESSAGE(*least > 100 && *most <= 1.05 * *least, "from " << *least << " to " << *most << " steps");
}

// Its words are there, its values are still on their way.
BOOST_AUTO_TEST_CASE(a_push_that_takes_long_holds_up_nobody_else) {
  bool crawls = false;
  int messages = 0;
  const tutti::simulated::machine on{.link_of = [&](int from, int to) {
    const bool is_slow = crawls && from == 3 && to == 0 && ++messages % 2 == 0;
    return tutti::simulated::link{.latency = is_slow ? 10 : 1e-6, .bandwidth = HUGE_VAL};
  }};
  const auto plain = served(3, on, 100, [](int) {});
  const auto beside = served(3, on, 100, [&](int rank) { crawls = crawls || rank == 3; });
  BOOST_CHECK_EQUAL(beside[2], 1);
  BOOST_CHECK_GT(messages, 1);
  for (const std::size_t other : {0u, 1u}) BOOST_CHECK_EQUAL(beside[other], plain[other]);
}

BOOST_AUTO_TEST_SUITE_END()
