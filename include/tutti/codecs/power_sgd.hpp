// power_sgd: matrices travel as two thin factors.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/matrices.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace tutti {

/// One part of a model under power_sgd, see there. Memory: two errors for each value, and of each matrix three right
/// factors and a left one.
template <std::floating_point T>
class power_sgd_stages {
public:
  using messages = std::tuple<stage_message<T>, stage_message<T>>;

  power_sgd_stages(std::size_t rank, std::uint64_t seed, const staged_part& part);

  std::size_t length(int stage) const noexcept { return stage == 0 ? lefts_ + whole_ : rights_; }

  void begin(std::uint64_t) {
    errors_.forget();
    unsent_ = errors_.at(0, where_.size());
  }
  template <int Stage>
  void encode(std::span<T> values, std::span<const T> agreed, std::span<T> out) {
    if constexpr (Stage == 0) {
      for (const matrix& m : matrices_) {
        T* const all = values.data() + m.begin;
        const T* const unsent = unsent_.before.data() + m.begin;
        detail::times(all, m.is, now_.data() + m.right, out.data() + m.left, rank_, [&](std::size_t row) {
          T* const here = all + row * m.is.columns;
          const T* const kept = unsent + row * m.is.columns;
          detail::along(m.is.columns, [&](std::size_t begin, auto count) {
            T sums[256];
            for (std::size_t c = 0; c < count; ++c) sums[c] = here[begin + c] + kept[begin + c];
            for (std::size_t c = 0; c < count; ++c) here[begin + c] = sums[c];
          });
        });
      }
      each_whole([&](place at, std::size_t in_message) {
        std::copy_n(values.begin() + std::ptrdiff_t(at.begin), at.size(), out.begin() + std::ptrdiff_t(in_message));
      });
    } else {
      std::copy_n(agreed.begin(), lefts_, left_.begin());
      take_whole(values, agreed);
      for (const matrix& m : matrices_) {
        detail::orthogonalize(left_.data() + m.left, m.is.rows, rank_);
        detail::transposed_times(values.data() + m.begin, m.is, left_.data() + m.left, own_.data() + m.right, rank_);
      }
      std::ranges::copy(own_, out.begin());
    }
  }
  void decode(std::span<T> values, std::span<const T> agreed) {
    std::ranges::copy(agreed, next_.begin());
    for (const matrix& m : matrices_) {
      T* const all = values.data() + m.begin;
      T* const unsent = unsent_.after.data() + m.begin;
      const std::array<const T*, 2> sent{own_.data() + m.right, next_.data() + m.right};
      detail::each_product(m.is, left_.data() + m.left, sent, rank_,
                           [&](std::size_t row, std::size_t begin, T (&pieces)[2][256], auto count) {
                             T* const here = all + row * m.is.columns + begin;
                             T* const kept = unsent + row * m.is.columns + begin;
                             for (std::size_t c = 0; c < count; ++c) pieces[0][c] = here[c] - pieces[0][c];
                             for (std::size_t c = 0; c < count; ++c) kept[c] = pieces[0][c];
                             for (std::size_t c = 0; c < count; ++c) here[c] = pieces[1][c];
                           });
    }
  }
  void commit() {
    errors_.commit();
    std::swap(now_, next_);
    for (const matrix& m : matrices_)
      for (std::size_t k = 0; k < rank_; ++k)
        if (std::ranges::all_of(column(m, k), [](T x) { return x == 0; })) draw(m, k);
  }
  void state(archive& to) {
    to.values("unsent", errors_.now(), where_, held_by::worker);
    std::vector<T> at_matrices(where_.size()); // a factor is shorter than its matrix
    const auto each = [&](auto&& use) {
      for (const matrix& m : matrices_)
        use(now_.begin() + std::ptrdiff_t(m.right), m.is.columns * rank_, at_matrices.begin() + std::ptrdiff_t(m.begin));
    };
    each([](auto factor, std::size_t n, auto here) { std::copy_n(factor, n, here); });
    to.values("right factors", std::span<T>{at_matrices}, where_, held_by::everyone);
    each([](auto factor, std::size_t n, auto here) { std::copy_n(here, n, factor); });
  }

private:
  struct matrix {
    std::size_t begin; ///< in the part
    matrix_shape is;
    std::size_t left, right; ///< where its factors begin
  };

  std::span<T> column(const matrix& m, std::size_t k) {
    return std::span<T>{now_}.subspan(m.right + k * m.is.columns, m.is.columns);
  }
  void draw(const matrix& m, std::size_t k) {
    random_stream stream{seed_, std::uint32_t(k), where_.begin + m.begin};
    for (T& x : column(m, k)) x = T(stream.uniform()) - T(.5);
  }
  template <class Use>
  void each_whole(Use&& use) const {
    std::size_t in_message = lefts_;
    for (const place at : travel_whole_) {
      use(at, in_message);
      in_message += at.size();
    }
  }
  void take_whole(std::span<T> values, std::span<const T> agreed) const {
    each_whole([&](place at, std::size_t in_message) {
      std::copy_n(agreed.begin() + std::ptrdiff_t(in_message), at.size(), values.begin() + std::ptrdiff_t(at.begin));
    });
  }

  std::size_t rank_;
  std::uint64_t seed_;
  place where_;
  std::vector<matrix> matrices_;
  std::vector<place> travel_whole_;                ///< places in the part
  std::size_t lefts_ = 0, rights_ = 0, whole_ = 0; ///< values of all of them
  std::vector<T> now_, next_, own_;                ///< right factors: to start from, agreed on, of this rank alone
  std::vector<T> left_;
  detail::two_generations<T> errors_;
  remembered<T> unsent_; ///< of the exchange that is on its way
};

/// A tensor of two dimensions or more is a matrix M, its first dimension against all others, and travels as two factors of
/// `rank` columns: P = mean(M Q), made orthogonal, and Q = mean(M^T P), from which the next step goes on; P Q^T arrives.
/// Of M = gradient + e, e = M - P (M^T P)^T is kept and sent later (Vogels, Karimireddy, Jaggi, "PowerSGD: practical
/// low-rank gradient compression for distributed optimization", NeurIPS 2019, arXiv 1905.13727, algorithms 1 and 2). The
/// first Q is drawn, the same on all ranks, uniform and not normal; so is again a column that has come out as zeros, from
/// which no power iteration would leave.
///
/// What a matrix would not gain by - (rows + columns) rank values are as many as it has, or more - travels as it is beside
/// the left factors, and so do vectors, and tensors that a part of the model holds only a piece of. Two all_reduces, one
/// behind the other, on any schedule. A trainer runs it, whose checkpoints have e and Q; the memory of a matrix does not
/// depend on the buckets. A NaN or infinity arrives as NaNs, in its row or in all of its matrix. Deterministic. Cost: each
/// value is read four times and written three times, and 4 rank products and sums are made of it.
struct power_sgd {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::additive;

  int rank = 4;
  std::uint64_t seed = 0; ///< of the first Q

  /// Whether a tensor of this shape travels as two factors.
  constexpr bool factors(std::span<const std::int64_t> shape) const noexcept {
    const matrix_shape is = matrix_of(shape);
    const auto columns = std::size_t(rank);
    return columns < (std::min)(is.rows, is.columns) && (is.rows + is.columns) * columns < is.size();
  }
  /// How many values it travels as, in both stages together.
  constexpr std::size_t values(std::span<const std::int64_t> shape) const noexcept {
    const matrix_shape is = matrix_of(shape);
    return factors(shape) ? (is.rows + is.columns) * std::size_t(rank) : is.size();
  }

  template <std::floating_point T>
  power_sgd_stages<T> stages(const staged_part& of) const {
    return {std::size_t(rank), seed, of};
  }
  const char* objection() const noexcept {
    return rank >= 1 ? nullptr : "power_sgd::rank is less than 1 - give how many columns a factor has, 1 to 4 say";
  }

  /// The first dimension against all others; of a vector one column.
  static constexpr matrix_shape matrix_of(std::span<const std::int64_t> shape) noexcept {
    matrix_shape is{1, 1};
    for (std::size_t k = 0; k < shape.size(); ++k) (k == 0 ? is.rows : is.columns) *= std::size_t(shape[k]);
    return is;
  }
};

template <std::floating_point T>
power_sgd_stages<T>::power_sgd_stages(std::size_t rank, std::uint64_t seed, const staged_part& part)
    : rank_{rank}, seed_{seed}, where_{part.where} {
  for (const coded_tensor& t : part.tensors)
    if (power_sgd{.rank = int(rank)}.factors(t.shape)) {
      const matrix_shape is = power_sgd::matrix_of(t.shape);
      matrices_.push_back({t.where.begin, is, lefts_, rights_});
      lefts_ += is.rows * rank;
      rights_ += is.columns * rank;
    } else {
      travel_whole_.push_back(t.where);
      whole_ += t.where.size();
    }
  for (auto* all : {&now_, &next_, &own_}) all->resize(rights_);
  left_.resize(lefts_);
  errors_.cover({0, where_.size()});
  for (const matrix& m : matrices_)
    for (std::size_t k = 0; k < rank; ++k) draw(m, k);
}

} // namespace tutti
