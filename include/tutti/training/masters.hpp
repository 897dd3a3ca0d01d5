// Masters: parameters in half precision are trained in float, and rounded once a step.
#pragma once

#include <tutti/core/flat_model.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/training/memory.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// The model's tensors as their owner has them, beside masters in T.
template <class T>
class short_copies {
public:
  virtual ~short_copies() = default;
  virtual void read_into_masters() = 0;
  virtual void round_masters() = 0;
};

/// What is trained: the caller's own tensors, or masters of them.
template <class T>
struct bound_model {
  flat_model<T> model;
  std::vector<std::span<std::byte>> given; ///< the memory of each tensor as its owner has it
  std::unique_ptr<short_copies<T>> copies = {}; ///< null where the tensors are the masters

  /// After the caller's tensors were written.
  void read() {
    if (copies) copies->read_into_masters();
  }
  /// After masters were.
  void publish() {
    if (copies) copies->round_masters();
  }
};

template <class T, class V, class Verbs>
class copies_of final : public short_copies<T> {
public:
  copies_of(Verbs& in, std::vector<tensor<V>> given, const std::vector<bool>& held_back, bound_model<T>& to)
      : in_{in}, given_{std::move(given)} {
    std::vector<tensor<T>> masters;
    for (const tensor<V>& t : given_) {
      values_.emplace_back(in, t.values.size());
      masters.push_back({t.name, values_.back().span(), t.shape});
    }
    to.model = flat_model<T>{std::move(masters), held_back};
  }
  void read_into_masters() override {
    for (std::size_t k = 0; k < given_.size(); ++k)
      in_.cast(std::span<const V>{given_[k].values}, values_[k].span());
  }
  void round_masters() override {
    for (std::size_t k = 0; k < given_.size(); ++k)
      in_.cast(std::span<const T>{values_[k].span()}, given_[k].values);
  }

private:
  Verbs& in_;
  std::vector<tensor<V>> given_;
  std::vector<kept_values<T>> values_;
};

/// Of tensors in the memory `in`, which outlives what is returned; `held_back` as in flat_model.
template <class T, class V, class Verbs>
bound_model<T> bound(Verbs& in, std::vector<tensor<V>> given, const std::vector<bool>& held_back = {}) {
  bound_model<T> all;
  for (const tensor<V>& t : given) all.given.push_back(std::as_writable_bytes(t.values));
  if constexpr (std::is_same_v<T, V>)
    all.model = flat_model<T>{std::move(given), held_back};
  else
    all.copies = std::make_unique<copies_of<T, V, Verbs>>(in, std::move(given), held_back, all);
  return all;
}

} // namespace tutti::detail
