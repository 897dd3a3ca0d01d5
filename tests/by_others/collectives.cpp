// What the suites of other libraries ask of collectives: nccl-tests' inputs whose exact sum can be
// represented, MPICH's allred_float, Gloo's grid of ranks and lengths; and random cases.
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/core/random.hpp>

#include <cmath>
#include <cstring>
#include <mutex>

BOOST_AUTO_TEST_SUITE(as_others_test)

namespace {

using tutti::collective;

/// all_reduce on the topology of a number: first the default, then every other.
constexpr int all_kinds = 1 + trial::kinds<true> + trial::kinds<false>;

template <class Comm, class Data, class... Parts>
void all_reduce_on(Comm& comm, int kind, Data& data, const Parts&... parts) {
  if (kind == 0) tutti::all_reduce(comm, data, parts...);
  else if (kind <= trial::kinds<true>)
    tutti::all_reduce(comm, data, trial::chosen<true>{kind - 1}, parts...);
  else tutti::all_reduce(comm, data, trial::chosen<false>{kind - 1 - trial::kinds<true>}, parts...);
}
bool carries_all_reduce(int kind) {
  if (kind == 0) return true;
  return kind <= trial::kinds<true>
             ? trial::chosen<true>{kind - 1}.carried(collective::all_reduce)
             : trial::chosen<false>{kind - 1 - trial::kinds<true>}.carried(collective::all_reduce);
}
const char* name_of(int kind) {
  if (kind == 0) return "the default";
  return kind <= trial::kinds<true> ? trial::kind_name<true>(kind - 1)
                                    : trial::kind_name<false>(kind - 1 - trial::kinds<true>);
}

} // namespace

// nccl-tests, verifiable.cu: sums, products, extremes and means that are exact in any order.
BOOST_AUTO_TEST_CASE(exact_inputs_on_1_to_17_ranks) {
  for (int ranks = 1; ranks <= 17; ++ranks)
    on_threads(ranks, [](auto& comm, report& r) {
      matrix::reduced<float, tutti::sum, tutti::default_topology>(comm, r, "sum", 1000);
      matrix::reduced<tutti::bfloat16, tutti::sum, tutti::default_topology>(comm, r, "sum", 1000);
      matrix::reduced<tutti::half, tutti::mean, tutti::default_topology>(comm, r, "mean", 1000);
      matrix::reduced<double, tutti::product, tutti::default_topology>(comm, r, "product", 1000);
      matrix::reduced<std::int32_t, tutti::max, tutti::default_topology>(comm, r, "max", 1000);
      matrix::reduced<std::uint8_t, tutti::sum, tutti::default_topology>(comm, r, "sum", 1000);
    });
}

// MPICH, test/mpi/coll/allred_float.c: one rank gives +BIG, another -BIG, all others TINY. What
// comes out depends on the order of the additions, but must be the same on every rank.
BOOST_AUTO_TEST_CASE(big_and_tiny_at_every_pair_of_positions) {
  for (int ranks = 2; ranks <= 9; ++ranks) {
    const auto p = std::size_t(ranks), pairs = p * p;
    std::vector<std::vector<float>> results(p);
    for (int kind = 0; kind < all_kinds; ++kind) {
      if (!carries_all_reduce(kind)) continue;
      on_threads(ranks, [&](auto& comm, report&) {
        std::vector<float> data(pairs, 1e-3f);
        for (std::size_t k = 0; k < pairs; ++k) {
          if (k / p == std::size_t(comm.rank())) data[k] = 1e15f;
          else if (k % p == std::size_t(comm.rank())) data[k] = -1e15f;
        }
        all_reduce_on(comm, kind, data);
        results[std::size_t(comm.rank())] = data;
      });
      for (std::size_t r = 1; r < p; ++r)
        BOOST_CHECK_MESSAGE(
            std::memcmp(results[r].data(), results[0].data(), pairs * sizeof(float)) == 0,
            name_of(kind) << " on " << ranks << " ranks: ranks 0 and " << r << " end differently");
    }
  }
}

// Gloo, test/allreduce_test.cc and its like.
BOOST_AUTO_TEST_CASE(the_grid_of_gloo) {
  for (int ranks = 1; ranks <= 16; ++ranks)
    on_threads(ranks, [](auto& comm, report& r) {
      for (const std::size_t n : {0, 4, 100, 1000, 10000}) {
        matrix::carried(comm, r, "the default", n, comm.size() - 1);
        matrix::blocks(comm, r, n / 10, comm.size() / 2);
      }
    });
}

namespace {

/// One case of many, the same on every rank.
struct random_case {
  int kind;
  std::size_t n;
  int reducer;
  bool symmetric;
};
random_case drawn(std::uint64_t seed) {
  const auto draw = tutti::philox({std::uint32_t(seed), 7, 0, 0}, {1, 2});
  const std::size_t most = draw[1] % 50 == 0 ? 20000 : draw[1] % 3 == 0 ? 600 : 12;
  return {int(draw[0] % all_kinds), draw[2] % most, int(draw[3] % 3), draw[3] % 5 == 0};
}
/// Whole numbers, so that sums are exact in any order.
float given(std::uint64_t seed, int rank, std::size_t i) {
  return float((seed * 31 + i * 7 + std::size_t(rank) * 13) % 64) - 20;
}

template <class Comm> void try_case(Comm& comm, report& r, std::uint64_t seed) {
  const random_case c = drawn(seed);
  if (!carries_all_reduce(c.kind)) return;
  const auto run = [&](auto& data) {
    for (std::size_t i = 0; i < c.n; ++i) data[i] = given(seed, comm.rank(), i);
    if (c.reducer == 0) all_reduce_on(comm, c.kind, data);
    else if (c.reducer == 1) all_reduce_on(comm, c.kind, data, tutti::max{});
    else all_reduce_on(comm, c.kind, data, tutti::min{});
    for (std::size_t i = 0; i < c.n; ++i) {
      float expected = given(seed, 0, i);
      for (int k = 1; k < comm.size(); ++k) {
        const float x = given(seed, k, i);
        expected = c.reducer == 0                       ? expected + x
                   : (c.reducer == 1) == (x > expected) ? x
                                                        : expected;
      }
      if (data[i] == expected) continue;
      r.check(false, std::string{name_of(c.kind)} + ", case " + std::to_string(seed) + ", n " +
                         std::to_string(c.n) + ": element " + std::to_string(i) + " is " +
                         std::to_string(data[i]) + ", not " + std::to_string(expected));
      return;
    }
    r.check(true, "");
  };
  if (c.symmetric && c.n > 500) {
    auto data = comm.template allocate<float>(c.n);
    run(data);
  } else {
    std::vector<float> data(c.n);
    run(data);
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(a_hundred_thousand_random_cases) {
  constexpr std::uint64_t cases = 100000;
  std::uint64_t next = 0;
  for (const int ranks : {1, 2, 3, 4, 5, 6, 7, 8}) {
    const std::uint64_t first = next;
    next = cases * std::uint64_t(ranks) / 8;
    on_threads(ranks, [&](auto& comm, report& r) {
      for (std::uint64_t seed = first; seed < next; ++seed) try_case(comm, r, seed);
    });
  }
  BOOST_CHECK_EQUAL(next, cases);
}

BOOST_AUTO_TEST_SUITE_END()
