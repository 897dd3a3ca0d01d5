// The price of schedules whose cost is known in closed form.
#include "every_topology.hpp"

#include <tutti/topologies/cost.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace {

using tutti::collective;

/// Numbers that are exact in binary, so that closed forms are equal to the last bit.
constexpr tutti::machine_cost round_numbers{.within = {2.0, 0.5, 1.0 / 1024},
                                            .between = {64.0, 8.0, 1.0 / 64},
                                            .per_folded_byte = 1.0 / 4096};
constexpr double alpha = 2.0, o = 0.5, beta = 1.0 / 1024, fold = 1.0 / 4096;

template <class T> double price(const T& topology, collective what, int size, std::size_t n) {
  return tutti::price(topology, what, 0, size, n, 4, round_numbers);
}

static_assert(tutti::price(tutti::ring{}, collective::all_reduce, 0, 4, 4096, 4, round_numbers) >
              0);

} // namespace

BOOST_AUTO_TEST_SUITE(cost)

BOOST_AUTO_TEST_CASE(closed_forms) {
  const double bytes = 4096 * 4;
  for (const int p : {2, 4, 8}) {
    const double part = bytes / p;
    const double hop = o + alpha + beta * part;
    BOOST_CHECK_EQUAL(price(tutti::ring{}, collective::all_gather, p, 4096), (p - 1) * hop);
    BOOST_CHECK_EQUAL(price(tutti::ring{}, collective::all_reduce, p, 4096),
                      (p - 1) * (2 * hop + fold * part));
    // Everyone's messages leave one after the other; the last to arrive ends the round.
    const double shot = (p - 1) * (o + beta * part) + alpha;
    BOOST_CHECK_EQUAL(price(tutti::direct{}, collective::all_gather, p, 4096), shot);
    BOOST_CHECK_EQUAL(price(tutti::direct{}, collective::all_reduce, p, 4096),
                      2 * shot + (p - 1) * fold * part);
    BOOST_CHECK_EQUAL(price(tutti::one_shot{}, collective::all_reduce, p, 4096),
                      (p - 1) * (o + beta * bytes + fold * bytes) + alpha);
  }
  for (const auto& [p, rounds] : {std::pair{2, 1}, {4, 2}, {8, 3}, {64, 6}})
    BOOST_CHECK_EQUAL(price(tutti::recursive_doubling{}, collective::all_reduce, p, 4096),
                      rounds * (o + alpha + beta * bytes + fold * bytes));
}

// While a rank sends to another node it may send within its own: on two nodes of two ranks the messages
// to the far ranks take as long as if there were no others. The last two arrive at the same rank at the
// same time, and come in one after the other.
BOOST_AUTO_TEST_CASE(each_kind_of_link_has_a_port_of_its_own) {
  const std::vector<int> nodes{0, 0, 1, 1};
  const double part = 4096 * 4 / 4;
  BOOST_CHECK_EQUAL(tutti::price(tutti::direct{}, collective::all_gather, 0, 4, 4096, 4,
                                 round_numbers, nodes),
                    2 * (8.0 + part / 64) + 64.0 + part / 64);
}

BOOST_AUTO_TEST_CASE(nothing_costs_nothing) {
  tests::every_topology([]<class T>(const std::string& name, const T& topology) {
    tests::every_collective<T>(5, [&](collective what, int root) {
      BOOST_CHECK_MESSAGE(tutti::price(topology, what, root, 5, 0, 4) == 0, name);
      BOOST_CHECK_MESSAGE(tutti::price(topology, what, root, 5, 1000, 4) > 0, name);
    });
    tests::every_collective<T>(1, [&](collective what, int root) {
      BOOST_CHECK_MESSAGE(tutti::price(topology, what, root, 1, 1000, 4) == 0, name);
    });
  });
}

// What each topology is for, as its comment says.
BOOST_AUTO_TEST_CASE(the_order_of_topologies_is_the_documented_one) {
  constexpr std::size_t small = 16, large = std::size_t{1} << 22;
  const auto all_reduce = [](const auto& topology, int p, std::size_t n) {
    return price(topology, collective::all_reduce, p, n);
  };
  BOOST_CHECK_LT(all_reduce(tutti::recursive_doubling{}, 64, small),
                 all_reduce(tutti::ring{}, 64, small));
  BOOST_CHECK_LT(all_reduce(tutti::ring{}, 64, large),
                 all_reduce(tutti::recursive_doubling{}, 64, large));
  BOOST_CHECK_LT(all_reduce(tutti::torus{}, 64, small), all_reduce(tutti::ring{}, 64, small));
  BOOST_CHECK_LT(all_reduce(tutti::one_shot{}, 4, 1), all_reduce(tutti::direct{}, 4, 1));
  BOOST_CHECK_LT(all_reduce(tutti::pipelined{tutti::double_tree{}, 64}, 64, large),
                 all_reduce(tutti::double_tree{}, 64, large));
  BOOST_CHECK_LT(price(tutti::bruck{}, collective::all_gather, 61, small),
                 price(tutti::ring{}, collective::all_gather, 61, small));
  BOOST_CHECK_LT(price(tutti::k_nomial_tree{}, collective::broadcast, 64, small),
                 price(tutti::binomial_tree{}, collective::broadcast, 64, small));
}

// Two nodes of four: across the slow link go n elements each way, and little more time.
BOOST_AUTO_TEST_CASE(a_hierarchy_pays_where_links_differ) {
  const std::vector<int> nodes{0, 0, 0, 0, 1, 1, 1, 1};
  const auto all_reduce = [&](const auto& topology) {
    return tutti::price(topology, collective::all_reduce, 0, 8, 1 << 20, 4, round_numbers, nodes);
  };
  const double hierarchy = all_reduce(tutti::hierarchical{});
  BOOST_CHECK_LT(hierarchy, all_reduce(tutti::ring{}));
  BOOST_CHECK_LT(hierarchy, all_reduce(tutti::direct{}));
  // Each rank's share of the link's work: a quarter of the data in two halves.
  BOOST_CHECK_GT(hierarchy, (1 << 22) / 4 / 64.0);
}

BOOST_AUTO_TEST_SUITE_END()
