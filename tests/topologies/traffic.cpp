// What a topology claims to send is what its schedule sends.
#include "every_topology.hpp"

#include <tutti/topologies/whole_schedule.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <string>

namespace {

using tutti::collective;

/// A rank and a length for which the claim differs from the schedule; empty if there are none.
template <class T>
std::string first_difference(const T& topology, collective what, int root, int size) {
  const auto all = tutti::collect(topology, what, root, size);
  const auto p = std::size_t(size);
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, p - 1, p, p + 1, std::size_t{1000}})
    for (int rank = 0; rank < size; ++rank) {
      const auto claimed = tutti::traffic_of(topology, what, root, {rank, size}, n);
      const auto sent = tutti::moved(all, rank, n);
      if (claimed != sent)
        return "rank " + std::to_string(rank) + ", n " + std::to_string(n) + ": claims " +
               std::to_string(claimed.messages) + " messages of " +
               std::to_string(claimed.elements) + " elements, sends " +
               std::to_string(sent.messages) + " of " + std::to_string(sent.elements);
    }
  return {};
}

} // namespace

BOOST_AUTO_TEST_SUITE(traffic)

BOOST_AUTO_TEST_CASE(claims_equal_schedules) {
  tests::every_topology([]<class T>(const std::string& name, const T& topology) {
    for (int size = 1; size <= 64; ++size)
      tests::every_collective<T>(size, [&](collective what, int root) {
        const std::string difference = first_difference(topology, what, root, size);
        BOOST_CHECK_MESSAGE(difference.empty(), name << ", " << tutti::name(what) << " of " << size
                                                     << " ranks, root " << root << ", "
                                                     << difference);
      });
  });
}

// The figures in the comments of the topologies, for p = 8 and n = 800.
BOOST_AUTO_TEST_CASE(costs_are_the_documented_ones) {
  const auto sent = [](const auto& topology, collective what, int rank) {
    return tutti::traffic_of(topology, what, 0, {rank, 8}, 800);
  };

  BOOST_CHECK((sent(tutti::ring{}, collective::all_reduce, 3) == tutti::traffic{14, 1400}));
  BOOST_CHECK(
      (sent(tutti::halving_doubling{}, collective::all_reduce, 3) == tutti::traffic{6, 1400}));
  BOOST_CHECK(
      (sent(tutti::recursive_doubling{}, collective::all_reduce, 3) == tutti::traffic{3, 2400}));
  BOOST_CHECK((sent(tutti::binomial_tree{}, collective::reduce, 3) == tutti::traffic{1, 800}));
  BOOST_CHECK((sent(tutti::binomial_tree{}, collective::broadcast, 0) == tutti::traffic{3, 2400}));
  BOOST_CHECK((sent(tutti::direct{}, collective::reduce_scatter, 3) == tutti::traffic{7, 700}));
  BOOST_CHECK((sent(tutti::star{}, collective::all_reduce, 0) == tutti::traffic{7, 5600}));
  BOOST_CHECK((sent(tutti::star{}, collective::all_reduce, 3) == tutti::traffic{1, 800}));
}

BOOST_AUTO_TEST_SUITE_END()
