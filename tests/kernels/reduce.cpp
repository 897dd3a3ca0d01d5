// The body of the K-way reduction on the host against the reducers in collectives, bit for bit.
#include "kernels/memory.hpp"

#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/arithmetic.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/reduce.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/reproducible_sum.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace reduce_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

template <class T> using contributions = std::vector<std::vector<T>>;

template <class T> contributions<T> random_contributions(int count, std::size_t n) {
  contributions<T> all;
  for (int k = 0; k < count; ++k) all.push_back(random_values<T>(n, std::uint64_t(k) + 1));
  return all;
}

/// What collectives make of them.
template <class T, class R>
std::vector<T> wanted(const R& r, const contributions<T>& of, const std::vector<double>& weights, double total) {
  static constexpr tutti::identity exact{};
  const auto math = tutti::detail::arithmetic_of<T>(r, exact);
  std::vector<const std::byte*> in;
  for (const auto& row : of) in.push_back(reinterpret_cast<const std::byte*>(row.data()));
  std::vector<T> out(of[0].size());
  math.unite(math, in, weights, reinterpret_cast<std::byte*>(out.data()), out.size(), 0, total);
  return out;
}

struct placed {
  std::size_t offset = 0;
  bool uneven = false; ///< every second contribution begins a value further on
  int onto = -1;       ///< the result replaces this contribution
};

/// fill(rows) sets what there is beside pointers; run(rows) runs them.
template <class T, std::size_t Most, class Run>
std::string by_kernel(const contributions<T>& of, const std::vector<T>& right, placed where, double total, Run&& run) {
  const std::size_t n = right.size();
  std::vector<guarded<T>> memory;
  for (const auto& row : of) memory.emplace_back(row, where.offset + (where.uneven ? memory.size() % 2 : 0));
  guarded<T> separate{n, where.offset};
  const guarded<T>& out = where.onto < 0 ? separate : memory[std::size_t(where.onto)];
  kernels::rows<T, Most> all{{}, out.data(), n, kernels::head_of(n, kernels::packet<T>::length, out.data()), total};
  for (std::size_t k = 0; k < of.size(); ++k) {
    all.in[k] = memory[k].data();
    if (kernels::head_of(n, kernels::packet<T>::length, out.data(), all.in[k]) != all.head) all.head = n;
  }
  kernels::run_on_host<32>(3, [&](auto& block) { run(block, all); });
  for (const auto& m : memory)
    if (!m.guards_hold()) return "a guard zone was written to";
  if (!out.guards_hold()) return "a guard zone was written to";
  return difference(out.values(), right);
}

template <class T, std::size_t K, class R> void check(const R& r, double total) {
  const auto run = [&](auto& block, const kernels::rows<T, K>& all) { kernels::reduce<K>(block, r, all); };
  for (const std::size_t n : lengths) {
    const auto of = random_contributions<T>(K, n);
    const auto right = wanted<T>(r, of, {}, total);
    for (std::size_t offset = 0; offset < 16 / sizeof(T); offset += sizeof(T) == 2 ? 3 : 1)
      BOOST_CHECK_EQUAL((by_kernel<T, K>(of, right, {.offset = offset}, total, run)), "");
    BOOST_CHECK_EQUAL((by_kernel<T, K>(of, right, {.offset = 1, .uneven = true}, total, run)), "");
    for (const int onto : {0, int(K) - 1})
      BOOST_CHECK_EQUAL((by_kernel<T, K>(of, right, {.offset = 1, .onto = onto}, total, run)), "");
  }
}

/// A reducer of a user's own: the value of largest magnitude, positive where both are.
struct furthest {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class A> TUTTI_HD constexpr A identity() const { return A{0}; }
  template <class A> TUTTI_HD constexpr A combine(A a, A b) const {
    const A x = a < 0 ? -a : a, y = b < 0 ? -b : b;
    return x > y ? a : x < y ? b : a > b ? a : b;
  }
};

constexpr std::size_t most = 1024;

template <class R> void check_weighted(const R& r, int count, std::vector<double> weights) {
  double total = 0;
  for (const double w : weights) total += w;
  for (const std::size_t n : {std::size_t{0}, std::size_t{5}, std::size_t{257}}) {
    const auto of = random_contributions<float>(count, n);
    const auto right = wanted<float>(r, of, weights, total);
    const auto run = [&](auto& block, const kernels::rows<float, most>& all) {
      kernels::weighted_rows<float, most> with{all, {}, count};
      for (std::size_t k = 0; k < weights.size(); ++k) with.weights[k] = weights[k];
      kernels::reduce_weighted<most>(block, r, with);
    };
    BOOST_CHECK_EQUAL((by_kernel<float, most>(of, right, {.offset = 3}, total, run)), "");
    BOOST_CHECK_EQUAL((by_kernel<float, most>(of, right, {.offset = 3, .uneven = true}, total, run)), "");
  }
}

/// The last lane of a grid that is as large as it may be.
struct last_block {
  static constexpr std::size_t lanes = 32;
  std::size_t block() const { return blocks() - 1; }
  std::size_t blocks() const { return (std::size_t{1} << 30) / 32; }
  template <class F> void each(F&& f) { f(31u); }
};

BOOST_AUTO_TEST_SUITE(kernels_reduce)

BOOST_AUTO_TEST_CASE(sums_and_means_equal_the_collectives) {
  check<float, 1>(tutti::sum{}, 1);
  check<float, 8>(tutti::sum{}, 1);
  check<float, 3>(tutti::mean{}, 3);
  check<tutti::bfloat16, 8>(tutti::mean{}, 8);
  check<tutti::half, 2>(tutti::sum{}, 1);
  check<double, 5>(tutti::mean{}, 5);
}

BOOST_AUTO_TEST_CASE(other_reducers_are_folded_unchanged) {
  check<float, 4>(tutti::max{}, 1);
  check<float, 4>(furthest{}, 1);
}

BOOST_AUTO_TEST_CASE(reproducible_sums_have_the_bits_of_the_collectives) {
  check<float, 4>(tutti::reproducible_sum{}, 1);
  check<double, 3>(tutti::reproducible_mean{}, 3);
  check<tutti::bfloat16, 8>(tutti::reproducible_sum{}, 1);
  check_weighted(tutti::reproducible_weighted_mean{}, 7, {1, .5, 0, .25, 1, 0, .125});
}

BOOST_AUTO_TEST_CASE(many_contributions_with_weights) {
  check_weighted(tutti::weighted_mean{}, 7, {1, .5, 0, .25, 1, 0, .125});
  check_weighted(tutti::weighted_mean{}, 3, {0, 1, 1}); // the first counts for nothing
  check_weighted(furthest{}, 40, std::vector<double>(40, 1.0));
  check_weighted(tutti::mean{}, 129, std::vector<double>(129, 1.0));
}

BOOST_AUTO_TEST_CASE(counts_have_sixty_four_bits) {
  const std::size_t n = (std::size_t{1} << 32) + 1;
  kernels::rows<float, 1> of{{nullptr}, nullptr, n, 0, 1};
  std::size_t packets = 0, ones = 0, furthest_one = 0;
  last_block ctx;
  kernels::in_packets<4>(
      ctx, of.n, of.head, [&](std::size_t i) { ++packets, furthest_one = i; }, [&](std::size_t) { ++ones; });
  BOOST_CHECK_EQUAL(packets, 1u);
  BOOST_CHECK_EQUAL(furthest_one, n - 5);
  BOOST_CHECK_EQUAL(ones, 0u); // the one behind the packets is another lane's
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace reduce_kernels
