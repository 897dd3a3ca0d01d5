// ef21: what travels is how far a contribution has moved away from what all believe it to be.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/core/blocks.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

namespace tutti {

/// Every rank r keeps g_r, what all believe its contribution to be, and all keep their mean g: C(x - g_r) is sent and added to
/// g_r, and the mean of what is sent to g, which is what arrives (Richtarik, Sokolov, Fatkhullin, "EF21: a new, simpler,
/// theoretically better, and practically faster error feedback", NeurIPS 2021, arXiv 2106.05203, algorithm 2). Both are zeros
/// at first. A contribution that stays the same arrives in the end, at the rate at which C contracts; in place of
/// error_feedback where ranks have unlike data, as what is kept does not grow with what they disagree in. Where
/// finished results lose something, whoever finishes them sends that later, as error_feedback does.
///
/// g is the mean of the g_r but for the rounding of each step, in float for bfloat16 and half. A contribution counts the
/// same in every exchange, so a weighted_mean does not compile. A trainer keeps all of it; by hand: all_reduce(comm, data,
/// codec, memory). On another number of ranks all begin with zeros again. Cost: three more reads and writes of the values,
/// and of g_r and g.
template <codec C>
struct ef21 {
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;
  static constexpr bool remembers = true;
  static constexpr bool follows = true;

  C inner{};

  template <element T>
  void encode(remembered<accumulator_t<T>> memory, std::span<T> values, std::byte* out, const coding& at) const {
    using A = accumulator_t<T>;
    const std::size_t n = values.size();
    each(n, [&](std::size_t i) { values[i] = element_cast<T>(element_cast<A>(values[i]) - memory.before[i]); });
    detail::encode<T>(inner, std::span<const T>{values}, out, at);
    detail::decode<T>(inner, out, values, at);
    each(n, [&](std::size_t i) { memory.after[i] = memory.before[i] + element_cast<A>(values[i]); });
  }
  /// What has come of all that was sent becomes what arrives.
  template <element T>
  void follow(remembered<accumulator_t<T>> memory, std::span<T> values) const {
    each(values.size(), [&](std::size_t i) {
      memory.after[i] = memory.before[i] + element_cast<accumulator_t<T>>(values[i]);
      values[i] = element_cast<T>(memory.after[i]);
    });
  }

  auto results(int ranks) const { return error_feedback<C>{inner}.results(ranks); }
  const char* objection() const noexcept {
    if constexpr (requires { inner.objection(); }) return inner.objection();
    return nullptr;
  }

private:
  template <class Use>
  static void each(std::size_t n, Use&& use) {
    detail::in_blocks<256>(n, [&](std::size_t begin, auto count) {
      for (std::size_t i = begin; i < begin + count; ++i) use(i);
    });
  }
};
template <codec C>
ef21(C) -> ef21<C>;

} // namespace tutti
