// A model as one range: where each tensor stands in it, and how it is read and written in pieces.
#pragma once

#include <tutti/core/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// Elements [begin, end) of a flat model. Buckets, fragments and shards are places.
struct place {
  std::size_t begin = 0, end = 0;

  constexpr std::size_t size() const noexcept { return end - begin; }
  constexpr bool empty() const noexcept { return begin == end; }
  friend constexpr bool operator==(const place&, const place&) = default;
};

/// What both have in common; empty where they have nothing.
constexpr place common(place a, place b) noexcept {
  const std::size_t begin = (std::max)(a.begin, b.begin);
  return {begin, (std::max)(begin, (std::min)(a.end, b.end))};
}

/// The tensors of a model one behind the other, the last one first: a backward pass ends with the first one,
/// so what is complete early is a beginning of the range. The values stay where they are, and belong to
/// the caller; two models of the same tensors have the same places.
template <class T>
class flat_model {
public:
  flat_model() = default;
  explicit flat_model(std::vector<tensor<T>> tensors) : tensors_{std::move(tensors)} {
    begins_.resize(tensors_.size());
    for (std::size_t k = tensors_.size(); k-- > 0;) {
      begins_[k] = size_;
      size_ += tensors_[k].values.size();
    }
  }

  std::size_t size() const noexcept { return size_; }
  std::size_t count() const noexcept { return tensors_.size(); }
  const tensor<T>& operator[](std::size_t k) const { return tensors_[k]; }
  std::span<const tensor<T>> tensors() const noexcept { return tensors_; }

  /// Where tensor k stands.
  place place_of(std::size_t k) const {
    return {begins_[k], begins_[k] + tensors_[k].values.size()};
  }
  /// The tensor that element i belongs to; i < size().
  std::size_t tensor_at(std::size_t i) const {
    // Beginnings fall from the first tensor to the last; empty tensors share theirs with the next.
    std::size_t k = std::size_t(std::partition_point(begins_.begin(), begins_.end(),
                                                     [&](std::size_t begin) { return begin > i; }) -
                                begins_.begin());
    while (tensors_[k].values.empty()) ++k;
    return k;
  }

  /// use(k, piece) for the piece of each tensor k in `where`, in the order of the range; `piece` is the place
  /// of what they have in common.
  template <class Use>
  void each(place where, Use&& use) const {
    if (where.empty()) return;
    for (std::size_t k = tensor_at(where.begin) + 1; k-- > 0 && begins_[k] < where.end;)
      if (const place piece = common(where, place_of(k)); !piece.empty()) use(k, piece);
  }
  /// The values of a piece of tensor k.
  std::span<T> values(std::size_t k, place piece) const {
    return tensors_[k].values.subspan(piece.begin - begins_[k], piece.size());
  }

  /// Copies a place out of the tensors, and into them.
  template <class To>
  void read(place where, To* to) const {
    each(where, [&](std::size_t k, place piece) {
      const auto from = values(k, piece);
      std::copy(from.begin(), from.end(), to + (piece.begin - where.begin));
    });
  }
  template <class From>
  void write(place where, const From* from) const {
    each(where, [&](std::size_t k, place piece) {
      const From* const begin = from + (piece.begin - where.begin);
      std::copy(begin, begin + piece.size(), values(k, piece).begin());
    });
  }

private:
  std::vector<tensor<T>> tensors_;
  std::vector<std::size_t> begins_; ///< of each tensor
  std::size_t size_ = 0;
};

} // namespace tutti
