// Sums whose bits are a function of what is added: against exact integers, in every order and grouping, and through the
// collectives on every rank count.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/core/random.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(reproducible)

namespace {

using tutti::binned, tutti::bfloat16, tutti::half;
__extension__ typedef __int128 wide_int;
constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
constexpr float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();

template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (!(a == a) && !(b == b));
}
template <class T>
T total(const std::vector<T>& numbers) {
  binned<T> all;
  for (const T x : numbers) all.add(x);
  return all.value();
}
/// +-m 2^e, m of as many bits as T has, e from 0 to below `spread`.
template <class T>
T number(tutti::random_stream& draw, int spread) {
  const auto m = double(draw()) * 0x1p-32 + double(draw()) * 0x1p-64 + .5;
  const auto x = T(std::ldexp(m, int(draw.below(std::uint32_t(spread)))));
  return draw.below(2) == 0 ? x : -x;
}
/// Whether no T is nearer to sum 2^-unit than x, and of two as near x is the even one.
template <class T>
bool is_nearest(T x, wide_int sum, int unit) {
  const auto off = [&](T y) {
    const auto d = static_cast<wide_int>(std::ldexp(y, unit)) - sum;
    return d < 0 ? -d : d;
  };
  for (const T y : {std::nextafter(x, T(-INFINITY)), std::nextafter(x, T(INFINITY))}) {
    if (off(y) < off(x)) return false;
    int e = 0;
    const bool odd = std::fmod(std::ldexp(std::frexp(x, &e), std::numeric_limits<T>::digits), T(2)) != 0;
    if (off(y) == off(x) && odd) return false;
  }
  return true;
}

template <class T>
void check_exact_sums(int spread, int unit) {
  tutti::random_stream draw{17, std::uint32_t(sizeof(T))};
  for (int k = 0; k < 2000; ++k) {
    std::vector<T> numbers(1 + draw.below(6));
    wide_int exact = 0;
    for (T& x : numbers) {
      x = number<T>(draw, spread);
      if (draw.below(4) == 0) x = -numbers[draw.below(std::uint32_t(&x - numbers.data() + 1))]; // what cancels
      exact += static_cast<wide_int>(std::ldexp(x, unit));
    }
    if (!is_nearest(total(numbers), exact, unit)) {
      BOOST_CHECK_MESSAGE(false, sizeof(T) << " bytes, sum " << k << " begins with " << numbers[0] << ": "
                                           << total(numbers));
      return;
    }
  }
  BOOST_CHECK(true);
}

} // namespace

BOOST_AUTO_TEST_CASE(exact_sums_are_rounded_once) {
  check_exact_sums<float>(30, 26);   // multiples of 2^-25, up to 2^30: nothing is cut off
  check_exact_sums<double>(30, 54);
}

BOOST_AUTO_TEST_CASE(exact_sums_of_floats_are_rounded_once_to_double_too) {
  tutti::random_stream draw{23};
  for (int k = 0; k < 2000; ++k) {
    binned<float> all;
    wide_int exact = 0;
    for (std::uint32_t left = 1 + draw.below(6); left > 0; --left) {
      const float x = number<float>(draw, 60);
      if (std::fabs(x) < 0x1p8f) continue; // within 2^55 of each other
      all.add(x);
      exact += static_cast<wide_int>(std::ldexp(x, 20));
    }
    const double got = all.value<double>();
    BOOST_REQUIRE_MESSAGE(exact == 0 ? got == 0 : is_nearest(got, exact, 20), "sum " << k << ": " << got);
  }
  BOOST_CHECK(same(binned<float>{}.value<double>(), -0.) && same(binned<float>{0.f}.value<double>(), 0.));
  binned<float> far;
  for (const float x : {least, most, most, -most}) far.add(x);
  BOOST_CHECK_EQUAL(far.value<double>(), double(most)); // least is cut off
  BOOST_CHECK_EQUAL(binned<float>{least}.value<double>(), double(least));
  BOOST_CHECK_EQUAL(binned<float>{-inf}.value<double>(), -double(inf));
}

template <class T>
void check_many_at_once(std::uint32_t seed) {
  tutti::random_stream draw{seed};
  const std::size_t n = 200; // three blocks and a rest
  std::vector<binned<T>> at_once(n), by_itself(n);
  for (int round = 0; round < 60; ++round) {
    std::vector<T> x(n);
    for (T& one : x) {
      one = std::ldexp(number<T>(draw, 3), int(draw.below(sizeof(T) == 4 ? 270 : 2000)) - (sizeof(T) == 4 ? 149 : 1074));
      if (round % 3 == 1) one = number<T>(draw, 20); // as numbers are in practice
      if (draw.below(8) == 0) one = draw.below(2) == 0 ? T(0) : T(-0.0);
      if (round > 40 && draw.below(500) == 0) one = draw.below(2) == 0 ? T(nan) : T(-inf);
    }
    binned<T>::add(at_once.data(), x.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      by_itself[i].add(x[i]);
      BOOST_REQUIRE_MESSAGE(at_once[i] == by_itself[i], sizeof(T) << " bytes, round " << round << ", value " << i);
    }
  }
}
BOOST_AUTO_TEST_CASE(many_numbers_added_at_once_have_the_bits_of_each_added_by_itself) {
  check_many_at_once<float>(3);
  check_many_at_once<double>(4);
}

BOOST_AUTO_TEST_CASE(a_float_sum_loses_what_a_binned_one_keeps) {
  BOOST_CHECK_EQUAL((0x1p30f + 1.f) + -0x1p30f, 0.f);
  BOOST_CHECK_EQUAL(total<float>({0x1p30f, 1, -0x1p30f}), 1.f);
  BOOST_CHECK_EQUAL(total<double>({0x1p80, 1, -0x1p80}), 1.);
  BOOST_CHECK_EQUAL(total<float>({1, 0x1p-24f, 0x1p-50f}), 1 + 0x1p-23f); // more than half of the last place
  BOOST_CHECK_EQUAL(total<float>({1, 0x1p-24f}), 1.f);                      // a tie, to even
  BOOST_CHECK_EQUAL(total<float>({1 + 0x1p-23f, 0x1p-24f}), 1 + 0x1p-22f);
}

BOOST_AUTO_TEST_CASE(what_is_cut_off_is_less_than_the_promised_part_of_the_greatest) {
  for (int e = -149; e < 127; ++e) {
    const float big = std::ldexp(1.f, 100), x = std::ldexp(1.f, e);
    const float kept = total<float>({big, x, -big});
    BOOST_CHECK_MESSAGE(e >= 100 - 55 ? kept == x : kept == 0 || kept == x, "2^" << e << ": " << kept);
  }
  for (int e = -1074; e < 900; e += 7) {
    const double big = std::ldexp(1., 900), x = std::ldexp(1., e);
    const double kept = total<double>({big, x, -big});
    BOOST_CHECK_MESSAGE(e >= 900 - 84 ? kept == x : kept == 0 || kept == x, "2^" << e << ": " << kept);
  }
}

BOOST_AUTO_TEST_CASE(the_ends_of_the_range) {
  BOOST_CHECK_EQUAL(total<float>({most, most}), inf);
  BOOST_CHECK_EQUAL(total<float>({most, most, -most}), most); // no overflow on the way
  BOOST_CHECK_EQUAL(total<float>({most, std::ldexp(1.f, 102)}), most);
  BOOST_CHECK_EQUAL(total<float>({most, std::ldexp(1.f, 103)}), inf); // half of the last place
  BOOST_CHECK_EQUAL(total<float>({least, least, least}), 3 * least);
  BOOST_CHECK_EQUAL(total<float>({0x1p-126f, -least}), 0x1p-126f - least);
  const double huge = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  BOOST_CHECK_EQUAL(total<double>({huge, huge, -huge}), huge);
  BOOST_CHECK_EQUAL(total<double>({-huge, -huge}), -double(inf));
  BOOST_CHECK_EQUAL(total<double>({tiny, tiny}), 2 * tiny);
  BOOST_CHECK_EQUAL(total<double>({0x1p-1022, -tiny}), 0x1p-1022 - tiny);
}

BOOST_AUTO_TEST_CASE(nan_infinities_and_zeros_add_up_as_it_is_written) {
  BOOST_CHECK(std::isnan(total<float>({1, nan, 2})));
  BOOST_CHECK(std::isnan(total<float>({inf, 1, -inf})));
  BOOST_CHECK_EQUAL(total<float>({-most, inf, -most, -most}), inf);
  BOOST_CHECK_EQUAL(total<double>({5, -double(inf)}), -double(inf));
  BOOST_CHECK(same(total<float>({}), -0.f) && same(total<float>({-0.f, -0.f}), -0.f));
  BOOST_CHECK(same(total<float>({-0.f, 0.f}), 0.f) && same(total<float>({1, -1}), 0.f));
}

BOOST_AUTO_TEST_CASE(shorter_formats_are_rounded_once_too) {
  binned<float> all;
  for (const float x : {1 + 0x1p-8f, 0x1p-33f}) all.add(x); // through float: a tie of bfloat16, to even
  BOOST_CHECK_EQUAL(float(all.value<bfloat16>()), 1 + 0x1p-7f);
  binned<float> of_half;
  for (const float x : {1 + 0x1p-11f, -0x1p-40f}) of_half.add(x);
  BOOST_CHECK_EQUAL(float(of_half.value<half>()), 1.f);
  BOOST_CHECK_EQUAL(float(tutti::detail::nearest<bfloat16>(1 + 0x1p-8 + 0x1p-33)), 1 + 0x1p-7f);
  BOOST_CHECK_EQUAL(float(tutti::detail::nearest<half>(1 + 0x1p-11 - 0x1p-40)), 1.f);
  BOOST_CHECK_EQUAL(float(tutti::detail::nearest<half>(-1e9)), -inf);
}

BOOST_AUTO_TEST_CASE(any_order_and_grouping_has_the_same_bits) {
  tutti::random_stream draw{5};
  for (int k = 0; k < 300; ++k) {
    std::vector<float> numbers(2 + draw.below(40));
    for (float& x : numbers) x = std::ldexp(number<float>(draw, 3), int(draw.below(240)) - 140); // far apart
    if (k % 10 == 0) numbers[0] = k % 20 == 0 ? inf : -0.f;
    binned<float> expected;
    for (const float x : numbers) expected.add(x);
    for (std::size_t n = numbers.size(); n > 1; --n) std::swap(numbers[n - 1], numbers[draw.below(std::uint32_t(n))]);
    std::vector<binned<float>> groups(1 + draw.below(5));
    for (const float x : numbers) groups[draw.below(std::uint32_t(groups.size()))].add(x);
    binned<float> merged;
    for (const auto& g : groups) merged.add(g);
    BOOST_REQUIRE(merged == expected && same(merged.value(), expected.value()));
  }
}

static_assert(!tutti::accepts_element<tutti::reproducible_sum, std::int32_t>);
static_assert(tutti::accepts_element<tutti::reproducible_sum, binned<double>>);
static_assert(sizeof(binned<float>) == 24 && sizeof(binned<double>) == 32);
static_assert(tutti::folding_reducer<tutti::reproducible_sum, float>, "any topology carries it");

namespace {

template <class T, class R>
void united_as_folded(const R& r) {
  tutti::random_stream draw{3, std::uint32_t(sizeof(T))};
  const double special[] = {inf, -inf, nan, 0, -0., 1e-44, 3e38, 1, 0x1p-30, -1};
  for (std::size_t rows = 1; rows < 9; ++rows) {
    std::vector<std::vector<T>> all(rows, std::vector<T>(700));
    std::vector<const T*> in;
    for (auto& row : all) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        double x = double(number<float>(draw, i % 3 == 0 ? 60 : 8));
        if (i > 300 && draw.below(3) == 0) x = special[draw.below(10)];
        row[i] = tutti::element_cast<T>(x);
      }
      in.push_back(row.data());
    }
    std::vector<T> got(700);
    r.template unite<T>(in, got.data(), got.size(), double(rows));
    for (std::size_t i = 0; i < got.size(); ++i) {
      auto total = r.template identity<tutti::reducer_accumulator_t<R, T>>();
      for (const T* row : in) total = r.combine(total, r.lift(row[i], 1));
      const T expected = r.template lower<T>(total, double(rows));
      if (!same(got[i], expected)) {
        BOOST_CHECK_MESSAGE(false, tutti::element_name<T> << ", " << rows << " rows, " << i << ": " << float(got[i])
                                                          << " instead of " << float(expected));
        return;
      }
    }
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(contributions_that_meet_have_the_bits_of_a_fold) {
  united_as_folded<float>(tutti::reproducible_sum{});
  united_as_folded<double>(tutti::reproducible_sum{});
  united_as_folded<half>(tutti::reproducible_sum{});
  united_as_folded<bfloat16>(tutti::reproducible_sum{});
  united_as_folded<float>(tutti::reproducible_mean{});
  united_as_folded<double>(tutti::reproducible_mean{});
  united_as_folded<bfloat16>(tutti::reproducible_mean{});
  BOOST_CHECK(true); // what differs has been said
}

namespace {

/// Twelve contributions of n values, far apart.
std::vector<std::vector<float>> twelve(std::size_t n) {
  tutti::random_stream draw{23};
  std::vector<std::vector<float>> all(12, std::vector<float>(n));
  for (auto& row : all)
    for (float& x : row) x = std::ldexp(number<float>(draw, 40), -30);
  return all;
}

/// The sum of all twelve on `ranks` ranks, each of which adds up every ranks-th: what rank 0 and the last one get.
template <class Topology>
std::vector<std::vector<float>> spread_over(int ranks, const Topology& topology, std::size_t n, std::size_t buckets) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks), std::vector<float>(n));
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<binned<float>> mine(n);
    const auto all = twelve(n);
    for (auto k = std::size_t(world.rank()); k < all.size(); k += std::size_t(ranks))
      for (std::size_t i = 0; i < n; ++i) mine[i].add(all[k][i]);
    for (std::size_t b = 0; b < buckets; ++b) {
      const std::size_t begin = n * b / buckets, end = n * (b + 1) / buckets;
      tutti::all_reduce(world, std::span{mine}.subspan(begin, end - begin), tutti::reproducible_sum{}, topology);
    }
    for (std::size_t i = 0; i < n; ++i) out[std::size_t(world.rank())][i] = mine[i].value();
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(the_same_contributions_give_the_same_bits_on_any_number_of_ranks_and_any_topology) {
  constexpr std::size_t n = 500;
  const auto expected = spread_over(1, tutti::direct{}, n, 1)[0];
  for (int ranks = 1; ranks <= 8; ++ranks)
    for (const std::size_t buckets : {1u, 3u}) {
      const auto check = [&](const auto& topology, const char* name) {
        for (const auto& got : spread_over(ranks, topology, n, buckets))
          BOOST_CHECK_MESSAGE(std::memcmp(got.data(), expected.data(), n * sizeof(float)) == 0,
                              ranks << " ranks, " << buckets << " buckets, " << name);
      };
      check(tutti::direct{}, "direct");
      check(tutti::ring{}, "ring");
      if (buckets == 1) check(tutti::binomial_tree{}, "binomial_tree");
    }
}

BOOST_AUTO_TEST_CASE(one_contribution_a_rank_has_the_same_bits_on_every_topology_and_in_every_order) {
  constexpr std::size_t n = 3000;
  const auto all = twelve(n);
  for (const int ranks : {2, 3, 5})
    for (const std::size_t length : {std::size_t{40}, n}) {
      std::vector<float> expected(length);
      for (std::size_t i = 0; i < length; ++i) {
        binned<float> sum;
        for (int r = 0; r < ranks; ++r) sum.add(all[std::size_t(r)][i]);
        expected[i] = sum.value();
      }
      const auto check = [&](const auto& topology, int turn) {
        std::vector<int> right(static_cast<std::size_t>(ranks));
        tutti::threads::run(ranks, [&](auto& world) {
          std::vector<float> mine = all[std::size_t((world.rank() + turn) % ranks)];
          tutti::all_reduce(world, std::span{mine}.first(length), tutti::reproducible_sum{}, topology);
          right[std::size_t(world.rank())] = std::memcmp(mine.data(), expected.data(), length * sizeof(float)) == 0;
        });
        BOOST_CHECK_EQUAL(std::count(right.begin(), right.end(), 1), ranks);
      };
      check(tutti::direct{}, 0);
      check(tutti::direct{}, 1);
      check(tutti::ring{}, 1);
      check(tutti::star{}, 0);
    }
}

BOOST_AUTO_TEST_CASE(weights_are_added_up_in_any_order) {
  std::vector<float> results;
  const double weights[] = {.1, .7, 1e-9, 3};
  for (int turn = 0; turn < 4; ++turn)
    tutti::threads::run(4, [&](auto& world) {
      const auto k = std::size_t((world.rank() + turn) % 4);
      std::vector<float> mine{float(k) + .3f};
      tutti::all_reduce(world, mine, tutti::reproducible_weighted_mean{}, tutti::options{.weight = weights[k]});
      if (world.rank() == 0) results.push_back(mine[0]);
    });
  BOOST_CHECK_CLOSE(results[0], (.03 + .7 * 1.3 + 2.3e-9 + 9.9) / 3.800000001, 1e-5);
  for (const float x : results) BOOST_CHECK(same(x, results[0]));
}

BOOST_AUTO_TEST_SUITE_END()
