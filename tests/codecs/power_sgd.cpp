// power_sgd by itself: what travels of which shape, what its factors are, and what happens to nothing and to no numbers.
#include "codecs/coded.hpp"

#include <tutti/codecs/power_sgd.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

BOOST_AUTO_TEST_SUITE(low_rank)

namespace {

using shape = std::vector<std::int64_t>;
using tutti::power_sgd;
static_assert(tutti::codec<power_sgd> && tutti::staged_codec<power_sgd, float> && tutti::staged_codec<power_sgd, double>);
static_assert(!tutti::codec_of<power_sgd, float>, "it has no bytes that mean something alone");

/// One matrix on some ranks.
template <class T>
class simulated {
public:
  simulated(const power_sgd& codec, shape of, std::size_t ranks, std::size_t first = 0) {
    std::size_t n = 1;
    for (const auto d : of) n *= std::size_t(d);
    const tutti::coded_tensor tensors[] = {{{0, n}, of}};
    for (std::size_t r = 0; r < ranks; ++r) ranks_.push_back(codec.stages<T>({.where = {first, first + n}, .tensors = tensors}));
  }

  /// What arrives, on every rank.
  std::vector<std::vector<T>> exchange(std::vector<std::vector<T>> values, bool counts = true) {
    for (auto& rank : ranks_) rank.begin(0);
    const std::vector<T> agreed = mean_of<1>(values, mean_of<0>(values, {}));
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      ranks_[r].decode(values[r], std::span<const T>{agreed});
      if (counts) ranks_[r].commit();
    }
    return values;
  }

private:
  template <int Stage>
  std::vector<T> mean_of(std::vector<std::vector<T>>& values, const std::vector<T>& agreed) {
    std::vector<T> total(ranks_[0].length(Stage)), mine(total.size());
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      ranks_[r].template encode<Stage>(std::span<T>{values[r]}, std::span<const T>{agreed}, std::span<T>{mine});
      for (std::size_t i = 0; i < mine.size(); ++i) total[i] += mine[i] / T(ranks_.size());
    }
    return total;
  }

  std::vector<tutti::power_sgd_stages<T>> ranks_;
};

std::vector<float> product_of(std::size_t rows, std::size_t columns, double by = 1) {
  std::vector<float> m;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) m.push_back(float(by * std::cos(double(i)) * std::sin(double(j) + 1)));
  return m;
}
double largest(const std::vector<float>& x) {
  double most = 0;
  for (const float v : x) most = std::max(most, std::abs(double(v)));
  return most;
}

template <class T>
void check_products(std::size_t rows, std::size_t columns, std::size_t rank, double tolerance) {
  const tutti::matrix_shape is{rows, columns};
  tutti::random_stream draw{rows * 1000 + columns};
  const auto drawn = [&](std::size_t n) {
    std::vector<T> all(n);
    for (T& x : all) x = T(draw.uniform()) - T(.5);
    return all;
  };
  const auto m = drawn(rows * columns), right = drawn(columns * rank);
  std::vector<T> left(rows * rank), turned(columns * rank), whole(rows * columns);
  std::size_t arrived = 0;
  tutti::detail::times(m.data(), is, right.data(), left.data(), rank, [&](std::size_t row) { arrived += row == arrived; });
  BOOST_CHECK_EQUAL(arrived, rows);
  tutti::detail::transposed_times(m.data(), is, left.data(), turned.data(), rank);
  const std::vector<T> zeros(columns * rank);
  const std::array<const T*, 2> factors{zeros.data(), right.data()};
  tutti::detail::each_product(is, left.data(), factors, rank,
                              [&](std::size_t i, std::size_t begin, const T (&pieces)[2][256], auto n) {
                                for (std::size_t c = 0; c < n; ++c) // each once
                                  whole[i * columns + begin + c] += pieces[0][c] + pieces[1][c];
                              });
  double worst = 0;
  const auto compare = [&](T got, double wanted) { worst = std::max(worst, std::abs(double(got) - wanted)); };
  for (std::size_t k = 0; k < rank; ++k) {
    for (std::size_t i = 0; i < rows; ++i) {
      double all = 0;
      for (std::size_t j = 0; j < columns; ++j) all += double(m[i * columns + j]) * double(right[k * columns + j]);
      compare(left[k * rows + i], all);
    }
    for (std::size_t j = 0; j < columns; ++j) {
      double all = 0;
      for (std::size_t i = 0; i < rows; ++i) all += double(m[i * columns + j]) * double(left[k * rows + i]);
      compare(turned[k * columns + j], all);
    }
  }
  for (std::size_t i = 0; i < rows * columns; ++i) {
    double all = 0;
    for (std::size_t k = 0; k < rank; ++k)
      all += double(left[k * rows + i / columns]) * double(right[k * columns + i % columns]);
    compare(whole[i], all);
  }
  BOOST_CHECK_MESSAGE(worst <= tolerance, rows << " x " << columns << ", rank " << rank << ": " << worst);
}

} // namespace

BOOST_AUTO_TEST_CASE(a_tensor_is_cut_into_factors_where_that_gains) {
  constexpr power_sgd two{.rank = 2};
  BOOST_CHECK_EQUAL(two.values(shape{64, 3, 7, 7}), 422u); // 64 x 147
  BOOST_CHECK(two.factors(shape{64, 3, 7, 7}));
  for (const shape& whole : {shape{2, 2}, shape{1, 1000}, shape{1000, 1}, shape{7}, shape{}, shape{4, 4}, shape{0, 9}, shape{9, 0}}) {
    BOOST_CHECK(!two.factors(whole));
    const auto is = power_sgd::matrix_of(whole);
    BOOST_CHECK_EQUAL(two.values(whole), is.size());
  }
  BOOST_CHECK(!two.factors(shape{4, 3}) && two.factors(shape{5, 4})); // 14 for 12, 18 for 20
  BOOST_CHECK((!power_sgd{.rank = 9}.factors(shape{9, 4096}) && !power_sgd{.rank = 1 << 30}.factors(shape{64, 64})));
}

BOOST_AUTO_TEST_CASE(products_are_those_of_the_definition) {
  for (const auto& [rows, columns] : {std::pair{1u, 1u}, {3u, 15u}, {7u, 16u}, {5u, 17u}, {4u, 256u}, {3u, 300u}, {40u, 531u}, {9u, 4200u}}) {
    check_products<float>(rows, columns, 1, 1e-4);
    check_products<float>(rows, columns, 3, 1e-4);
    check_products<double>(rows, columns, 2, 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(columns_become_orthogonal_or_nothing) {
  constexpr std::size_t n = 50, rank = 4;
  std::vector<float> columns(n * rank);
  tutti::random_stream draw{3};
  for (std::size_t i = 0; i < n; ++i) {
    columns[i] = draw.uniform();
    columns[n + i] = columns[i] + 1e-4f * (draw.uniform() - .5f); // nearly the same
    columns[2 * n + i] = 3 * columns[i] - 2 * columns[n + i];     // nothing new
    columns[3 * n + i] = draw.uniform() * 1e-30f;
  }
  tutti::detail::orthogonalize(columns.data(), n, rank);
  for (std::size_t a = 0; a < rank; ++a)
    for (std::size_t b = 0; b <= a; ++b) {
      double all = 0;
      for (std::size_t i = 0; i < n; ++i) all += double(columns[a * n + i]) * double(columns[b * n + i]);
      const double wanted = a == b && a != 2 ? 1 : 0;
      BOOST_CHECK_MESSAGE(std::abs(all - wanted) < 1e-6, a << " times " << b << " is " << all);
    }
  std::vector<float> spoilt(2 * n, 1.0f);
  spoilt[7] = coded::infinite;
  tutti::detail::orthogonalize(spoilt.data(), n, 2);
  BOOST_CHECK(std::isnan(spoilt[7]) && std::isnan(spoilt[n + 3]));
}

BOOST_AUTO_TEST_CASE(nothing_stays_nothing_and_a_product_arrives) {
  simulated<float> all{power_sgd{.rank = 2}, {8, 6}, 3};

  const std::vector<float> zeros(48), product = product_of(8, 6);
  for (int turn = 0; turn < 2; ++turn) {
    const auto none = all.exchange({zeros, zeros, zeros});
    for (const auto& got : none) BOOST_CHECK(coded::same_bits(got, zeros));
  }
  const auto some = all.exchange({product, product_of(8, 6, 2), zeros}); // and nothing has died of the zeros
  BOOST_CHECK_SMALL(largest(coded::difference(some[0], product)), 1e-6);
  BOOST_CHECK(coded::same_bits(some[0], some[2]));

  const auto again = all.exchange({product, product, product}); // factor 2 is drawn anew
  std::vector<float> richer = product;
  for (std::size_t i = 0; i < 48; ++i) richer[i] += float(i / 6 == i % 6);
  double unsent = largest(richer);
  for (int turn = 0; turn < 60; ++turn) {
    const auto got = all.exchange({richer, richer, richer});
    unsent = largest(coded::difference(got[0], richer));
  }
  BOOST_CHECK_SMALL(largest(coded::difference(again[0], product)), 1e-5);
  BOOST_CHECK_GT(unsent, 0); // of rank 6, two a turn
}

BOOST_AUTO_TEST_CASE(what_arrives_and_what_is_left_is_all_of_it) {
  simulated<float> all{power_sgd{.rank = 1}, {12, 9}, 1};
  const auto g = coded::drawn(108);
  std::vector<double> arrived(108);
  constexpr int turns = 200;
  for (int turn = 0; turn < turns; ++turn) {
    const auto got = all.exchange({g})[0];
    for (std::size_t i = 0; i < g.size(); ++i) arrived[i] += double(got[i]) / turns;
  }
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i) worst = std::max(worst, std::abs(arrived[i] - double(g[i])));
  BOOST_CHECK_LT(worst, .1 * largest(g)); // what is left stays bounded, so on average all arrives
}

BOOST_AUTO_TEST_CASE(an_exchange_that_does_not_count_leaves_no_trace) {
  const auto g = coded::drawn(108), other = coded::drawn(108, 2);
  simulated<float> with{power_sgd{.rank = 2}, {12, 9}, 1}, without{power_sgd{.rank = 2}, {12, 9}, 1};
  with.exchange({g});
  without.exchange({g});
  auto spoilt = other;
  spoilt[3] = coded::none;
  const auto got = with.exchange({spoilt}, false)[0];
  BOOST_CHECK(std::isnan(got[3]));
  for (int turn = 0; turn < 3; ++turn) BOOST_CHECK(coded::same_bits(with.exchange({other})[0], without.exchange({other})[0]));
}

BOOST_AUTO_TEST_CASE(no_numbers_are_seen_by_all) {
  for (const float bad : {coded::none, coded::infinite, -coded::infinite})
    for (const std::size_t at : {0u, 50u, 107u}) {
      simulated<float> all{power_sgd{.rank = 2}, {12, 9}, 2};
      auto g = coded::drawn(108);
      g[at] = bad;
      const auto got = all.exchange({g, coded::drawn(108, 2)});
      BOOST_CHECK(std::isnan(got[0][at]) && std::isnan(got[1][at]));
    }
}

BOOST_AUTO_TEST_CASE(first_factors_are_named_by_seed_and_place) {
  const auto g = coded::drawn(108);
  const auto first = [&](std::uint64_t seed, std::size_t place) {
    return simulated<float>{power_sgd{.rank = 2, .seed = seed}, {12, 9}, 1, place}.exchange({g})[0];
  };
  BOOST_CHECK(coded::same_bits(first(0, 0), first(0, 0)));
  BOOST_CHECK(!coded::same_bits(first(0, 0), first(1, 0)));
  BOOST_CHECK(!coded::same_bits(first(0, 0), first(0, 108)));
  BOOST_CHECK(!coded::same_bits(first(0, 0), first(std::uint64_t{1} << 32, 0)));
}

BOOST_AUTO_TEST_SUITE_END()
