// error_feedback: what a codec leaves out is sent later. unsafe_biased: it is not.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/rounded.hpp>

#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>

namespace tutti {

/// What was not sent is added to what is sent next: x = decay e + g, C(x) is sent, e = x - C(x) (Seide, Fu, Droppo, Li,
/// Yu, "1-bit SGD", Interspeech 2014; Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018, algorithm 1;
/// Karimireddy et al., "Error feedback fixes SignSGD", ICML 2019, algorithm 2; with a decay < 1 as in SparseLoCo, arXiv
/// 2508.15706). Where finished results lose something too, whoever finishes a result remembers that in the same way
/// (Zheng, Huang, Kwok, "Communication-efficient distributed blockwise momentum SGD with error-feedback", NeurIPS 2019,
/// algorithm 2).
///
/// x = sent + e holds exactly for codecs that send a value or nothing and for whole numbers times a scale; otherwise e is
/// x - sent, rounded once. e is kept in float for bfloat16 and half, so the rounding of x to those is remembered too. A
/// trainer keeps e; by hand: all_reduce(comm, data, codec, memory), see codecs/memory.hpp. Cost: two more reads and
/// writes of the values, and of e.
template <codec C>
struct error_feedback {
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;
  static constexpr tutti::execution runs = runs_on<C>;
  static constexpr bool remembers = true;

  C inner{};
  double decay = 1; ///< of what was left out, in each exchange: in [0, 1]

  template <element T>
  void encode(remembered<accumulator_t<T>> memory, std::span<T> values, std::byte* out, const coding& at) const {
    using A = accumulator_t<T>;
    const std::size_t n = values.size();
    add(memory.before.data(), static_cast<A>(decay), values.data(), memory.after.data(), n);
    detail::encode<T>(inner, std::span<const T>{values}, out, at);
    detail::decode<T>(inner, out, values, at);
    subtract(values.data(), memory.after.data(), n);
  }

  /// Where results lose nothing there is nothing to remember.
  auto results(int ranks) const {
    const auto of_inner = detail::results_of(inner, ranks);
    if constexpr (loses_nothing<decltype(of_inner)>)
      return of_inner;
    else
      return error_feedback<std::remove_cv_t<decltype(of_inner)>>{of_inner, decay};
  }
  const char* objection() const noexcept {
    if (!(decay >= 0 && decay <= 1)) return "error_feedback::decay is not in [0, 1] - 1 forgets nothing, 0 everything";
    if constexpr (requires { inner.objection(); }) return inner.objection();
    return nullptr;
  }

private:
  template <class R>
  static constexpr bool loses_nothing = requires { requires bool{std::remove_cv_t<R>::keeps_results}; };

  template <class T, class A>
  static void add(const A* __restrict before, A decay, T* __restrict values, A* __restrict all,
                  std::size_t n) noexcept {
    const rounding rounded;
    detail::in_blocks<256>(n, [&](std::size_t begin, auto count) {
      for (std::size_t i = begin; i < begin + count; ++i) {
        all[i] = rounded(decay * before[i]) + element_cast<A>(values[i]);
        values[i] = element_cast<T>(all[i]);
      }
    });
  }
  template <class T, class A>
  static void subtract(const T* __restrict sent, A* __restrict all, std::size_t n) noexcept {
    detail::in_blocks<256>(n, [&](std::size_t begin, auto count) {
      for (std::size_t i = begin; i < begin + count; ++i) all[i] -= element_cast<A>(sent[i]);
    });
  }
};
template <codec C>
error_feedback(C) -> error_feedback<C>;
template <codec C>
error_feedback(C, double) -> error_feedback<C>;

/// A biased codec without error feedback, by who knows what is lost: it may never converge (Karimireddy et al., ICML
/// 2019, theorem I and its counter-examples).
template <codec C>
struct unsafe_biased : C {
  static constexpr bool biased = false;

  constexpr auto compared() const { return std::tie(static_cast<const C&>(*this)); }
};
template <codec C>
unsafe_biased(C) -> unsafe_biased<C>;

} // namespace tutti
