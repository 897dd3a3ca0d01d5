// exempt: which tensors of a model travel as they are, where it is not those that do anyway.
#pragma once

#include <tutti/codecs/codec.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace tutti {

/// Tensors of at most one dimension: biases, and what norms multiply by. They are few, and their values are of other sizes
/// than those of matrices.
struct vectors {
  static bool exempts(std::string_view /*name*/, std::span<const std::int64_t> shape) noexcept { return shape.size() <= 1; }
};

/// In a strategy: tensors of which `rule.exempts(name, shape)` is true travel as they are, and all others through `inner`
/// (as in PowerSGD: Vogels, Karimireddy, Jaggi, NeurIPS 2019, section 3, "biases"). A rule of your own is a class with that
/// function; it must answer the same on every rank. What is exempt comes behind all else, so it is one bucket more, not
/// one for each tensor, and the last to leave. A model of which all is exempt is refused: values without a shape have one
/// dimension. Works where contributions are reduced over a schedule.
/// Without exempt a codec of one stage leaves alone, in the same way, what has the role `vector` (training/roles.hpp), unless
/// that is all there is, or the reducer agrees on something in the data, or owners have differences.
template <class Rule, codec C>
struct exempt {
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;

  C inner{};
  Rule rule{};
};
template <codec C>
exempt(C) -> exempt<vectors, C>;
template <codec C, class Rule>
exempt(C, Rule) -> exempt<Rule, C>;

} // namespace tutti
