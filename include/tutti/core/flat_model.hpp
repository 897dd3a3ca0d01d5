// A model as one range: where each tensor stands in it, and which pieces a place of it has.
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
/// so what is complete early is a beginning of the range. Some may be held back, and come behind all others. The values
/// stay where they are, and belong to the caller; two models of the same tensors have the same places.
template <class T>
class flat_model {
public:
  flat_model() = default;
  /// `held_back` says so of each tensor; empty: of none.
  explicit flat_model(std::vector<tensor<T>> tensors, const std::vector<bool>& held_back = {})
      : tensors_{std::move(tensors)}, begins_(tensors_.size()) {
    const auto lay_out = [&](bool back) {
      for (std::size_t k = tensors_.size(); k-- > 0;)
        if ((!held_back.empty() && held_back[k]) == back) {
          order_.push_back(k);
          begins_[k] = size_;
          size_ += tensors_[k].values.size();
        }
    };
    lay_out(false);
    held_back_from_ = size_;
    lay_out(true);
  }

  std::size_t size() const noexcept { return size_; }
  std::size_t count() const noexcept { return tensors_.size(); }
  const tensor<T>& operator[](std::size_t k) const { return tensors_[k]; }
  std::span<const tensor<T>> tensors() const noexcept { return tensors_; }

  /// The tensors as they follow each other in the range, and where those that are held back begin.
  std::span<const std::size_t> order() const noexcept { return order_; }
  std::size_t held_back_from() const noexcept { return held_back_from_; }

  /// Where tensor k stands.
  place place_of(std::size_t k) const {
    return {begins_[k], begins_[k] + tensors_[k].values.size()};
  }
  /// The tensor that element i belongs to; i < size().
  std::size_t tensor_at(std::size_t i) const {
    return order_[position_of(i)];
  }

  /// use(k, piece) for the piece of each tensor k in `where`, in the order of the range; `piece` is the place
  /// of what they have in common.
  template <class Use>
  void each(place where, Use&& use) const {
    if (where.empty()) return;
    for (std::size_t p = position_of(where.begin); p < order_.size() && begins_[order_[p]] < where.end; ++p)
      if (const place piece = common(where, place_of(order_[p])); !piece.empty()) use(order_[p], piece);
  }
  /// The values of a piece of tensor k.
  std::span<T> values(std::size_t k, place piece) const {
    return tensors_[k].values.subspan(piece.begin - begins_[k], piece.size());
  }

private:
  /// In the order of the range, of the tensor that element i belongs to.
  std::size_t position_of(std::size_t i) const {
    // The last one that begins at i or before it: empty tensors share their beginning with the next.
    const auto behind = std::partition_point(order_.begin(), order_.end(), [&](std::size_t k) { return begins_[k] <= i; });
    return std::size_t(behind - order_.begin()) - 1;
  }

  std::vector<tensor<T>> tensors_;
  std::vector<std::size_t> begins_; ///< of each tensor
  std::vector<std::size_t> order_ = {};
  std::size_t size_ = 0, held_back_from_ = 0;
};

} // namespace tutti
