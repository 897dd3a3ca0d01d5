// updating: an optimizer and its state over a place of the flat model.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/core/members.hpp>
#include <tutti/optimizers/muon.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/training/memory.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::detail {

/// What one tensor's update differs in from the optimizer's.
struct group_factors {
  double rate = 1, decay = 1;
  friend bool operator==(const group_factors&, const group_factors&) = default;
};

/// The rate of an optimizer; NaN where it has none.
template <class O>
double rate_of(const O& o) {
  if constexpr (requires { double(o.learning_rate); })
    return double(o.learning_rate);
  else if constexpr (requires { o.inner.learning_rate; })
    return detail::rate_of(o.inner);
  else
    return std::numeric_limits<double>::quiet_NaN();
}
template <class O>
O at_rate(O o, double rate) {
  if constexpr (requires { o.learning_rate = rate; })
    if (!std::isnan(rate)) o.learning_rate = rate;
  if constexpr (requires { o.inner.learning_rate; }) o.inner = detail::at_rate(o.inner, rate);
  return o;
}
template <class O>
O in_group(O o, group_factors by) {
  if constexpr (requires { o.learning_rate = o.learning_rate * by.rate; }) o.learning_rate *= by.rate;
  if constexpr (requires { o.weight_decay = o.weight_decay * by.decay; }) o.weight_decay *= by.decay;
  if constexpr (requires { o.inner.learning_rate; }) o.inner = detail::in_group(o.inner, by);
  return o;
}

/// One piece of one tensor: what is updated by what.
template <class T>
struct update_of {
  std::int64_t step;
  std::span<T> values;
  std::span<const T> gradients;
  T factor; ///< gradients are multiplied by it first
  group_factors group;
  double rate = std::numeric_limits<double>::quiet_NaN(); ///< in place of the optimizer's; NaN for that
  std::span<const T> before = {}; ///< what the gradients were taken at; none where these are the values
};

/// What an optimizer of matrices does with one in the host's memory, see optimizers/muon.hpp.
template <class T>
struct matrix_stages {
  void (*gather)(const void*, const update_of<T>&, std::span<T> to, std::span<T> slot) = nullptr;
  void (*orthonormalize)(const void*, std::span<T>, matrix_shape) = nullptr;
  void (*apply)(const void*, const update_of<T>&) = nullptr;

  template <class O>
  static matrix_stages of() {
    matrix_stages all;
    if constexpr (takes_matrices<O>) {
      all.gather = [](const void* with, const update_of<T>& what, std::span<T> to, std::span<T> slot) {
        const exact_mode held;
        const rounding rounded;
        const auto gathers = static_cast<const O*>(with)->template gathers<T>(what.step);
        for (std::size_t i = 0; i < to.size(); ++i)
          to[i] = gathers(rounded, rounded(what.factor * what.gradients[i]), &slot[i]);
      };
      all.orthonormalize = [](const void* with, std::span<T> values, matrix_shape is) {
        static_cast<const O*>(with)->orthonormalize(values, is);
      };
      all.apply = [](const void* with, const update_of<T>& what) {
        const exact_mode held;
        const rounding rounded;
        const O o = detail::in_group(*static_cast<const O*>(with), what.group);
        const auto applies = o.template applies<T>(what.step);
        for (std::size_t i = 0; i < what.values.size(); ++i) applies(rounded, what.values[i], what.gradients[i]);
      };
    }
    return all;
  }
};

/// What an optimizer has exchanged in place of gradients, of slots in the host's memory.
template <class T>
struct offering {
  void (*offer)(const void*, std::int64_t step, std::span<T> gradients, const std::span<T>* slots) = nullptr;
  bool (*coded)(const void*, std::int64_t step) = nullptr;

  template <class O>
  static offering of() {
    offering all;
    if constexpr (offers_another<O>) {
      all.offer = [](const void* with, std::int64_t step, std::span<T> gradients, const std::span<T>* slots) {
        optimizer_slots<T, slots_of<O>> state;
        for (std::size_t k = 0; k < state.size(); ++k) state[k] = slots[k];
        tutti::offer<T>(*static_cast<const O*>(with), step, gradients, state);
      };
      all.coded = [](const void* with, std::int64_t step) { return static_cast<const O*>(with)->coded(step); };
    }
    return all;
  }
};

/// Refers to the optimizer, which may be changed between two steps. Its slots cover one place, in the memory of what it
/// updates, which outlives it.
template <class T>
class updater {
public:
  updater() = default;
  template <class Verbs, optimizer<T> O>
  updater(Verbs& in, const O& by, place where)
      : in_{&in}, optimizer_{&by}, names_{O::slots.begin(), O::slots.end()}, where_{where},
        update_{[](memory<T>& at, const void* with, const update_of<T>& what, const std::span<T>* slots) {
          const O& o = *static_cast<const O*>(with);
          optimizer_slots<T, slots_of<O>> state;
          for (std::size_t k = 0; k < state.size(); ++k) state[k] = slots[k];
          const auto make = [&](const O& as) {
            static_cast<Verbs&>(at).update(as, what.step, what.values, what.gradients, state, what.factor, what.before);
          };
          if (what.group == group_factors{} && std::isnan(what.rate))
            make(o);
          else
            make(detail::in_group(detail::at_rate(o, what.rate), what.group));
        }},
        numbers_{[](const void* o) { return detail::hashed_numbers(hash_of_nothing, *static_cast<const O*>(o)); }},
        matrices_{matrix_stages<T>::template of<O>()}, offering_{offering<T>::template of<O>()}, looks_back_{looks_back<O, T>} {
    for (std::size_t k = 0; k < names_.size(); ++k) slots_.emplace_back(in, where.size());
  }

  place where() const noexcept { return where_; }
  /// One number for all that the optimizer has, as they are now.
  std::uint64_t numbers() const { return numbers_(optimizer_); }
  memory<T>& in() const noexcept { return *in_; }
  /// Whether the optimizer asks for what gradients were taken at.
  bool is_looking_back() const noexcept { return looks_back_; }
  std::size_t slots() const noexcept { return slots_.size(); }
  std::span<T> slot(std::size_t k) const { return slots_[k].span(); }

  /// The values of `at`, a part of where().
  void operator()(place at, const update_of<T>& what) {
    std::array<std::span<T>, 8> pieces;
    for (std::size_t k = 0; k < slots_.size(); ++k) pieces[k] = slot_in(k, at);
    update_(*in_, optimizer_, what, pieces.data());
  }
  /// Whether something else than gradients is exchanged for the optimizer. Then, before the values of `at` travel, what
  /// is takes their place, and whether it goes through the strategy's codec in this step of theirs.
  bool offers_another() const noexcept { return offering_.offer != nullptr; }
  void offer(place at, std::int64_t step, std::span<T> gradients) const {
    std::array<std::span<T>, 8> pieces;
    for (std::size_t k = 0; k < slots_.size(); ++k) pieces[k] = slot_in(k, at);
    offering_.offer(optimizer_, step, gradients, pieces.data());
  }
  bool coded(std::int64_t step) const { return offering_.coded(optimizer_, step); }
  /// Whether the optimizer has something else in mind for whole matrices. Then for each the three that follow, in this
  /// order: what the step is made of, from its gradient; that orthonormalised, in place; and the step by it.
  bool takes_matrices() const noexcept { return matrices_.gather != nullptr; }
  void gather(place at, const update_of<T>& what, std::span<T> to) {
    matrices_.gather(optimizer_, what, to, momentum(at));
  }
  std::span<T> momentum(place at) const { return slot_in(0, at); }
  void orthonormalize(std::span<T> values, matrix_shape is) const { matrices_.orthonormalize(optimizer_, values, is); }
  void apply(const update_of<T>& what) const { matrices_.apply(optimizer_, what); }

  /// Back to the beginning, for the values of `at`.
  void forget(place at) {
    for (std::size_t k = 0; k < slots_.size(); ++k) in_->clear(slot_in(k, at));
  }

  void state(archive& to, std::string_view prefix, held_by whom) {
    for (std::size_t k = 0; k < slots_.size(); ++k)
      in_->on_host(slot(k), [&](std::span<T> values) {
        to.values(std::string{prefix} + std::string{names_[k]}, values, where_, whom);
      });
  }

private:
  std::span<T> slot_in(std::size_t k, place at) const {
    return slots_[k].span().subspan(at.begin - where_.begin, at.size());
  }

  memory<T>* in_ = nullptr;
  const void* optimizer_ = nullptr;
  std::vector<std::string_view> names_;
  place where_;
  void (*update_)(memory<T>&, const void*, const update_of<T>&, const std::span<T>*) = nullptr;
  std::uint64_t (*numbers_)(const void*) = nullptr;
  matrix_stages<T> matrices_;
  offering<T> offering_;
  bool looks_back_ = false;
  std::vector<kept_values<T>> slots_;
};

} // namespace tutti::detail
