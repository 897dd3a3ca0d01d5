// Operations in sequence that are one request: what they leave, in which order, and how they end.
#include "communicators/on_threads.hpp"
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"

#include <tutti/collectives/chain.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(chains)

namespace {

namespace detail = tutti::detail;
using ranks = tutti::threads::communicator;
using floats = std::vector<float>;

const tutti::options patient{.timeout = std::chrono::milliseconds{250}};

std::unique_ptr<tutti::operation> scattered(auto& comm, floats& x, const auto&... parts) {
  return detail::reduce_checked_later<tutti::collective::reduce_scatter, detail::starts::again>(
      detail::called{"reduce_scatter", comm}, x, parts...);
}
std::unique_ptr<tutti::operation> gathered(auto& comm, floats& x, const auto&... parts) {
  return detail::start_all_gather(comm, detail::is_kept(comm), x, parts...);
}
std::unique_ptr<tutti::operation> reduced(auto& comm, floats& x, const auto&... parts) {
  return detail::all_reduce_later<detail::starts::again>(comm, x, parts...);
}

/// An all_reduce of x in two stages, the own shard doubled between them.
template <class Request>
Request doubled(auto& comm, floats& x, const auto&... parts) {
  const auto ready = [&comm, &x](std::size_t k) {
    const tutti::shard mine = tutti::shard_of(x.size(), comm.rank(), comm.size());
    for (std::size_t i = mine.begin; k == 1 && i < mine.end; ++i) x[i] *= 2;
  };
  return {detail::chain_of(comm, ready, scattered(comm, x, parts...), gathered(comm, x, parts...)),
          comm.in_flight()};
}
floats some(int rank, std::size_t n) {
  floats x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = float(rank + 1) * float(i % 11);
  return x;
}
/// Whether x is `factor` times the sum of what all ranks had.
bool is_sum(const floats& x, int size, float factor) {
  bool right = true;
  for (std::size_t i = 0; i < x.size(); ++i)
    right = right && x[i] == factor * float(size * (size + 1) / 2) * float(i % 11);
  return right;
}

/// What each rank is told, or has thrown itself, when body(comm) has been left.
template <class Body>
std::vector<std::string> told(int size, Body&& body) {
  std::vector<std::string> texts(std::size_t(size), "none");
  tutti::threads::run(size, [&](ranks& world) {
    try {
      body(world);
    } catch (const std::exception& e) {
      texts[std::size_t(world.rank())] = e.what();
    }
  });
  return texts;
}
void expect(const std::vector<std::string>& texts, int rank, const std::string& wanted) {
  const std::string& text = texts[std::size_t(rank)];
  BOOST_CHECK_MESSAGE(text.find(wanted) != std::string::npos,
                      "rank " << rank << ": \"" << text << "\" - wanted \"" << wanted << "\"");
}

} // namespace

BOOST_AUTO_TEST_CASE(stages_leave_what_they_leave_one_by_one) {
  for (const int size : {1, 2, 3, 5})
    on_threads(size, [](ranks& world, report& r) {
      tutti::counted by_messages{world};
      for (const std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{1000}, std::size_t{70000}}) {
        floats x = some(world.rank(), n), y = x;
        doubled<tutti::request>(world, x, tutti::direct{}).wait();
        doubled<tutti::request>(by_messages, y, tutti::ring{}).wait();
        r.check(is_sum(x, world.size(), 2), [&] { return std::to_string(n) + " floats in shared memory are wrong"; });
        r.check(is_sum(y, world.size(), 2), [&] { return std::to_string(n) + " floats by messages are wrong"; });
      }
    });
}

BOOST_AUTO_TEST_CASE(a_rank_is_ready_before_each_stage_and_behind_the_last) {
  on_threads(2, [](ranks& world, report& r) {
    floats a(4, 1.0f), b(4), c(4);
    std::string order;
    const auto ready = [&](std::size_t k) {
      order += std::to_string(k);
      if (k == 1) b = a; // what a stage works on is what was agreed on in the one before
      if (k == 2) c = b;
    };
    tutti::request whole{detail::chain_of(world, ready, reduced(world, a), reduced(world, b, tutti::ring{}),
                                          reduced(world, c, tutti::direct{})),
                         world.in_flight()};
    wait_until([&] { return whole.test(); });
    r.check(order == "0123", "it was ready in the order " + order);
    r.check(a[3] == 2 && b[3] == 4 && c[3] == 8, "a stage has worked on something else");
  });
}

BOOST_AUTO_TEST_CASE(what_is_started_between_two_stages_is_behind_them_on_every_rank) {
  on_threads(3, [](ranks& world, report& r) {
    for (int turn = 0; turn < 20; ++turn) {
      floats x = some(world.rank(), 500), y = x, z = x, v = x;
      auto first = doubled<tutti::request>(world, x, tutti::direct{});
      if ((turn + world.rank()) % 2 == 0) (void)first.test(); // ranks are at other stages
      auto second = tutti::async_all_reduce(world, y, tutti::direct{});
      auto third = doubled<tutti::request>(world, z, tutti::ring{});
      if ((turn + world.rank()) % 3 == 0) second.wait();
      tutti::all_reduce(world, v);
      if (world.rank() == turn % 3) third.wait();
      first.wait();
      second.wait();
      third.wait();
      r.check(is_sum(x, 3, 2) && is_sum(y, 3, 1) && is_sum(z, 3, 2) && is_sum(v, 3, 1),
              [&] { return "in turn " + std::to_string(turn) + " a result is wrong"; });
    }
  });
}

BOOST_AUTO_TEST_CASE(a_chain_is_started_again) {
  on_threads(3, [](ranks& world, report& r) {
    tutti::checked careful{world};
    floats x(1000), y(1000);
    auto often = doubled<tutti::persistent_request>(careful, x, tutti::direct{});
    auto too = doubled<tutti::persistent_request>(careful, y, tutti::ring{});
    for (int k = 0; k < 3; ++k) {
      const floats given = some(world.rank(), 1000);
      x = given;
      y = given;
      often.start();
      too.start();
      too.wait();
      often.wait();
      r.check(is_sum(x, 3, 2) && is_sum(y, 3, 2), [&] { return "start " + std::to_string(k) + " is wrong"; });
    }
  });
}

BOOST_AUTO_TEST_CASE(what_is_thrown_between_two_stages_ends_it_everywhere) {
  for (const std::size_t stage : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    const auto texts = told(3, [&](ranks& world) {
      floats x(1000), y(1000);
      const auto ready = [&](std::size_t k) {
        if (k == stage && world.rank() == 1) throw std::runtime_error{"a rank of its own"};
      };
      tutti::request whole{detail::chain_of(world, ready, scattered(world, x), reduced(world, y)),
                           world.in_flight()};
      whole.wait();
      tutti::barrier(world); // behind the last stage it is too late for the others to hear of it before
    });
    expect(texts, 1, "a rank of its own");
    for (const int other : {0, 2}) expect(texts, other, "rank 1 could not begin a call");
  }
}

BOOST_AUTO_TEST_CASE(a_failure_of_a_stage_is_that_of_the_chain) {
  const auto texts = told(2, [](ranks& world) {
    tutti::counted by_messages{world};
    floats x(4), y(world.rank() == 0 ? 4 : 5);
    tutti::request whole{detail::chain_of(by_messages, [](std::size_t) {}, scattered(by_messages, x, tutti::ring{}),
                                          reduced(by_messages, y, tutti::ring{})),
                         by_messages.in_flight()};
    whole.wait();
  });
  for (const int rank : {0, 1}) expect(texts, rank, "give all ranks the same lengths and types");
}

BOOST_AUTO_TEST_CASE(a_chain_that_is_dropped_while_unwinding_is_given_up) {
  for (const bool shared : {false, true}) {
    const auto texts = told(2, [&](ranks& world) {
      tutti::decorator<ranks&> by_messages{world};
      floats x(1000), y(1000);
      const auto drop = [&](auto& comm, const auto& topology) {
        const bool leaves = comm.rank() == 1;
        bool between = false;
        const auto ready = [&](std::size_t k) { between = k == 1; };
        tutti::request whole{detail::chain_of(comm, ready, scattered(comm, x, topology), reduced(comm, y, topology)),
                             comm.in_flight()};
        if (leaves) wait_until([&] { return between || whole.test(); });
        if (leaves) throw std::runtime_error{"out of here"};
        whole.wait();
        tutti::barrier(comm);
      };
      shared ? drop(world, tutti::direct{}) : drop(by_messages, tutti::ring{});
    });
    expect(texts, 1, "out of here");
    expect(texts, 0, "peer_lost");
    expect(texts, 0, "(peer 1)");
  }
}

// Rank 1 is not ready for the second stage. Until then 100 ms have passed.
BOOST_AUTO_TEST_CASE(all_stages_have_one_deadline) {
  for (const bool shared : {false, true}) {
    std::atomic<bool> over{false};
    on_threads(2, [&](ranks& world, report& r) {
      own_time time;
      on_own_clock comm{world, time};
      const tutti::deadline begin = time.now;
      floats x(1000), y(1000);
      const auto ready = [&](std::size_t k) {
        if (k == 1 && comm.rank() == 1) wait_until([&] { return bool(over); });
        if (k != 1 || comm.rank() == 1) return;
        time.now += std::chrono::milliseconds{100};
        time.last = (tutti::deadline::max)();
      };
      const auto expires = [&](const auto& topology) {
        tutti::request whole{detail::chain_of(comm, ready, scattered(comm, x, topology, patient),
                                              reduced(comm, y, topology, patient)),
                             comm.in_flight()};
        whole.wait();
      };
      try {
        shared ? expires(tutti::direct{}) : expires(tutti::ring{});
        r.check(false, "it was complete");
      } catch (const tutti::error& e) {
        r.check(e.code() == tutti::error_code::timeout, e.what());
        if (comm.rank() == 0) r.check(e.peer() == 1, e.what());
      }
      if (comm.rank() == 0) r.check(time.now == begin + patient.timeout, "it did not expire at its deadline");
      over = true;
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
