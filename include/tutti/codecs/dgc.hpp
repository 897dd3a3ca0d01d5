// dgc: momentum is taken before a sparse codec, where it grows for what has not been sent yet.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/rounded.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace tutti {

/// Deep gradient compression: u = momentum u + g and v = v + u are kept of each value, C(v) is sent, and what was sent of
/// v is taken from it (Lin, Han, Mao, Wang, Dally, "Deep gradient compression", ICLR 2018, arXiv 1712.01887, section
/// 3.2, "Momentum correction"). Where something was sent u becomes 0 as well, so that momentum does not go on pushing
/// with what is out of date (section 3.3, "Momentum factor masking"). So a value that waits gathers momentum while it
/// does, as it would without a codec. The optimizer has none of its own, or it would count twice: bind refuses one that
/// has. The paper begins with more values: warmed_up{dgc{...}, steps}. It clips what each rank contributes by its share of
/// the norm; training_options::clip clips what all have sent.
///
/// v = sent + v' holds as x = sent + e does in error_feedback, and who finishes results that lose something sends that
/// later, as there. Both are kept in float for bfloat16 and half. Every value of a model goes through it, its vectors
/// too, as what is exempt would have no momentum. A trainer of gradients over a schedule keeps both; by hand:
/// all_reduce(comm, data, codec, memory). On another number of ranks both begin with zeros again. Cost: four more reads
/// and writes of the values, and of u and v.
template <codec C>
struct dgc {
  static_assert(is_sparse<C>, "tutti: dgc forgets the momentum of what was sent, and this codec sends every value, so "
                              "that none would be left - use tutti::top_k or another sparse codec, or "
                              "tutti::error_feedback");
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;
  static constexpr bool remembers = true;
  static constexpr bool keeps_momentum = true;
  static constexpr std::array<std::string_view, 2> slots{"unsent", "momentum of the codec"};

  C inner{};
  double momentum = .9;
  bool masks = true; ///< momentum factor masking

  template <element T>
  void encode(const remembered_by<dgc, accumulator_t<T>>& memory, std::span<T> values, std::byte* out,
              const coding& at) const {
    using A = accumulator_t<T>;
    const auto& [unsent, moving] = memory;
    const std::size_t n = values.size();
    add(static_cast<A>(momentum), moving.before.data(), moving.after.data(), unsent.before.data(), unsent.after.data(),
        values.data(), n);
    detail::encode<T>(inner, std::span<const T>{values}, out, at);
    detail::decode<T>(inner, out, values, at);
    subtract(values.data(), moving.after.data(), unsent.after.data(), n);
  }

  auto results(int ranks) const { return error_feedback<C>{inner}.results(ranks); }
  const char* objection() const noexcept {
    if (!(momentum >= 0 && momentum < 1))
      return "dgc::momentum is not in [0, 1) - 0 is none, .9 what the paper has";
    if constexpr (requires { inner.objection(); }) return inner.objection();
    return nullptr;
  }

private:
  template <class T, class A>
  static void add(A keep, const A* __restrict moved, A* __restrict moves, const A* __restrict before,
                  A* __restrict all, T* __restrict values, std::size_t n) noexcept {
    const rounding rounded;
    detail::in_blocks<256>(n, [&](std::size_t begin, auto count) {
      for (std::size_t i = begin; i < begin + count; ++i) {
        moves[i] = rounded(keep * moved[i]) + element_cast<A>(values[i]);
        all[i] = before[i] + moves[i];
        values[i] = element_cast<T>(all[i]);
      }
    });
  }
  template <class T, class A>
  void subtract(const T* __restrict sent, A* __restrict moves, A* __restrict all, std::size_t n) const noexcept {
    detail::in_blocks<256>(n, [&](std::size_t begin, auto count) {
      for (std::size_t i = begin; i < begin + count; ++i) {
        const A arrives = element_cast<A>(sent[i]);
        all[i] -= arrives;
        moves[i] = masks && arrives != 0 ? A{} : moves[i];
      }
    });
  }
};
template <codec C>
dgc(C) -> dgc<C>;
template <codec C>
dgc(C, double) -> dgc<C>;
template <codec C>
dgc(C, double, bool) -> dgc<C>;

} // namespace tutti
