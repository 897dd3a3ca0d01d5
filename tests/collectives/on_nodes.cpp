// The default topology of ranks that are on several nodes, and plans that are kept for topologies with
// numbers in them.
#include "collectives/inputs.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/reference.hpp>
#include <tutti/communicators/decorator.hpp>
#include <tutti/topologies/k_nomial_tree.hpp>
#include <tutti/topologies/pat.hpp>
#include <tutti/topologies/torus.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(several_nodes)

namespace {

/// Ranks of one process, as if they were on nodes; counts what this rank sends to another node.
class on_nodes : public tutti::decorator<tutti::threads::communicator&> {
public:
  on_nodes(tutti::threads::communicator& inner, std::vector<int> node_of)
      : decorator{inner}, node_of_{std::move(node_of)} {}

  std::span<const int> nodes() const { return node_of_; }

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    for (const auto& out : round.sends)
      if (node_of_[std::size_t(out.peer)] != node_of_[std::size_t(rank())]) crossed += out.bytes.size();
    return inner_.exchange(execution, on, round);
  }

  std::size_t crossed = 0;

private:
  std::vector<int> node_of_;
};

/// What crosses from all ranks of node 0 in one all_reduce of n floats, by `parts`; its result is checked.
template <class... Parts>
std::size_t crossing(const std::vector<int>& node_of, std::size_t n, const Parts&... parts) {
  std::atomic<std::size_t> bytes{0};
  on_threads(int(node_of.size()), [&](tutti::threads::communicator& world, report& r) {
    on_nodes comm{world, node_of};
    const auto all = matrix::inputs<tutti::sum, float>(comm.size(), n);
    auto mine = all[std::size_t(comm.rank())];
    tutti::all_reduce(comm, mine, parts...);
    r.check(mine == tutti::reference::reduction(all, tutti::sum{}), "it is not the sum");
    if (node_of[std::size_t(comm.rank())] == 0) bytes += comm.crossed;
  });
  return bytes;
}

} // namespace

BOOST_AUTO_TEST_CASE(long_data_crosses_once_and_short_data_takes_few_rounds) {
  constexpr std::size_t n = 100000;
  BOOST_TEST(crossing({0, 0, 1, 1}, n) == n * sizeof(float));
  BOOST_TEST(crossing({0, 1, 0, 1}, n) == n * sizeof(float));
  // A ring over k nodes: 2 (k-1)/k of the data; here k = 3, and all is a multiple of the chunks.
  BOOST_TEST(crossing({0, 0, 1, 1, 2, 2}, 98304) == 98304 * sizeof(float) * 4 / 3);
  // Less than 1 KiB for each rank takes two rounds of recursive_doubling, one of them between the nodes.
  BOOST_TEST(crossing({0, 0, 1, 1}, 1020) == 2 * 1020 * sizeof(float));
  BOOST_TEST(crossing({0, 0, 1, 1}, 1020) == crossing({0, 0, 1, 1}, 1020, tutti::recursive_doubling{}));
  BOOST_TEST(crossing({0, 1}, 100) == crossing({0, 1}, 100, tutti::recursive_doubling{}));
  BOOST_TEST(crossing({0, 0, 1}, 100) == crossing({0, 0, 1}, 100, tutti::direct{}));
  BOOST_TEST(crossing({0, 0, 1, 1}, 1024) == 1024 * sizeof(float));
}

BOOST_AUTO_TEST_CASE(nodes_that_are_not_alike_are_taken_as_one) {
  constexpr std::size_t n = 6000;
  const auto as_one = [&](const std::vector<int>& node_of) {
    return crossing(node_of, n) == crossing(node_of, n, tutti::direct{});
  };
  BOOST_TEST(as_one({0, 1, 2, 3}), "a rank each");
  BOOST_TEST(as_one({0, 0, 1}), "two and one");
  BOOST_TEST(as_one({0, 0, 0, 1, 1}), "three and two");
  BOOST_TEST(as_one({0, 0, 1, 2, 1, 2}), "in an order that no launcher makes");
  BOOST_TEST(as_one({0, 0, 0, 0}), "one node");
}

BOOST_AUTO_TEST_CASE(where_contributions_must_meet_nodes_do_not_matter) {
  constexpr std::size_t n = 5000;
  const std::vector<int> two_nodes{0, 0, 1, 1};
  const tutti::cast<tutti::bfloat16> shorter{};
  BOOST_TEST(crossing(two_nodes, n, shorter) == crossing(two_nodes, n, shorter, tutti::direct{}));
}

namespace {

/// Has a number that the inherited == does not see.
struct star_of_two_kinds : tutti::star {
  int kind = 0;
};
static_assert(!tutti::comparable_topology<star_of_two_kinds>);
static_assert(tutti::comparable_topology<tutti::ring> && tutti::comparable_topology<tutti::star>);

template <class Topology>
auto plan_of(tutti::threads::communicator& comm, const Topology& topology, std::size_t n) {
  static constexpr tutti::sum sum{};
  static constexpr tutti::identity exact{};
  const tutti::options how;
  tutti::detail::task work{"all_reduce"};
  work.math = tutti::detail::arithmetic_of<float>(sum, exact);
  const tutti::detail::collective_call<tutti::threads::communicator> call{
      comm, tutti::collective::all_reduce, 0, {.n = n}, work, how};
  return tutti::detail::plan_for(call, topology, false);
}

/// The plan of `a` is kept, and not given to `b`.
template <class Topology>
void kept_apart(report& r, tutti::threads::communicator& comm, const char* name, const Topology& a,
                const Topology& b) {
  const auto first = plan_of(comm, a, 1000);
  r.check(plan_of(comm, a, 1000) == first, std::string{name} + ": the plan was made anew");
  r.check(plan_of(comm, a, 1001) != first, std::string{name} + ": the plan of another length");
  r.check(plan_of(comm, b, 1000) != first, std::string{name} + ": the plan of another topology");
  r.check(plan_of(comm, Topology{a}, 1000) == first, std::string{name} + ": the plan was lost");
}

} // namespace

BOOST_AUTO_TEST_CASE(plans_are_kept_for_topologies_that_can_be_compared) {
  using namespace tutti;
  on_threads(1, [](threads::communicator& comm, report& r) {
    kept_apart(r, comm, "star", star{1}, star{2});
    kept_apart(r, comm, "k_nomial_tree", k_nomial_tree{2}, k_nomial_tree{3});
    kept_apart(r, comm, "torus", torus{2}, torus{3});
    kept_apart(r, comm, "pat", pat{2}, pat{3});
    kept_apart(r, comm, "pipelined", pipelined{ring{}, 2}, pipelined{ring{}, 3});
    kept_apart(r, comm, "pipelined k_nomial_tree", pipelined{k_nomial_tree{2}, 2},
               pipelined{k_nomial_tree{3}, 2});
    kept_apart(r, comm, "hierarchical", hierarchical{direct{}, ring{}, 2},
               hierarchical{direct{}, ring{}, 3});
    kept_apart(r, comm, "hierarchical torus", hierarchical{torus{2}, ring{}, 2},
               hierarchical{torus{3}, ring{}, 2});
    r.check(plan_of(comm, star_of_two_kinds{}, 1000) != plan_of(comm, star_of_two_kinds{}, 1000),
            "a topology that cannot be compared: its plan was kept");
  });
}

BOOST_AUTO_TEST_CASE(a_plan_for_other_nodes_is_another_plan) {
  on_threads(4, [](tutti::threads::communicator& world, report& r) {
    on_nodes comm{world, {0, 0, 1, 1}}; // keeps its plans where world does
    const auto across = [&] {
      std::vector<float> data(4000, 1);
      comm.crossed = 0;
      tutti::all_reduce(comm, data, tutti::hierarchical<>{});
      return comm.crossed;
    };
    std::vector<float> data(4000, 1);
    tutti::all_reduce(world, data, tutti::hierarchical<>{});
    const auto first = across();
    r.check(first == 8000, "half of the data crosses from each rank of a node");
    tutti::all_reduce(world, data, tutti::hierarchical<>{});
    r.check(across() == first, "a kept plan is the plan that was made");
  });
}

BOOST_AUTO_TEST_CASE(the_last_64_plans_and_64_MiB_are_kept) {
  struct sized {
    std::size_t all;
    std::size_t bytes() const { return all; }
  };
  using tutti::ring;
  constexpr std::size_t MiB = std::size_t{1} << 20;
  const auto key = [](std::size_t n) {
    tutti::detail::plan_key k{};
    k.elements = n;
    return k;
  };
  tutti::detail::kept_plans<sized> kept;
  const auto is_kept = [&](std::size_t n) { return kept.find(key(n), ring{}) != nullptr; };
  for (std::size_t n = 0; n < 64; ++n) kept.add(key(n), ring{}, {1});
  for (std::size_t n = 0; n < 64; ++n) BOOST_TEST(is_kept(n));
  kept.add(key(64), ring{}, {1}); // behind the last one that was found
  BOOST_TEST(is_kept(64));
  BOOST_TEST(!is_kept(0));
  BOOST_TEST(is_kept(1));

  BOOST_TEST(kept.add(key(100), ring{}, {64 * MiB + 1})->all == 64 * MiB + 1);
  BOOST_TEST(!is_kept(100), "it is too large");
  BOOST_TEST(is_kept(1));
  kept.add(key(101), ring{}, {64 * MiB});
  BOOST_TEST(is_kept(101));
  BOOST_TEST(!is_kept(1), "there is no room beside a large one");
  kept.add(key(102), ring{}, {40 * MiB});
  kept.add(key(103), ring{}, {24 * MiB});
  BOOST_TEST(is_kept(102));
  BOOST_TEST(is_kept(103));
}

BOOST_AUTO_TEST_SUITE_END()
