// Agreeing reducers in collectives, on every topology that carries them, against the definition.
#include "topologies/chosen.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/reference.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/core/random.hpp>
#include <tutti/reducers/krum.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <mutex>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(collectives)

namespace {

using trial::chosen;
using trial::kind_name;
using trial::kinds;
using tutti::collective;

using inputs = std::vector<std::vector<float>>;

/// Each rank's numbers, with one rank far off.
inputs some_inputs(int ranks, std::size_t n) {
  inputs all(static_cast<std::size_t>(ranks), std::vector<float>(n));
  for (int r = 0; r < ranks; ++r) {
    tutti::random_stream draw{5, std::uint32_t(r), n};
    for (float& x : all[std::size_t(r)]) x = draw.uniform() + (r == 1 ? 100.0f : 0.0f);
  }
  return all;
}

template <class Topology> constexpr bool gives(collective what) {
  return tutti::carries<Topology>(what);
}
template <class Topology> bool carried(const Topology&, collective what) {
  return gives<Topology>(what);
}
template <bool Meets> bool carried(const chosen<Meets>& topology, collective what) {
  return topology.carried(what);
}

/// Compares what `what` leaves on every rank with the definition.
template <class R, class Topology>
void compare(const char* name, const R& r, const Topology& topology, collective what, int ranks,
             std::size_t n) {
  const inputs given = some_inputs(ranks, n);
  const auto expected = tutti::reference::reduction(given, r);
  std::string wrong;
  std::mutex guard;
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> data = given[std::size_t(world.rank())];
    tutti::shard has{0, n};
    const int root = ranks - 1;
    if constexpr (gives<Topology>(collective::all_reduce))
      if (what == collective::all_reduce) tutti::all_reduce(world, data, topology, r);
    if constexpr (gives<Topology>(collective::reduce))
      if (what == collective::reduce) {
        tutti::reduce(world, data, root, topology, r);
        if (world.rank() != root) has.end = 0;
      }
    if constexpr (gives<Topology>(collective::reduce_scatter))
      if (what == collective::reduce_scatter) {
        (void)tutti::reduce_scatter(world, data, topology, r);
        has = tutti::shard_of(n, world.rank(), ranks);
      }
    for (std::size_t i = has.begin; i < has.end; ++i)
      if (data[i] != expected[i]) {
        std::scoped_lock lock{guard};
        wrong = "rank " + std::to_string(world.rank()) + " has " + std::to_string(data[i]) +
                " at " + std::to_string(i) + " instead of " + std::to_string(expected[i]);
      }
  });
  BOOST_CHECK_MESSAGE(wrong.empty(), name << ", " << tutti::name(what) << ", " << ranks
                                          << " ranks, n " << n << ": " << wrong);
}

template <class R, class Topology>
void compare_all(const char* name, const R& r, const Topology& topology, int ranks) {
  for (const collective what :
       {collective::all_reduce, collective::reduce_scatter, collective::reduce})
    if (carried(topology, what))
      for (const std::size_t n : {0, 1, ranks - 1, ranks, ranks + 1, 300})
        compare(name, r, topology, what, ranks, n);
}

template <bool Meets, class R> void compare_on_all(const R& r, int ranks) {
  for (int k = 0; k < kinds<Meets>; ++k)
    compare_all(kind_name<Meets>(k), r, chosen<Meets>{k}, ranks);
}

/// Sums in steps of a common size, so that no order of addition matters. Agrees twice: how many
/// numbers there are in all, then the largest of them.
struct stepped_sum {
  using part = tutti::reducer_part;
  template <class T> using accumulator = std::int64_t;

  double step = 0;

  template <class A> constexpr A identity() const { return 0; }
  constexpr std::int64_t combine(std::int64_t a, std::int64_t b) const { return a + b; }
  template <class T> std::int64_t lift(T x, double) const { return std::llround(double(x) / step); }
  template <class T> T lower(std::int64_t a, double) const { return T(double(a) * step); }
};
struct second_agreement {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::max;

  double count = 0;

  std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T> void observe(std::span<const T> mine, std::span<double> numbers) const {
    numbers[0] = 0;
    for (const T x : mine) numbers[0] = std::max(numbers[0], std::abs(double(x)));
  }
  stepped_sum agreed(std::span<const double> largest) const {
    return {(largest[0] + 1) * (count + 1) * 0x1p-40};
  }
};
struct twice_agreeing_sum {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::sum;

  std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T> void observe(std::span<const T> mine, std::span<double> numbers) const {
    numbers[0] = double(mine.size());
  }
  second_agreement agreed(std::span<const double> count) const { return {count[0]}; }
};

} // namespace

BOOST_AUTO_TEST_CASE(krum_sees_whole_contributions_wherever_they_meet_also_in_pieces) {
  // By their real types: how contributions are brought together depends on what a topology gives.
  const auto check = [](const tutti::krum& r, int ranks) {
    compare_all("direct", r, tutti::direct{}, ranks);
    compare_all("star", r, tutti::star{}, ranks);
    compare_all("star of 3", r, tutti::star{.servers = 3}, ranks);
    compare_all("direct in 3 segments", r, tutti::pipelined{tutti::direct{}, 3}, ranks);
  };
  for (const int ranks : {5, 7}) check({.f = 1}, ranks);
  check({.f = 1, .keep = 3}, 6);
}

BOOST_AUTO_TEST_CASE(two_agreements_before_the_data_moves_on_every_topology) {
  for (const int ranks : {1, 3, 4}) {
    compare_on_all<true>(twice_agreeing_sum{}, ranks);
    compare_on_all<false>(twice_agreeing_sum{}, ranks);
  }
}

BOOST_AUTO_TEST_CASE(agreements_are_made_before_a_non_blocking_call_returns) {
  const inputs given = some_inputs(3, 50);
  const auto expected = tutti::reference::reduction(given, twice_agreeing_sum{});
  tutti::threads::run(3, [&](auto& world) {
    auto a = given[std::size_t(world.rank())], b = a;
    auto first = tutti::async_all_reduce(world, a, chosen<false>{0}, twice_agreeing_sum{});
    auto second = tutti::async_all_reduce(world, b, chosen<true>{0}, twice_agreeing_sum{});
    second.wait();
    first.wait();
    if (a != expected || b != expected) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(too_few_ranks_for_a_reducer_is_everybodys_error_before_anything_is_sent) {
  tutti::threads::run(4, [](auto& world) {
    std::vector<float> x(3, 1.0f);
    tutti::checked careful{world};
    try {
      tutti::all_reduce(careful, x, tutti::krum{.f = 1});
      throw std::runtime_error{"four ranks were enough"};
    } catch (const tutti::error& e) {
      if (e.code() != tutti::error_code::invalid_argument) throw;
    }
    tutti::all_reduce(careful, x); // nothing has been lost
    if (x[0] != 4) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_SUITE_END()
