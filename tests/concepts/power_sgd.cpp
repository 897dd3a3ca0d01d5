// PowerSGD: a codec of two additive stages. A gradient matrix M is sent as M Q and then Mt P, both
// averaged over the ranks, and becomes P Qt (Vogels, Karimireddy, Jaggi, "PowerSGD: practical
// low-rank gradient compression for distributed optimization", NeurIPS 2019, algorithm 1, with
// error feedback).
#include <tutti/codecs/codec.hpp>
#include <tutti/core/random.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Row-major, of whatever shape its user says.
using matrix = std::vector<float>;

/// a (n x m) times b (m x r); or at(a) times b when `turned`, a being m x n.
matrix times(const matrix& a, const matrix& b, std::size_t n, std::size_t m, std::size_t r,
             bool turned = false) {
  matrix out(n * r);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < m; ++k)
      for (std::size_t j = 0; j < r; ++j)
        out[i * r + j] += (turned ? a[k * n + i] : a[i * m + k]) * b[k * r + j];
  return out;
}

/// Gram-Schmidt on the columns of an n x r matrix; a column that depends on the others becomes
/// zero.
void orthogonalize(matrix& a, std::size_t n, std::size_t r) {
  for (std::size_t j = 0; j < r; ++j) {
    const auto dot = [&](std::size_t k) {
      double total = 0;
      for (std::size_t i = 0; i < n; ++i) total += double(a[i * r + j]) * double(a[i * r + k]);
      return total;
    };
    for (std::size_t k = 0; k < j; ++k) {
      const auto share = float(dot(k));
      for (std::size_t i = 0; i < n; ++i) a[i * r + j] -= share * a[i * r + k];
    }
    const double norm = std::sqrt(dot(j));
    for (std::size_t i = 0; i < n; ++i) a[i * r + j] *= norm > 1e-5 ? float(1 / norm) : 0.f;
  }
}

struct power_sgd {
  using part = tutti::codec_part;
  static constexpr auto kind = tutti::codec_kind::additive;

  /// What is kept from step to step: Q, the start of the next power iteration, and the error; and
  /// from stage to stage: the matrix and its left factor.
  template <class T>
  struct state {
    matrix right, error, whole, left;
  };

  std::size_t columns = 4; ///< of the matrix that the values are taken for, the last row filled up
  std::size_t rank = 1;

  constexpr int stages() const { return 2; }

  template <class T>
  std::vector<float> stage(state<T>& memory, int k, std::span<const T> values,
                           std::span<const float> agreed) const {
    const std::size_t rows = (values.size() + columns - 1) / columns;
    if (k == 0) {
      take_in(memory, values, rows * columns);
      return times(memory.whole, memory.right, rows, columns, rank);
    }
    memory.left.assign(agreed.begin(), agreed.end());
    orthogonalize(memory.left, rows, rank);
    return times(memory.whole, memory.left, columns, rows, rank, true);
  }

  template <class T>
  void finish(state<T>& memory, std::span<const float> agreed, std::span<T> out) const {
    const std::size_t rows = (out.size() + columns - 1) / columns;
    memory.right.assign(agreed.begin(), agreed.end());
    matrix result(rows * columns);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t q = 0; q < rank; ++q)
          result[i * columns + j] += memory.left[i * rank + q] * memory.right[j * rank + q];
    memory.error = memory.whole;
    for (std::size_t i = 0; i < result.size(); ++i) memory.error[i] -= result[i];
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = T(result[i]);
  }

private:
  template <class T>
  void take_in(state<T>& memory, std::span<const T> values, std::size_t total) const {
    if (memory.right.empty()) { // the same draw on every rank
      tutti::random_stream draw{0};
      for (std::size_t i = 0; i < columns * rank; ++i) memory.right.push_back(draw.uniform() - .5f);
      memory.error.assign(total, 0);
    }
    memory.whole = memory.error;
    for (std::size_t i = 0; i < values.size(); ++i) memory.whole[i] += float(values[i]);
  }
};

static_assert(tutti::codec<power_sgd> && tutti::staged_codec<power_sgd, float>);
static_assert(!tutti::codec_of<power_sgd, float>, "it has no bytes that mean something alone");

/// One step of the codec on simulated ranks; every rank's result.
std::vector<matrix> step(const power_sgd& codec, std::vector<power_sgd::state<float>>& memories,
                         const std::vector<matrix>& gradients) {
  std::vector<float> agreed;
  for (int k = 0; k < codec.stages(); ++k) {
    std::vector<float> total;
    for (std::size_t r = 0; r < gradients.size(); ++r) {
      const auto mine = codec.stage(memories[r], k, std::span{gradients[r]}, agreed);
      total.resize(mine.size());
      for (std::size_t i = 0; i < mine.size(); ++i) total[i] += mine[i] / float(gradients.size());
    }
    agreed = total;
  }
  std::vector<matrix> out(gradients.size(), matrix(gradients[0].size()));
  for (std::size_t r = 0; r < gradients.size(); ++r)
    codec.finish(memories[r], agreed, std::span{out[r]});
  return out;
}

float largest_difference(const matrix& a, const matrix& b) {
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
  return most;
}

std::vector<matrix> random_gradients(std::size_t ranks) {
  tutti::random_stream draw{11};
  std::vector<matrix> out(ranks, matrix(16));
  for (auto& g : out)
    for (float& x : g) x = draw.uniform() - .5f;
  return out;
}

matrix mean_of(const std::vector<matrix>& all) {
  matrix out(all[0].size());
  for (const auto& one : all)
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += one[i] / float(all.size());
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(power_sgd_of_full_rank_is_the_mean_with_the_same_bits_everywhere) {
  const auto gradients = random_gradients(3);
  std::vector<power_sgd::state<float>> memories(3);

  const auto result = step(power_sgd{.columns = 4, .rank = 4}, memories, gradients);

  BOOST_CHECK_SMALL(largest_difference(result[0], mean_of(gradients)), 1e-5f);
  BOOST_CHECK(result[1] == result[0] && result[2] == result[0]);
}

BOOST_AUTO_TEST_CASE(power_sgd_of_rank_one_catches_up_through_its_memory) {
  const auto gradients = random_gradients(3);
  std::vector<power_sgd::state<float>> memories(3);
  matrix arrived(16), expected = mean_of(gradients);

  constexpr int steps = 40;
  for (int k = 0; k < steps; ++k) {
    const auto result = step(power_sgd{.columns = 4, .rank = 1}, memories, gradients);
    for (std::size_t i = 0; i < 16; ++i) arrived[i] += result[2][i] / steps;
  }

  BOOST_CHECK_SMALL(largest_difference(arrived, expected), .1f);
  matrix unsent(16);
  for (const auto& m : memories)
    for (std::size_t i = 0; i < 16; ++i) unsent[i] += m.error[i] / 3 / steps;
  for (std::size_t i = 0; i < 16; ++i) arrived[i] += unsent[i];
  BOOST_CHECK_SMALL(largest_difference(arrived, expected), 1e-4f); // nothing is lost
}

BOOST_AUTO_TEST_SUITE_END()
