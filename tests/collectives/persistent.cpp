// Collectives that are made once and started again and again: the same as calls, without planning or
// allocating again.
#include "collectives/allocations.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(collectives)

namespace {

void require(bool right, const char* what) {
  if (!right) throw std::runtime_error{what};
}

/// Each kind of collective, ten times on other data: by messages, and in memory that all reach.
template <class World, class... Topology>
void every_kind(World& world, std::size_t n, const Topology&... topology) {
  const int p = world.size(), me = world.rank();
  std::vector<int> a(n), b(n), c(n);
  auto reduce = tutti::persistent_all_reduce(world, a, topology...);
  auto scatter = tutti::persistent_reduce_scatter(world, b, topology...);
  auto gather = tutti::persistent_all_gather(world, b, topology...);
  auto from_root = tutti::persistent_broadcast(world, c, p - 1);
  auto to_root = tutti::persistent_reduce(world, c, 0);
  auto all_here = tutti::persistent_barrier(world);
  for (int turn = 1; turn <= 10; ++turn) {
    for (std::size_t i = 0; i < n; ++i) a[i] = b[i] = turn * (me + 1), c[i] = turn * me;
    reduce.start();
    scatter.start();
    from_root.start();
    scatter.wait(); // in another order than they were started
    gather.start();
    while (!from_root.test()) world.idle(world.progress(), tutti::clock::now());
    to_root.start();
    all_here.start();
    all_here.wait();
    to_root.wait();
    gather.wait();
    reduce.wait();
    const int sum = turn * p * (p + 1) / 2;
    for (std::size_t i = 0; i < n; ++i) {
      require(a[i] == sum && b[i] == sum, "a sum is wrong");
      require(me != 0 || c[i] == turn * (p - 1) * p, "a broadcast, or its sum, is wrong");
    }
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(a_persistent_collective_is_the_call_as_often_as_it_is_started) {
  for (const int ranks : {1, 2, 3, 4})
    for (const std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{5000}})
      tutti::threads::run(ranks, [&](auto& world) {
        every_kind(world, n);
        every_kind(world, n, tutti::ring{});
        tutti::checked careful{world};
        every_kind(careful, n);
      });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(a_start_allocates_nothing_and_sends_what_the_call_sends) {
  tutti::threads::run(1, [](auto& world) {
    std::vector<float> x(1000);
    auto sum = tutti::persistent_all_reduce(world, x);
    sum.start();
    sum.wait();
    const long before = allocations;
    for (int k = 0; k < 100; ++k) {
      sum.start();
      sum.wait();
    }
    require(allocations == before, "a start allocates");
  });
  tutti::threads::run(3, [](auto& world) {
    tutti::counted counting{world};
    std::vector<float> x(1000);
    auto sum = tutti::persistent_all_reduce(counting, x, tutti::ring{});
    require(counting.sent().messages == 0, "making it sends something");
    for (std::uint64_t k = 1; k <= 5; ++k) {
      sum.start();
      sum.wait();
      require(counting.sent().messages == 4 * k, "a ring of three sends four messages");
    }
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(weights_are_agreed_once_and_lossy_codecs_encode_at_every_start) {
  tutti::threads::run(3, [](auto& world) {
    std::vector<float> x(7);
    auto mean = tutti::persistent_all_reduce(world, x, tutti::weighted_mean{},
                                             tutti::cast<tutti::bfloat16>{},
                                             tutti::options{.weight = world.rank() == 2 ? 2.0 : 1.0});
    for (int turn = 1; turn < 4; ++turn) {
      for (float& v : x) v = float(4 * turn * world.rank());
      mean.start();
      mean.wait();
      require(x[6] == float(5 * turn), "a mean is wrong");
    }
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(what_is_in_flight_or_empty_cannot_be_started) {
  tutti::threads::run(2, [](auto& world) {
    const auto refused = [](auto& one, const std::string& why) {
      try {
        one.start();
      } catch (const tutti::error& e) {
        require(e.code() == tutti::error_code::invalid_argument, "the code is wrong");
        require(std::string{e.what()}.find(why) != std::string::npos, e.what());
        return;
      }
      throw std::runtime_error{"it was started"};
    };
    tutti::persistent_request never;
    refused(never, "it was moved from, or never made");
    require(never.test(), "empty is not complete");
    never.wait();
    std::vector<int> x(3000, 1);
    auto one = tutti::persistent_all_reduce(world, x, tutti::ring{});
    require(one.test(), "what was not started is in flight");
    one.start();
    refused(one, "the collective is in flight already - wait for it first");
    auto moved = std::move(one);
    refused(one, "it was moved from");
    moved.wait();
    require(x[2999] == 2, "a sum is wrong");
    moved.start();
    { const auto dropped = std::move(moved); } // is waited for
    require(x[0] == 4, "what was dropped was not waited for");
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(a_start_that_fails_fails_the_others_and_every_start_after_it) {
  std::vector<std::string> texts(3);
  tutti::threads::run(3, [&](auto& world) {
    std::vector<int> x(world.rank() == 1 ? 20 : 10);
    auto one = tutti::persistent_all_reduce(world, x, tutti::ring{});
    for (int k = 0; k < 2; ++k) {
      try {
        one.start();
        one.wait();
        texts[std::size_t(world.rank())] += "nothing was thrown";
      } catch (const tutti::error& e) {
        if (e.code() == tutti::error_code::mismatch) texts[std::size_t(world.rank())] += "x";
      }
    }
  });
  for (const std::string& t : texts) BOOST_CHECK_EQUAL(t, "xx");
}

BOOST_AUTO_TEST_SUITE_END()
