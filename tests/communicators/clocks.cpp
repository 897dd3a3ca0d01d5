// Deadlines are times of the communicator's own clock: of calls, of what is in flight, of training steps.
#include "communicators/on_threads.hpp"
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"

#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

BOOST_AUTO_TEST_SUITE(clocks)

namespace {

const tutti::options patient{.timeout = std::chrono::milliseconds{250}};
constexpr tutti::deadline never = (tutti::deadline::max)();

using ranks = tutti::threads::communicator;
static_assert(tutti::direct_access_communicator<on_own_clock<ranks&>>);

/// Says so when a rank is through, however that came.
struct when_through {
  std::atomic<bool>& over;
  ~when_through() { over = true; }
};
void wait_for(const std::atomic<bool>& over) {
  wait_until([&] { return bool(over); });
}

/// `call()` of a rank whose peer does not take part.
template <class Call>
void expires(own_time& time, int peer, report& r, const std::string& name, Call&& call) {
  const tutti::deadline begin = time.now;
  time.last = never;
  try {
    call();
    r.check(false, name + " was complete");
  } catch (const tutti::error& e) {
    r.check(e.code() == tutti::error_code::timeout && e.peer() == peer, name + ": " + e.what());
  }
  r.check(time.now == begin + patient.timeout, name + " did not expire at its deadline");
}

template <class Call>
void a_call_expires(const std::string& name, Call&& call) {
  std::atomic<bool> over{false};
  on_threads(2, [&](ranks& world, report& r) {
    own_time time;
    on_own_clock comm{world, time};
    if (comm.rank() == 1) return wait_for(over);
    const when_through said{over};
    expires(time, 1, r, name, [&] { call(comm); });
  });
}

/// Rank 1 comes when rank 0 has waited for it a thousand times, and its clock stands one tick before the deadline.
template <class Call>
void a_call_waits(const std::string& name, Call&& call) {
  own_time times[2];
  times[0].last = times[0].now + patient.timeout - tutti::clock::duration{1};
  const tutti::deadline last = times[0].last;
  std::atomic<bool> over{false};
  on_threads(2, [&](ranks& world, report& r) {
    own_time& time = times[world.rank()];
    on_own_clock comm{world, time};
    const when_through said{over};
    if (comm.rank() == 1) wait_until([&] { return times[0].waits >= 1000 || over; });
    try {
      call(comm);
    } catch (const tutti::error& e) {
      r.check(false, name + ": " + e.what());
    }
    r.check(comm.rank() == 1 || time.now == last, name + ": the clock did not come to its deadline");
  });
}

template <class Call>
void by_its_own_clock(const std::string& name, Call&& call) {
  a_call_expires(name, call);
  a_call_waits(name, call);
}

/// Rank `idle` does not take part in the step of the other one.
template <class... Parts>
void a_step_expires(const std::string& name, int idle, Parts... parts) {
  std::atomic<bool> bound{false}, over{false};
  on_threads(2, [&](ranks& world, report& r) {
    own_time time; // stands still: what is bound is waited for
    on_own_clock comm{world, time};
    std::vector<float> values(20), gradients(20, 1.0f);
    tutti::strategy strategy{comm, parts..., patient};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1});
    if (comm.rank() == idle) {
      bound = true;
      return wait_for(over);
    }
    const when_through said{over};
    wait_for(bound);
    expires(time, idle, r, name, [&] { trainer.step(gradients); });
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(without_one_it_is_the_steady_clock) {
  tutti::self alone;
  const auto before = tutti::clock::now();
  const tutti::deadline now = tutti::now_of(alone);
  BOOST_CHECK(before <= now && now <= tutti::clock::now());
}

BOOST_AUTO_TEST_CASE(decorators_pass_it_on) {
  tutti::self alone;
  own_time time;
  on_own_clock own{alone, time};
  tutti::counted counted{own};
  tutti::traced traced{counted};
  tutti::checked checked{traced};
  tutti::faulty faulty{checked, tutti::fault{.rank = -1}};
  time.now += std::chrono::hours{1};
  BOOST_CHECK(tutti::now_of(faulty) == time.now);
}

BOOST_AUTO_TEST_CASE(calls_expire_by_their_communicators_clock) {
  by_its_own_clock("all_reduce, without messages", [](auto& comm) {
    std::vector<float> x(5, 1.0f);
    tutti::all_reduce(comm, x, tutti::direct{}, patient);
  });
  by_its_own_clock("all_reduce, by messages", [](auto& comm) {
    std::vector<float> x(5, 1.0f);
    tutti::all_reduce(comm, x, tutti::ring{}, patient);
  });
  by_its_own_clock("barrier", [](auto& comm) { tutti::barrier(comm, patient); });
  by_its_own_clock("a request", [](auto& comm) {
    std::vector<float> x(5, 1.0f), y(5, 1.0f);
    auto first = tutti::async_all_reduce(comm, x, tutti::ring{}, patient);
    auto second = tutti::async_all_reduce(comm, y, tutti::direct{}, patient);
    second.wait();
    first.wait();
  });
  by_its_own_clock("what is checked", [](auto& comm) {
    tutti::checked careful{comm, patient};
    std::vector<float> x(5, 1.0f);
    tutti::all_reduce(careful, x, patient);
  });
}

BOOST_AUTO_TEST_CASE(steps_expire_by_their_communicators_clock) {
  a_step_expires("synchronous", 1, tutti::direct{});
  a_step_expires("synchronous, by messages", 1, tutti::ring{});
  a_step_expires("asynchronous", 0, tutti::star{.servers = 1, .dedicated = true}, tutti::asynchronous{});
}

BOOST_AUTO_TEST_CASE(traced_takes_the_time_of_that_clock) {
  a_call_expires("a traced call", [](auto& comm) {
    tutti::traced timed{comm};
    try {
      std::vector<float> x(5, 1.0f);
      tutti::all_reduce(timed, x, tutti::ring{}, patient);
    } catch (const tutti::error&) {
      if (timed.seconds() != std::chrono::duration<double>(patient.timeout).count())
        throw std::runtime_error{"it took " + std::to_string(timed.seconds()) + " s"};
      throw;
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
