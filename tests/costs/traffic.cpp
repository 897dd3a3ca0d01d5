// What a collective sends is what its topology says beforehand; what decorators add and change.
#include "topologies/chosen.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/faulty.hpp>
#include <tutti/communicators/threads.hpp>

#include <boost/test/unit_test.hpp>

#include <mutex>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(costs)

namespace {

using trial::chosen;
using trial::kind_name;
using trial::kinds;
using tutti::collective;

template <class Comm, class Topology>
void call(Comm& comm, collective what, std::vector<float>& data, int root,
          const Topology& topology) {
  switch (what) {
  case collective::all_reduce:
    return tutti::all_reduce(comm, data, topology);
  case collective::reduce_scatter:
    return void(tutti::reduce_scatter(comm, data, topology));
  case collective::all_gather:
    return tutti::all_gather(comm, data, topology);
  case collective::broadcast:
    return tutti::broadcast(comm, data, root, topology);
  case collective::reduce:
    return tutti::reduce(comm, data, root, topology);
  }
}

template <class Topology>
void compare_with_traffic(const char* name, const Topology& topology, int ranks) {
  std::string wrong;
  std::mutex guard;
  tutti::threads::run(ranks, [&](auto& world) {
    tutti::decorator<decltype((world))> by_messages{world};
    tutti::counted comm{by_messages};
    const auto p = std::size_t(ranks);
    for (const collective what : tutti::all_collectives) {
      if (!topology.carried(what)) continue;
      for (const std::size_t n :
           {std::size_t{0}, std::size_t{1}, p - 1, p, p + 1, std::size_t{1000}}) {
        const bool rooted = what == collective::broadcast || what == collective::reduce;
        const int root = rooted ? int(n) % ranks : 0;
        std::vector<float> data(n, 1.0f);
        comm.reset();
        call(comm, what, data, root, topology);
        const auto said = topology.traffic(what, root, tutti::layout{world.rank(), ranks}, n);
        const auto& sent = comm.sent();
        if (sent.messages == said.messages && sent.bytes == said.elements * sizeof(float)) continue;
        std::scoped_lock lock{guard};
        wrong += "\n  " + std::string{tutti::name(what)} + ", n " + std::to_string(n) + ", rank " +
                 std::to_string(world.rank()) + " sent " + std::to_string(sent.messages) +
                 " messages, " + std::to_string(sent.bytes) + " bytes instead of " +
                 std::to_string(said.messages) + " and " + std::to_string(said.elements * 4);
      }
    }
  });
  BOOST_CHECK_MESSAGE(wrong.empty(), name << ", " << ranks << " ranks:" << wrong);
}

} // namespace

BOOST_AUTO_TEST_CASE(every_collective_sends_what_its_topology_says) {
  for (const int ranks : {1, 2, 3, 4, 5, 7}) {
    for (int k = 0; k < kinds<false>; ++k)
      compare_with_traffic(kind_name<false>(k), chosen<false>{k}, ranks);
    for (int k = 0; k < kinds<true>; ++k)
      compare_with_traffic(kind_name<true>(k), chosen<true>{k}, ranks);
  }
}

BOOST_AUTO_TEST_CASE(a_checked_call_costs_one_small_message_to_every_other_rank) {
  tutti::threads::run(4, [](auto& world) {
    tutti::counted counted{world};
    tutti::checked comm{counted};
    std::vector<float> nothing;
    tutti::all_reduce(comm, nothing);
    if (counted.sent().messages != 3 || counted.sent().bytes != 3 * 32)
      throw std::runtime_error{"a checked call of nothing sends " +
                               std::to_string(counted.sent().bytes) + " bytes"};
  });
  BOOST_CHECK(true);
}

namespace {

/// What every rank of three throws when rank 1 makes another call than the others.
template <class Usual, class Odd> std::vector<std::string> disagreement(Usual&& usual, Odd&& odd) {
  std::vector<std::string> texts(3, "nothing was thrown");
  tutti::threads::run(3, [&](auto& world) {
    tutti::counted counted{world};
    tutti::checked comm{counted};
    std::vector<float> a(6, 1.0f), b(18, 1.0f);
    try {
      if (world.rank() == 1) odd(comm, a, b);
      else usual(comm, a, b);
    } catch (const tutti::error& e) {
      texts[std::size_t(world.rank())] = e.what();
      if (e.code() != tutti::error_code::mismatch)
        texts[std::size_t(world.rank())] += " (wrong code)";
      if (a != std::vector<float>(6, 1.0f))
        texts[std::size_t(world.rank())] += " (data was changed)";
    }
    // The communicator is as good as new.
    std::vector<int> x{world.rank()};
    tutti::all_reduce(comm, x);
    if (x[0] != 3) throw std::runtime_error{"the communicator is of no use any more"};
  });
  return texts;
}

void expect(const std::vector<std::string>& texts, const std::string& part) {
  for (const std::string& t : texts)
    BOOST_CHECK_MESSAGE(t.find(part) != std::string::npos, "not \"" << part << "\" but: " << t);
}

} // namespace

BOOST_AUTO_TEST_CASE(a_checked_communicator_tells_every_rank_who_calls_what) {
  const auto sum = [](auto& comm, auto& a, auto&) { tutti::all_reduce(comm, a); };
  expect(disagreement(sum, [](auto& comm, auto&, auto& b) { tutti::all_reduce(comm, b); }),
         "rank 0 gives 6 elements, rank 1 gives 18");
  expect(disagreement(sum,
                      [](auto& comm, auto& a, auto&) { tutti::all_reduce(comm, a, tutti::max{}); }),
         "ranks 0 and 1 give different element types, reducers, topologies or codecs");
  expect(disagreement(
             sum, [](auto& comm, auto& a, auto&) { tutti::all_reduce(comm, a, tutti::star{}); }),
         "ranks 0 and 1 give different element types");
  expect(disagreement(sum,
                      [](auto& comm, auto&, auto&) {
                        std::vector<int> x(6);
                        tutti::all_reduce(comm, x);
                      }),
         "ranks 0 and 1 give different element types");
  expect(disagreement(sum, [](auto& comm, auto&, auto&) { tutti::barrier(comm); }),
         "rank 0 calls all_reduce, rank 1 calls barrier");
  expect(disagreement(sum, [](auto& comm, auto& a, auto&) { tutti::reduce(comm, a, 0); }),
         "rank 0 calls all_reduce, rank 1 calls reduce");
  expect(
      disagreement(sum, [](auto& comm, auto& a, auto&) { (void)tutti::reduce_scatter(comm, a); }),
      "rank 1 calls reduce_scatter");
  expect(disagreement([](auto& comm, auto& a, auto&) { tutti::broadcast(comm, a, 0); },
                      [](auto& comm, auto& a, auto&) { tutti::broadcast(comm, a, 2); }),
         "rank 0 names root 0, rank 1 names root 2");
  expect(disagreement([](auto& comm, auto& a, auto& b) { tutti::gather(comm, a, b, 2); },
                      [](auto& comm, auto& a, auto& b) { tutti::gather(comm, a, b, 0); }),
         "rank 0 names root 2, rank 1 names root 0");
  expect(disagreement([](auto& comm, auto& a, auto& b) { tutti::scatter(comm, b, a, 1); },
                      [](auto& comm, auto& a, auto& b) {
                        b.resize(3);
                        a.resize(1);
                        tutti::scatter(comm, b, a, 1);
                        a.assign(6, 1.0f);
                      }),
         "rank 0 gives 6 elements, rank 1 gives 1");
}

BOOST_AUTO_TEST_CASE(a_checked_communicator_changes_no_result) {
  tutti::threads::run(3, [](auto& world) {
    tutti::checked comm{world};
    std::vector<float> x{float(world.rank()), 1.0f};
    tutti::all_reduce(comm, x, tutti::weighted_mean{},
                      tutti::options{.weight = 1.0 + world.rank()});
    tutti::barrier(comm);
    auto later = tutti::async_all_reduce(comm, x, tutti::max{});
    later.wait();
    auto half = comm.split(world.rank() % 2, 0);
    std::vector<int> count{1};
    tutti::all_reduce(half, count);
    const float expected = (0 * 1 + 1 * 2 + 2 * 3) / 6.0f;
    if (x[0] != expected || count[0] != (world.rank() % 2 == 0 ? 2 : 1))
      throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(an_exchange_that_is_reported_late_changes_nothing_but_the_time) {
  for (int culprit = 0; culprit < 4; ++culprit)
    for (std::uint64_t round = 0; round < 8; ++round)
      tutti::threads::run(4, [&](auto& world) {
        tutti::faulty comm{world, {.rank = culprit, .round = round, .delay = 500}};
        std::vector<int> a(10, world.rank()), b(3, 1);
        auto first = tutti::async_all_reduce(comm, a, tutti::ring{});
        auto second = tutti::async_all_reduce(comm, b, tutti::recursive_doubling{});
        second.wait();
        first.wait();
        if (a != std::vector<int>(10, 6) || b != std::vector<int>(3, 4))
          throw std::runtime_error{"a result is wrong"};
      });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_SUITE_END()
