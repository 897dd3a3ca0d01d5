// Optimizers: how a gradient moves a parameter, described for one element.
//
//   slots                     the names of the values that each parameter has beside itself, an array of
//                             texts that may be empty; all begin as 0
//   at<T>(step)               the numbers of one step, worked out once; steps count from 1. What it returns
//                             is called for every parameter of the step:
//     (rounded, p, g, state)  moves the parameter p by its gradient g; state[k] is its k-th slot
//     (rounded, p, g, state, before)  optional, beside it: the same with the value that the parameter had when its
//                             gradient was taken, where that is another one: of pushes to servers
//   runs                      where what at() returns may be called (core/execution.hpp): execution::both where it is
//                             marked TUTTI_HD and no lambda; the host where nothing is said
//   learning_rate             a public member, so that a program may schedule it
//   offers<T>(step), coded(step)  optional, of one by which something else than gradients is exchanged: the numbers of one
//                             step again, which are called for every parameter of it before anything travels, as
//     (rounded, g, state)     what this rank offers of its gradient g, state being read; what at() returns is then called
//                             with what all ranks have agreed on of that in the place of g;
//                             and whether what is offered in such a step goes through the codec of the strategy
//   wrong()                   optional: what is wrong with its numbers, a text that is empty when nothing is; asked by
//                             whatever takes an optimizer, which refuses it on every rank
//
// Laws: the outcome depends on the parameter, its gradient, its slots and the step, on nothing else - so
// any split into key ranges gives the same bits, on replicas, servers and outer loops alike - and only
// they are written. Products that are added are `rounded` first (core/rounded.hpp), so the bits do not
// depend on -march.
//
// The loops are the library's: update() below.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/execution.hpp>
#include <tutti/core/rounded.hpp>

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tutti {

/// How many slots a parameter has.
template <class O>
inline constexpr std::size_t slots_of = O::slots.size();

/// The slots of a key range, each as long as the range.
template <class T, std::size_t Slots>
using optimizer_slots = std::array<std::span<T>, Slots>;

template <class O, class T>
concept optimizer =
    std::copy_constructible<O> && requires(const O o, std::int64_t step, const rounding& rounded,
                                           T& parameter, const T gradient, T* state) {
      { O::slots.size() } -> std::convertible_to<std::size_t>;
      { *O::slots.begin() } -> std::convertible_to<std::string_view>;
      requires O::slots.size() <= 8;
      o.template at<T>(step)(rounded, parameter, gradient, state);
    };

/// Whether something else than gradients is exchanged for it.
template <class O>
concept offers_another = requires(const O o, std::int64_t step, const rounding& rounded, const float* state) {
  { o.template offers<float>(step)(rounded, float{}, state) } -> std::same_as<float>;
  { o.coded(step) } -> std::same_as<bool>;
};

namespace detail {

/// The first of an optimizer's numbers that cannot be.
class wrong_number {
public:
  explicit wrong_number(const char* of) : of_{of} {}
  wrong_number& finite(const char* name, double x) { return require(std::isfinite(x), name, "a finite number"); }
  wrong_number& positive(const char* name, double x) {
    return require(std::isfinite(x) && x > 0, name, "a finite number above 0");
  }
  wrong_number& not_negative(const char* name, double x) {
    return require(std::isfinite(x) && x >= 0, name, "a finite number of at least 0");
  }
  /// Of what is kept of a running mean.
  wrong_number& fraction(const char* name, double x) {
    return require(x >= 0 && x < 1, name, "at least 0, and less than 1");
  }
  std::string text() const { return text_; }

private:
  wrong_number& require(bool right, const char* name, const char* give) {
    if (!right && text_.empty())
      text_ = std::string{name} + " of tutti::" + of_ + " cannot be - give " + give;
    return *this;
  }
  const char* of_;
  std::string text_;
};

/// Empty when nothing is wrong with it.
template <class O>
std::string wrong_optimizer(const O& o) {
  if constexpr (requires { std::string{o.wrong()}; })
    return o.wrong();
  else
    return {};
}

template <class O, class T>
concept looks_back = requires(const O o, std::int64_t step, const rounding& rounded, T& parameter, T* state) {
  o.template at<T>(step)(rounded, parameter, T{}, state, T{});
};

template <class T, class Moves, std::same_as<T*>... Slots>
void update_elements(const Moves& moves, std::size_t n, T* __restrict parameters,
                     const T* __restrict gradients, T factor, Slots __restrict... slots) {
  const rounding rounded;
  for (std::size_t i = 0; i < n; ++i) {
    T state[sizeof...(Slots) + 1] = {slots[i]...};
    moves(rounded, parameters[i], rounded(factor * gradients[i]), state);
    std::size_t k = 0;
    ((slots[i] = state[k++]), ...);
  }
}

/// values = what is offered of them, which are gradients.
template <class T, class Offers, std::same_as<const T*>... Slots>
void offer_elements(const Offers& offers, std::size_t n, T* __restrict values, Slots __restrict... slots) {
  const rounding rounded;
  for (std::size_t i = 0; i < n; ++i) {
    const T state[sizeof...(Slots) + 1] = {slots[i]...};
    values[i] = offers(rounded, values[i], state);
  }
}

} // namespace detail

/// One step of one key range, in place; gradients are multiplied by `factor` first. Parameters, gradients and
/// slots are different memory, and so is `before`, the values that the gradients were taken at; none where these are
/// the parameters.
template <class T, optimizer<T> O>
void update(const O& o, std::int64_t step, std::span<T> parameters, std::span<const T> gradients,
            const optimizer_slots<T, slots_of<O>>& state, T factor = 1, std::span<const T> before = {}) {
  const detail::exact_mode held;
  const auto moves = o.template at<T>(step);
  if constexpr (detail::looks_back<O, T>)
    if (!before.empty()) {
      const rounding rounded;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        T all[slots_of<O> + 1] = {};
        for (std::size_t k = 0; k < slots_of<O>; ++k) all[k] = state[k][i];
        moves(rounded, parameters[i], rounded(factor * gradients[i]), all, before[i]);
        for (std::size_t k = 0; k < slots_of<O>; ++k) state[k][i] = all[k];
      }
      return;
    }
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    detail::update_elements<T>(moves, parameters.size(), parameters.data(), gradients.data(),
                               factor, state[K].data()...);
  }(std::make_index_sequence<slots_of<O>>{});
}

/// What a rank offers of its gradients of one key range in a step, in their place, before they travel.
template <class T, optimizer<T> O>
  requires offers_another<O>
void offer(const O& o, std::int64_t step, std::span<T> gradients, const optimizer_slots<T, slots_of<O>>& state) {
  const detail::exact_mode held;
  const auto offers = o.template offers<T>(step);
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    detail::offer_elements<T>(offers, gradients.size(), gradients.data(), static_cast<const T*>(state[K].data())...);
  }(std::make_index_sequence<slots_of<O>>{});
}

} // namespace tutti
