// The carrier of a parameter server by itself: what is pushed, answered and left at the end, and
// that it serves from within whatever its rank waits for.
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"

#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(serving_carrier)

namespace {

template <class Comm>
using parts_on = tutti::carrying_parts<Comm, tutti::star, tutti::sum, tutti::identity>;

const tutti::sum adds{};
const tutti::identity as_it_is{};

/// A carrier whose server adds pushes to its values, and throws at push number `fails_at`.
template <class Comm>
struct bench {
  struct adding {
    bench& of;
    void operator()(tutti::place where, std::span<const double> gradient) const {
      if (++of.pushes == of.fails_at) throw std::runtime_error{"the disk is full"};
      for (std::size_t i = 0; i < where.size(); ++i) of.values[where.begin + i] += gradient[i];
    }
  };
  using carrier = tutti::serving<double, Comm, tutti::star, tutti::sum, tutti::identity>;

  bench(Comm& world, const tutti::star& placed, std::size_t n, int staleness,
        std::chrono::milliseconds timeout = std::chrono::seconds{20})
      : servers{placed},
        values(n), carried{std::make_unique<carrier>(
                       parts_on<Comm>{world, servers, adds, as_it_is, {.timeout = timeout}}, n,
                       tutti::detail::closing_answer{tutti::asynchronous{.staleness = staleness}})} {
    carried->attach(values, use);
  }

  /// Pushes `g` everywhere; what the first and the last value are then.
  double step(double g, bool counts = true) {
    const auto room = carried->room(0);
    std::fill(room.begin(), room.end(), g);
    const double weights[] = {counts ? 1.0 : 0.0};
    carried->offer(0, weights);
    carried->settle(0);
    return room.empty() ? 0 : room.back();
  }
  bool ends_with(double v) {
    carried->finish();
    for (const double x : carried->room(0))
      if (x != v) return false;
    return true;
  }
  bool works() const { return carried->role() != tutti::role::server; }

  int pushes = 0, fails_at = -1;
  tutti::star servers;
  std::vector<double> values;
  adding use{*this};
  std::unique_ptr<carrier> carried;
};

using threads_body = tutti::threads::detail::endpoint<tutti::threads::spin_then_sleep>;
using on_threads_bench = bench<threads_body>;

/// What every rank catches, or "none".
template <class Body>
std::vector<std::string> told(int ranks, Body&& body) {
  std::vector<std::string> out(std::size_t(ranks), "none");
  try {
    tutti::threads::run(ranks, [&](auto& world) {
      try {
        body(world);
      } catch (const std::exception& e) {
        out[std::size_t(world.rank())] = e.what();
        throw;
      }
    });
  } catch (const std::exception&) {
  }
  return out;
}
std::string lines(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& t : texts) out += "\n  " + t;
  return out;
}
bool all_none(const std::vector<std::string>& texts) {
  for (const std::string& t : texts)
    if (t != "none") return false;
  return true;
}
void require(bool right, const char* what) {
  if (!right) throw std::logic_error{what};
}

/// The clock of this rank goes on while it and `others` wait.
void hurry(own_time* times, int rank, std::initializer_list<int> others) {
  for (const int other : others) times[rank].beside.push_back(&times[other]);
  times[rank].last = (tutti::deadline::max)();
}

const tutti::star layouts[] = {
    {}, {.servers = 3}, {.servers = 1, .dedicated = true}, {.servers = 2, .dedicated = true}};

} // namespace

BOOST_AUTO_TEST_CASE(every_push_counts_once_and_training_goes_on_after_the_end) {
  for (const tutti::star& servers : layouts)
    for (const int staleness : {0, 2, tutti::unbounded})
      for (const std::size_t n :
           {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{1000}}) {
        const auto texts = told(4, [&](auto& world) {
          on_threads_bench all{world.inner(), servers, n, staleness};
          const int workers = servers.dedicated ? 4 - servers.servers : 4;
          double wanted = 0;
          for (int epoch = 1; epoch <= 3; ++epoch) {
            for (int k = 0; all.works() && k < 5 + epoch; ++k) all.step(1, k != 2);
            if (!all.works() && epoch != 2) all.carried->serve();
            wanted += (4 + epoch) * workers;
            require(all.ends_with(wanted), "a push was lost, or counted twice");
          }
        });
        BOOST_CHECK_MESSAGE(all_none(texts), servers.servers << " servers, dedicated "
                                                             << servers.dedicated << ", staleness "
                                                             << staleness << ", n " << n
                                                             << lines(texts));
      }
}

BOOST_AUTO_TEST_CASE(what_is_answered_holds_the_step_itself_and_nothing_later_of_its_own_server) {
  const auto texts = told(3, [](auto& world) {
    on_threads_bench all{world.inner(), {.servers = 3}, 7, 0};
    for (int k = 1; k <= 50; ++k) require(all.step(1) == 3 * k, "an answer is not of this step");
    require(all.ends_with(150), "the end");
  });
  BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
}

BOOST_AUTO_TEST_CASE(owners_have_their_key_range_and_others_nothing) {
  const auto texts = told(4, [](auto& world) {
    on_threads_bench all{world.inner(), {.servers = 2, .dedicated = true}, 9, 0};
    const tutti::place own = all.carried->owned(0);
    const tutti::place wanted[] = {{0, 5}, {5, 9}, {}, {}};
    require(own == wanted[world.rank()], "a key range is another one");
    require(all.carried->role() == (world.rank() < 2 ? tutti::role::server : tutti::role::worker),
            "role");
    require(all.carried->serves() && !all.carried->waits() && !all.carried->weighs(), "facts");
    require(all.carried->room(0).size() == 9, "room");
  });
  BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
}

// A server that works as well sits in an all_reduce while others still push to it, as often as they
// like.
BOOST_AUTO_TEST_CASE(a_server_answers_from_within_any_other_wait) {
  for (const tutti::star& servers : layouts)
    for (const int staleness : {3, tutti::unbounded}) {
      const auto texts = told(4, [&](auto& world) {
        on_threads_bench all{world.inner(), servers, 100, staleness};
        double pushed = 0;
        for (int epoch = 0; epoch < 5; ++epoch) {
          const int steps = staleness == 3 ? epoch % 3 : epoch + 3 * world.rank();
          for (int k = 0; all.works() && k < steps; ++k) all.step(1), ++pushed;
          std::vector<double> evaluated(3, 1);
          if (epoch % 2 == 0)
            tutti::all_reduce(world, evaluated);
          else
            tutti::all_reduce(world, evaluated, tutti::ring{});
          require(evaluated[2] == 4, "a sum is wrong");
        }
        std::vector<double> total(1, pushed);
        tutti::all_reduce(world, total);
        require(all.ends_with(total[0]), "a push was lost, or counted twice");
      });
      BOOST_CHECK_MESSAGE(all_none(texts), servers.servers << " servers, dedicated "
                                                           << servers.dedicated << ", staleness "
                                                           << staleness << lines(texts));
    }
}

BOOST_AUTO_TEST_CASE(many_train_side_by_side_on_one_world) {
  const auto texts = told(3, [](auto& world) {
    on_threads_bench one{world.inner(), {.servers = 2}, 50, 0};
    on_threads_bench other{world.inner(), {.servers = 1, .dedicated = true}, 60, tutti::unbounded};
    for (int k = 0; k < 20; ++k) {
      one.step(1);
      if (other.works()) other.step(2);
    }
    require(one.ends_with(60) && other.ends_with(80), "the end");
  });
  BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
}

// Who drops a carrier without the end has what it has; the communicator goes on.
BOOST_AUTO_TEST_CASE(one_that_is_dropped_leaves_the_communicator_as_it_was) {
  for (const int steps : {0, 4}) {
    const auto texts = told(3, [&](auto& world) {
      for (int again = 0; again < 3; ++again) {
        on_threads_bench all{world.inner(), {.servers = 2}, 300, tutti::unbounded};
        for (int k = 0; k < steps; ++k) all.step(1);
        std::vector<int> meeting(1, 1);
        tutti::all_reduce(world, meeting);
      }
      std::vector<int> meeting(1, 1);
      tutti::all_reduce(world, meeting);
      require(meeting[0] == 3, "a sum is wrong");
    });
    BOOST_CHECK_MESSAGE(all_none(texts), steps << " steps" << lines(texts));
  }
}

// Nor is anybody missed by a server that ends as well.
BOOST_AUTO_TEST_CASE(all_may_drop_it_and_go_each_in_its_own_time) {
  for (int again = 0; again < 20; ++again) {
    const auto texts = told(4, [&](auto& world) {
      auto rest = world.split(world.rank() == 3, 0);
      {
        on_threads_bench all{world.inner(), {.servers = 2}, 10, tutti::unbounded};
        for (int k = 0; k < 3; ++k) all.step(1);
        std::vector<int> meeting(1, 1);
        tutti::all_reduce(world, meeting);
        if (world.rank() == 0)
          wait_until([&] { return world.has_left(3); });
      }
      if (world.rank() == 3) return;
      std::vector<int> meeting(1, 1);
      tutti::all_reduce(rest, meeting);
      (void)world.progress();
    });
    BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
  }
}

// After the end anybody may go, at any time; the others' servers go on to be moved by what they
// wait for.
BOOST_AUTO_TEST_CASE(who_has_finished_may_leave_while_servers_are_still_there) {
  for (const tutti::star& servers : layouts) {
    const auto texts = told(4, [&](auto& world) {
      auto rest = world.split(world.rank() == 3, 0);
      on_threads_bench all{world.inner(), servers, 30, 1};
      for (int k = 0; all.works() && k < 3; ++k) all.step(1);
      all.carried->finish();
      if (world.rank() == 3) return;
      wait_until([&] { return world.has_left(3); });
      for (int k = 0; k < 100; ++k) world.in_flight().step();
      std::vector<int> meeting(1, 1);
      tutti::all_reduce(rest, meeting);
      require(meeting[0] == 3, "a sum is wrong");
    });
    BOOST_CHECK_MESSAGE(all_none(texts), servers.servers << " servers, dedicated "
                                                         << servers.dedicated << lines(texts));
  }
}

BOOST_AUTO_TEST_CASE(who_has_left_is_missed_by_those_who_train_on) {
  for (const tutti::star& servers : layouts) {
    const auto texts = told(4, [&](auto& world) {
      on_threads_bench all{world.inner(), servers, 30, 1};
      for (int k = 0; all.works() && k < 3; ++k) all.step(1);
      all.carried->finish();
      if (world.rank() == 3) return;
      if (!all.works()) all.carried->serve();
      for (;;) all.step(1);
    });
    for (int r = 0; r < 3; ++r)
      BOOST_CHECK_MESSAGE(
          texts[std::size_t(r)].find("peer_lost on rank " + std::to_string(r) +
                                     " (peer 3): "
                                     "rank 3 has left without finalize() - call it on every "
                                     "rank after its last step") != std::string::npos,
          servers.servers << " servers, dedicated " << servers.dedicated << lines(texts));
  }
}

BOOST_AUTO_TEST_CASE(workers_are_told_that_a_server_is_gone) {
  const auto texts = told(3, [](auto& world) {
    std::optional<on_threads_bench> all{std::in_place, world.inner(), tutti::star{.servers = 1},
                                        30u, tutti::unbounded};
    all->step(1);
    if (world.rank() == 0) all.reset();
    if (world.rank() == 0) return;
    for (;;) all->step(1);
  });
  for (const int r : {1, 2})
    BOOST_CHECK_MESSAGE(
        texts[std::size_t(r)].find("(peer 0): rank 0 has left") != std::string::npos, lines(texts));
}

BOOST_AUTO_TEST_CASE(what_fails_while_a_push_is_applied_fails_everybody) {
  for (const tutti::star& servers : layouts) {
    std::atomic<int> causes{0};
    const auto texts = told(4, [&](auto& world) {
      on_threads_bench all{world.inner(), servers, 30, 1};
      if (world.rank() == 0) all.fails_at = 5;
      try {
        if (!all.works()) all.carried->serve();
        for (;;) all.step(1);
      } catch (const std::runtime_error& e) {
        causes += std::string{e.what()} == "the disk is full";
        throw;
      }
    });
    BOOST_CHECK_EQUAL(causes, 1);
    for (int r = 1; r < 4; ++r)
      BOOST_CHECK_MESSAGE(texts[std::size_t(r)].find("peer_lost") != std::string::npos &&
                              texts[std::size_t(r)].find("(peer 0)") != std::string::npos,
                          servers.servers << " servers, dedicated " << servers.dedicated
                                          << lines(texts));
  }
}

BOOST_AUTO_TEST_CASE(a_message_that_is_no_push_is_refused_on_all_ranks) {
  struct strange {
    std::uint64_t kind, clock;
    double weight = 1;
  };
  for (const strange head : {strange{5, 1}, strange{0, 1}, strange{1, 2}, strange{2, 0}, strange{1, 1, -1},
                             strange{1, 1, std::numeric_limits<double>::quiet_NaN()}}) {
    const auto texts = told(3, [&](auto& world) {
      on_threads_bench all{world.inner(), {.servers = 1, .dedicated = true}, 5, 0};
      if (world.rank() == 0) all.carried->serve();
      if (world.rank() == 1) all.step(1);
      const std::vector<double> gradient(5);
      const tutti::outgoing to[] = {{0, std::as_bytes(std::span{&head, 1})}, {0, std::as_bytes(std::span{gradient})}};
      auto sending =
          world.exchange(tutti::host_execution{}, tutti::operations::channel_count, {to, {}});
      tutti::detail::complete(world, sending, "test", tutti::options{}.until(tutti::clock::now()));
      std::vector<int> meeting(1);
      tutti::all_reduce(world, meeting);
    });
    for (const std::string& t : texts)
      BOOST_CHECK_MESSAGE(
          t.find("bad_data") != std::string::npos && t.find("(peer 2)") != std::string::npos &&
              t.find("a push of rank 2 is not what this server expects") != std::string::npos,
          head.kind << " at " << head.clock << lines(texts));
  }
}

BOOST_AUTO_TEST_CASE(a_worker_that_does_not_push_in_time_is_named_to_all) {
  for (const bool dedicated : {false, true}) {
    std::atomic<int> bound{0}, given_up{0};
    own_time times[4];
    const auto texts = told(4, [&](auto& ranks) {
      on_own_clock world{ranks, times[ranks.rank()]};
      bench all{world, {.servers = 1, .dedicated = dedicated}, 5, 0, std::chrono::milliseconds{100}};
      ++bound;
      wait_until([&] { return bound == 4; });
      if (world.rank() == 2) return wait_until([&] { return given_up >= 3; });
      if (world.rank() == 0) hurry(times, 0, {1, 3});
      try {
        if (!all.works()) all.carried->serve();
        for (;;) all.step(1);
      } catch (const tutti::error&) {
        ++given_up;
        throw;
      }
    });
    for (const int r : {0, 1, 3})
      BOOST_CHECK_MESSAGE(texts[std::size_t(r)].find("timeout") != std::string::npos &&
                              texts[std::size_t(r)].find("(peer 2)") != std::string::npos &&
                              texts[std::size_t(r)].find("raise tutti::options::timeout") !=
                                  std::string::npos,
                          "dedicated " << dedicated << lines(texts));
  }
}

// The worker runs out of patience and names its server, which names whom it waits for itself.
BOOST_AUTO_TEST_CASE(a_server_that_waits_for_somebody_itself_names_that_one) {
  std::atomic<int> bound{0}, given_up{0};
  own_time times[4];
  const auto texts = told(4, [&](auto& ranks) {
    on_own_clock world{ranks, times[ranks.rank()]};
    bench all{world, {.servers = 1, .dedicated = true}, 5, 0, std::chrono::milliseconds{100}};
    ++bound;
    wait_until([&] { return bound == 4; });
    if (world.rank() == 3) return wait_until([&] { return given_up >= 3; });
    if (world.rank() == 1) hurry(times, 1, {0, 2});
    try {
      if (!all.works()) all.carried->serve();
      for (;;) all.step(1);
    } catch (const tutti::error&) {
      ++given_up;
      throw;
    }
  });
  BOOST_CHECK_MESSAGE(texts[1].find("timeout on rank 1 (peer 0)") != std::string::npos,
                      lines(texts));
  BOOST_CHECK_MESSAGE(texts[0].find("timeout on rank 0 (peer 3)") != std::string::npos,
                      lines(texts));
}

BOOST_AUTO_TEST_CASE(serve_is_for_those_who_do_nothing_else) {
  const auto texts = told(3, [](auto& world) {
    on_threads_bench all{world.inner(), {.servers = 1, .dedicated = true}, 5, 0};
    std::string text = "none";
    try {
      if (all.works()) all.carried->serve();
    } catch (const tutti::error& e) {
      text = e.what();
    }
    const std::string wanted = "tutti: serve: invalid_argument on rank " +
                               std::to_string(world.rank()) +
                               ": this rank is not a server - call step()";
    require(text == (all.works() ? wanted : "none"), "serve() on a worker");
    all.carried->finish();
    on_threads_bench both{world.inner(), {}, 5, 0};
    try {
      if (world.rank() == 0) both.carried->serve();
      require(world.rank() != 0, "serve() on a rank that works");
    } catch (const tutti::error& e) {
      require(std::string{e.what()}.find(
                  "this rank works as well, and serves while it waits - call step()") !=
                  std::string::npos,
              "the sentence");
    }
    both.carried->finish();
  });
  BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
}

BOOST_AUTO_TEST_CASE(alone_a_rank_serves_itself) {
  tutti::self alone;
  bench<tutti::detail::self_endpoint> all{alone.inner(), {}, 4, 0};
  for (int k = 1; k <= 3; ++k) BOOST_CHECK_EQUAL(all.step(2), 2 * k);
  BOOST_CHECK(all.ends_with(6));
  BOOST_CHECK_EQUAL(all.step(1), 7);
  BOOST_CHECK(all.ends_with(7));
}

// A communicator that ends first does not wait for a server that nobody ends.
BOOST_AUTO_TEST_CASE(a_communicator_may_end_before_it) {
  const auto texts = told(2, [](auto& world) {
    auto ends_first = std::make_unique<tutti::threads::communicator>(world.split(0, 0));
    on_threads_bench all{ends_first->inner(), {}, 4, 0};
    all.carried->finish();
    tutti::operations& what = ends_first->in_flight();
    require(what.count() == (world.rank() == 0 ? 1u : 0u), "a server is in flight");
    what.end();
    require(what.count() == 0, "nothing is in flight any more");
  });
  BOOST_CHECK_MESSAGE(all_none(texts), lines(texts));
}

BOOST_AUTO_TEST_SUITE_END()
