// simulate: the time of a schedule without its ranks, beside the price in closed form and beside ranks that run it.
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/simulate.hpp>
#include <tutti/communicators/simulated.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/cost.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/one_shot.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>
#include <tutti/topologies/torus.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(simulate)

namespace {

using tutti::collective;
using tutti::simulated::machine;

/// When each rank has the result of all_reduce, in seconds.
template <class T>
tutti::simulated::report run(const T& topology, int ranks, std::size_t n, const machine& on) {
  return tutti::simulated::run(ranks, on, [&](auto& comm) {
    std::vector<float> x(n, 1.0f);
    tutti::all_reduce(comm, x, topology);
  });
}

template <class T>
void same_as_run(const char* name, const T& topology, const machine& on) {
  for (const int ranks : {1, 2, 3, 4, 5, 8, 13})
    for (const std::size_t n : {std::size_t{1}, std::size_t{100}, std::size_t{4096}}) {
      const auto real = run(topology, ranks, n, on);
      const auto walked = tutti::simulate(topology, collective::all_reduce, 0, ranks, n, 4, on);
      bool same = real.seconds == walked.seconds && real.messages == walked.messages && real.bytes == walked.bytes;
      for (std::size_t r = 0; r < real.ranks.size(); ++r)
        same = same && real.ranks[r].seconds == walked.ranks[r].seconds &&
               real.ranks[r].compute == walked.ranks[r].compute && real.ranks[r].wait == walked.ranks[r].wait &&
               real.ranks[r].messages == walked.ranks[r].messages && real.ranks[r].bytes == walked.ranks[r].bytes;
      BOOST_CHECK_MESSAGE(same, name << " of " << n << " on " << ranks << ": " << walked.seconds << " and not "
                                     << real.seconds);
    }
}

void each_same_as_run(const machine& on) {
  same_as_run("ring", tutti::ring{}, on);
  same_as_run("direct", tutti::direct{}, on);
  same_as_run("one_shot", tutti::one_shot{}, on);
  same_as_run("star", tutti::star{}, on);
  same_as_run("binomial_tree", tutti::binomial_tree{}, on);
  same_as_run("bruck", tutti::bruck{}, on);
  same_as_run("halving_doubling", tutti::halving_doubling{}, on);
  same_as_run("recursive_doubling", tutti::recursive_doubling{}, on);
  same_as_run("double_tree", tutti::double_tree{}, on);
  same_as_run("pipelined", tutti::pipelined{tutti::binomial_tree{}, 4}, on);
}

std::string refused(auto&& call) {
  try {
    (void)call();
  } catch (const tutti::error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

} // namespace

BOOST_AUTO_TEST_CASE(as_ranks_that_run_it) {
  each_same_as_run({});
  each_same_as_run({.between = {.latency = 1e-7, .bandwidth = 3e8}, .per_folded_byte = 1e-9});
  each_same_as_run({.link_of = [](int from, int to) {
    return tutti::simulated::link{.latency = 1e-6 * (1 + from % 3), .bandwidth = 1e9 / (1 + to % 2)};
  }});
}

BOOST_AUTO_TEST_CASE(as_ranks_on_nodes) {
  const machine two{.nodes = {0, 0, 1, 1}};
  const tutti::pipelined in_segments{tutti::hierarchical<>{}, 3};
  BOOST_CHECK_EQUAL(tutti::simulate(in_segments, collective::all_reduce, 0, 4, 50000, 4, two).seconds,
                    run(in_segments, 4, 50000, two).seconds);
}

// Where each rank has one message a round there is one order of things, and the price of it in closed form.
BOOST_AUTO_TEST_CASE(as_the_price_where_that_is_exact) {
  const tutti::machine_cost costs{
      .within = {2.0, 0, 1.0 / 1000}, .between = {2.0, 0, 1.0 / 1000}, .per_folded_byte = 1.0 / 4000};
  const machine on{.between = {.latency = 2e-6, .bandwidth = 1e9}, .per_folded_byte = 1e-6 / 4000};
  const auto both = [&](const char* name, const auto& topology, int ranks) {
    for (const collective what : tutti::all_collectives) {
      using T = std::remove_cvref_t<decltype(topology)>;
      if (!tutti::carries<T>(what)) continue;
      const double price = tutti::price(topology, what, 0, ranks, 4096, 4, costs);
      const double walked = 1e6 * tutti::simulate(topology, what, 0, ranks, 4096, 4, on).seconds;
      BOOST_CHECK_MESSAGE(std::abs(walked - price) <= 1e-9 * price,
                          name << " on " << ranks << ": " << walked << " us and not " << price);
    }
  };
  for (const int ranks : {2, 4, 8, 16}) {
    both("ring", tutti::ring{}, ranks);
    both("halving_doubling", tutti::halving_doubling{}, ranks);
    both("recursive_doubling", tutti::recursive_doubling{}, ranks);
    both("binomial_tree", tutti::binomial_tree{}, ranks);
    both("bruck", tutti::bruck{}, ranks);
  }
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_ranks) {
  const auto took = tutti::simulate(tutti::halving_doubling{}, collective::all_reduce, 0, 65536, 65536, 4);
  BOOST_CHECK_EQUAL(took.messages, 65536u * 32);
  // 16 rounds there and back, of which the k-th moves 1/2^k of the bytes.
  const double bytes = 2. * 4 * 65535;
  BOOST_CHECK_CLOSE(took.seconds, 32 * 5e-6 + bytes / 1.25e9, 1e-6);
  const auto tree = tutti::simulate(tutti::binomial_tree{}, collective::broadcast, 0, 100000, 1, 4);
  BOOST_CHECK_EQUAL(tree.messages, 99999u);
}

BOOST_AUTO_TEST_CASE(equal_walks_have_equal_hashes) {
  const auto hash = [](double latency) {
    const machine on{.between = {.latency = latency}};
    return tutti::simulate(tutti::torus{}, collective::all_reduce, 0, 30, 1000, 4, on).trace_hash;
  };
  BOOST_CHECK_EQUAL(hash(1e-6), hash(1e-6));
  BOOST_CHECK_NE(hash(1e-6), hash(2e-6));
}

BOOST_AUTO_TEST_CASE(what_is_no_schedule_or_no_machine) {
  auto broken = tutti::collect(tutti::ring{}, collective::all_gather, 0, 3);
  broken.ranks[1].erase(broken.ranks[1].begin()); // its first message
  auto text = refused([&] { return tutti::simulate(broken, 30, 4); });
  BOOST_CHECK_MESSAGE(text.find("simulate: invalid_argument: it is no schedule: in round 0 rank 2 waits for "
                                "what nobody sends - prove it first") != text.npos, text);
  broken = tutti::collect(tutti::ring{}, collective::all_gather, 0, 3);
  broken.ranks[2].push_back({.round = 1, .peer = 1, .chunks = {0}, .act = tutti::action::publish});
  text = refused([&] { return tutti::simulate(broken, 30, 4); });
  BOOST_CHECK_MESSAGE(text.find("in round 1 rank 1 is sent what it does not expect by rank 2 - prove it first") !=
                          text.npos, text);

  const auto ring_on = [](const machine& on, std::size_t n = 30) {
    return refused([&] { return tutti::simulate(tutti::ring{}, collective::all_reduce, 0, 3, n, 4, on); });
  };
  text = ring_on({.nodes = {0}});
  BOOST_CHECK_MESSAGE(text.find("simulate: invalid_argument: machine::nodes has 1 numbers") != text.npos, text);
  text = ring_on({.link_of = [](int, int) { return tutti::simulated::link{.latency = NAN}; }});
  BOOST_CHECK_MESSAGE(text.find("simulate: invalid_argument: a link has a latency of nan s") != text.npos, text);
  text = ring_on({.speed = [](int, double) { return -1.; }, .per_folded_byte = 1e-9});
  BOOST_CHECK_MESSAGE(text.find("has a speed of -1.000000 - give more than 0") != text.npos, text);
  text = ring_on({.between = {.latency = 4e6}});
  BOOST_CHECK_MESSAGE(text.find("it takes longer than the 53 days of virtual time - simulate less") != text.npos, text);
}

BOOST_AUTO_TEST_SUITE_END()
