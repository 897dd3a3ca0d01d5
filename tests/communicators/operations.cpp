// What is in flight on a communicator, with operations that count how often they are looked at.
#include <tutti/communicators/request.hpp>
#include <tutti/communicators/reserved_channel.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

BOOST_AUTO_TEST_SUITE(operations_in_flight)

namespace {

/// Complete when it was looked at `looks` times; begins behind others of its kind when it `queues`.
struct countdown final : tutti::operation {
  explicit countdown(int& looked, int needed = 1, bool in_turn = false)
      : looks{looked}, left{needed}, queues{in_turn} {}

  void begin() override {}
  bool advance() override { return ++looks, --left <= 0; }
  std::uint64_t progress() override { return 0; }
  void idle(std::uint64_t) override { ++slept; }
  void check_deadline() override {}
  void abandon() noexcept override {}
  bool takes_turns() const noexcept override { return queues; }

  int& looks;
  int left;
  bool queues;
  int slept = 0;
};
/// Waits until `open` is.
struct gate final : tutti::operation {
  gate(bool& is_open, int& looked) : open{is_open}, looks{looked} {}
  void begin() override {}
  bool advance() override { return ++looks, open; }
  std::uint64_t progress() override { return 0; }
  void idle(std::uint64_t) override { open = true; } // when all rest there is one event
  void check_deadline() override {}
  void abandon() noexcept override {}

  bool& open;
  int& looks;
};
/// Never complete; begun on a channel.
struct on_channel final : tutti::operation {
  on_channel(tutti::operations& where, bool& is_open) : all{where}, open{is_open} {}
  void begin() override { channel = all.next_channel(); }
  bool advance() override { return open; }
  std::uint64_t progress() override { return 0; }
  void idle(std::uint64_t) override { open = true; }
  void check_deadline() override {}
  void abandon() noexcept override {}

  tutti::operations& all;
  bool& open;
  std::uint32_t channel = 0;
};

} // namespace

// 4,000 in flight, waited for in any order: a sum of looks that grows with their number, not its square.
BOOST_AUTO_TEST_CASE(what_is_in_flight_costs_those_who_wait_nothing) {
  for (const bool in_turn : {false, true})
    for (const bool backwards : {false, true}) {
      const int n = 4000;
      int looks = 0;
      tutti::operations all;
      std::vector<tutti::request> requests;
      for (int k = 0; k < n; ++k)
        requests.emplace_back(std::make_unique<countdown>(looks, 3, in_turn), all);
      for (int k = 0; k < n; ++k) requests[std::size_t(backwards ? n - 1 - k : k)].wait();
      BOOST_CHECK_MESSAGE(looks <= 64 * n, looks << " looks at " << n << " operations"
                                                 << (in_turn ? " in turn" : "")
                                                 << (backwards ? ", the last first" : ""));
      BOOST_CHECK_EQUAL(all.count(), 0u);
    }
}

BOOST_AUTO_TEST_CASE(testing_one_looks_at_few_others_and_gets_to_all) {
  const int n = 1000;
  int looks = 0;
  bool open = false;
  tutti::operations all;
  std::vector<tutti::request> requests;
  for (int k = 0; k < n; ++k) requests.emplace_back(std::make_unique<gate>(open, looks), all);
  looks = 0;
  BOOST_CHECK(!requests[500].test());
  BOOST_CHECK_MESSAGE(looks <= 64, looks << " looks for one test");
  open = true;
  for (int k = 0; k < n && all.pending(); ++k) (void)requests[0].test(), all.step();
  BOOST_CHECK_EQUAL(all.count(), 0u);
  for (auto& r : requests) BOOST_CHECK(r.test());
}

// Nobody sleeps before all were looked at since the last event: one of them may be what a peer waits for.
BOOST_AUTO_TEST_CASE(nobody_sleeps_before_all_have_been_looked_at) {
  const int n = 500;
  std::vector<int> looks(n, 0);
  bool open = false, other = false;
  tutti::operations all;
  std::vector<tutti::request> requests;
  for (int k = 0; k < n; ++k)
    requests.emplace_back(std::make_unique<gate>(k == 7 ? open : other, looks[std::size_t(k)]), all);
  for (int& l : looks) l = 0;
  requests[7].wait(); // its idle() opens the gate
  for (int k = 0; k < n; ++k) BOOST_CHECK_MESSAGE(looks[std::size_t(k)] > 0, "nobody looked at " << k);
  other = true;
}

// Those that take turns are not looked at before it is theirs, and the next one is at once.
BOOST_AUTO_TEST_CASE(those_that_wait_for_their_turn_are_left_alone) {
  int first = 0, others = 0;
  tutti::operations all;
  std::vector<tutti::request> requests;
  requests.emplace_back(std::make_unique<countdown>(first, 100, true), all);
  for (int k = 0; k < 50; ++k) requests.emplace_back(std::make_unique<countdown>(others, 1000, true), all);
  others = 0;
  for (int k = 0; k < 98; ++k) all.step();
  BOOST_CHECK_EQUAL(first, 99);
  BOOST_CHECK_EQUAL(others, 0);
  all.step();
  BOOST_CHECK_EQUAL(first, 100);
  all.step();
  BOOST_CHECK(others > 0);
  BOOST_CHECK_EQUAL(all.count(), 50u);
}

// A channel that is in use is not given again: what is started waits for the oldest.
BOOST_AUTO_TEST_CASE(channels_in_use_are_not_given_again) {
  const int n = int(tutti::operations::channel_count);
  std::vector<char> open(std::size_t(n) + 10, 0);
  std::vector<bool> gates(1);
  bool never = false, first = false;
  tutti::operations all;
  std::vector<tutti::request> requests;
  std::set<std::uint32_t> taken;
  for (int k = 0; k < n; ++k) {
    auto op = std::make_unique<on_channel>(all, k == 0 ? first : never);
    const on_channel& it = *op;
    requests.emplace_back(std::move(op), all);
    taken.insert(it.channel);
  }
  BOOST_CHECK_EQUAL(taken.size(), std::size_t(n));
  BOOST_CHECK_EQUAL(all.count(), std::size_t(n));

  auto op = std::make_unique<on_channel>(all, never);
  const on_channel& next = *op;
  requests.emplace_back(std::move(op), all);
  BOOST_CHECK_MESSAGE(first, "the oldest was not waited for");
  BOOST_CHECK_EQUAL(next.channel, 0u);
  BOOST_CHECK_EQUAL(all.count(), std::size_t(n));
  BOOST_CHECK(requests[0].test());
  never = true;
}

namespace {

/// A server, say: in flight until it is taken out.
struct resident final : tutti::operation {
  void begin() override {}
  bool advance() override { return ++looks, false; }
  std::uint64_t progress() override { return 0; }
  void idle(std::uint64_t) override { waited_for = true; }
  void check_deadline() override {}
  void abandon() noexcept override { ++abandoned; }
  bool stays() const noexcept override { return true; }

  int looks = 0, abandoned = 0;
  bool waited_for = false;
};

} // namespace

// What stays is looked at whenever anything is waited for, holds no channel, and nobody waits for it.
BOOST_AUTO_TEST_CASE(what_stays_is_moved_on_and_never_waited_for) {
  resident server, left;
  int looks = 0;
  bool open = false;
  {
    tutti::operations all;
    for (resident* one : {&server, &left}) {
      all.start(*one);
      all.enter(*one);
    }
    tutti::request{std::make_unique<countdown>(looks, 3), all}.wait();
    BOOST_CHECK(server.looks > 0 && left.looks > 0);
    const int before = server.looks;
    for (std::uint32_t k = 0; k < 2 * tutti::operations::channel_count; ++k)
      tutti::request{std::make_unique<on_channel>(all, open), all}.wait();
    BOOST_CHECK(server.looks > before);
    BOOST_CHECK_EQUAL(all.count(), 2u);
    all.leave(left);
  }
  BOOST_CHECK_EQUAL(server.abandoned, 1);
  BOOST_CHECK_EQUAL(left.abandoned, 0);
  BOOST_CHECK(!server.waited_for && !left.waited_for);
}

BOOST_AUTO_TEST_CASE(a_reserved_channel_that_is_held_is_not_reserved_again) {
  tutti::operations all;
  const tutti::reserved_channel first{all};
  BOOST_CHECK_EQUAL(std::uint32_t{first}, tutti::operations::channel_count);
  for (std::uint32_t k = 1; k < tutti::operations::channel_count; ++k) tutti::reserved_channel{all};
  try {
    tutti::reserved_channel{all};
    BOOST_ERROR("the channel of the first was given again");
  } catch (const tutti::error& e) {
    BOOST_CHECK(e.code() == tutti::error_code::unsupported);
    BOOST_CHECK_MESSAGE(std::string{e.what()}.find("still holds this one") != std::string::npos, e.what());
  }
  BOOST_CHECK_EQUAL(std::uint32_t{tutti::reserved_channel{all}}, tutti::operations::channel_count + 1);
}

// Requests outlive what their communicator has in flight: they keep the outcome, and cannot be started.
BOOST_AUTO_TEST_CASE(operations_that_end_first_are_waited_for) {
  int looks = 0;
  auto all = std::make_unique<tutti::operations>();
  tutti::request once{std::make_unique<countdown>(looks, 10), *all};
  tutti::persistent_request often{std::make_unique<countdown>(looks, 5), *all};
  often.start();
  all.reset();
  BOOST_CHECK_EQUAL(looks, 15);
  BOOST_CHECK(once.test());
  often.wait();
  try {
    often.start();
    BOOST_ERROR("it was started without its communicator");
  } catch (const tutti::error& e) {
    BOOST_CHECK(e.code() == tutti::error_code::invalid_argument);
    BOOST_CHECK_MESSAGE(std::string{e.what()}.find("its communicator has ended") != std::string::npos,
                        e.what());
  }
}

BOOST_AUTO_TEST_CASE(while_unwinding_what_is_in_flight_is_abandoned) {
  bool never = false;
  int looks = 0;
  auto all = std::make_unique<tutti::operations>();
  tutti::request once{std::make_unique<gate>(never, looks), *all};
  try {
    const auto ends_here = std::move(all);
    throw 1;
  } catch (int) {
  }
  BOOST_CHECK_MESSAGE(!never, "it was waited for");
  BOOST_CHECK_EXCEPTION(once.wait(), tutti::error, [](const tutti::error& e) {
    return e.code() == tutti::error_code::peer_lost &&
           std::string{e.what()}.find("the communicator ended while this was in flight") != std::string::npos;
  });
}

// A request that is refused is as it was before: it is in flight, and can be waited for.
BOOST_AUTO_TEST_CASE(a_refusal_does_not_end_a_request) {
  bool open = false;
  int looks = 0;
  tutti::operations all;
  tutti::request once{std::make_unique<gate>(open, looks), all};
  const int before = looks;
  tutti::error_code told{};
  {
    const tutti::operations::visit other{all, "all_reduce"};
    std::thread{[&] {
      try {
        (void)once.test();
      } catch (const tutti::error& e) {
        told = e.code();
      }
    }}.join();
  }
  BOOST_CHECK(told == tutti::error_code::invalid_argument);
  BOOST_CHECK_EQUAL(looks, before);
  BOOST_CHECK(!once.test());
  open = true;
  BOOST_CHECK(once.test());
}

// A second thread in a call is told, and the first goes on.
BOOST_AUTO_TEST_CASE(a_visit_refuses_other_threads_only) {
  tutti::operations all;
  std::string told;
  {
    const tutti::operations::visit outer{all, "all_reduce", 3};
    const tutti::operations::visit within{all, "all_gather", 3};
    std::thread{[&] {
      try {
        const tutti::operations::visit other{all, "barrier", 3};
      } catch (const tutti::error& e) {
        told = e.what();
      }
    }}.join();
  }
  BOOST_CHECK_MESSAGE(told.find("tutti: barrier: invalid_argument on rank 3") == 0 &&
                          told.find("another thread of this rank is in a call on the same communicator - "
                                    "make calls from one thread at a time") != std::string::npos,
                      told);
  bool welcome = false;
  std::thread{[&] {
    const tutti::operations::visit later{all, "barrier", 3};
    welcome = true;
  }}.join();
  BOOST_CHECK(welcome);
}

BOOST_AUTO_TEST_SUITE_END()
