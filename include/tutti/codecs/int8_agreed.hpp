// int8_agreed: whole numbers that are added up as they are, as all ranks have agreed on what one of them is.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/stochastic.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

namespace tutti {

/// One part of a model under int8_agreed, see there.
template <std::floating_point T>
class int8_agreed_stages {
public:
  static constexpr std::size_t block = 256;
  using messages = std::tuple<stage_message<float, stage_reduction::maximum>, stage_message<signed char, stage_reduction::sum>>;

  int8_agreed_stages(std::uint64_t seed, const staged_part& part)
      : seed_{seed}, levels_{127 / part.ranks}, divisor_{part.means ? float(part.ranks) : 1.0f}, n_{part.where.size()},
        at_{.first = part.where.begin, .rank = part.rank}, scales_((n_ + block - 1) / block) {}

  std::size_t length(int stage) const noexcept { return stage == 0 ? scales_.size() : n_; }

  void begin(std::uint64_t exchange) noexcept { at_.exchange = exchange; }
  template <int Stage>
  void encode(std::span<T> values, std::span<const float> largest, auto out) {
    detail::in_blocks<block>(n_, [&](std::size_t begin, auto count) {
      if constexpr (Stage == 0) {
        out[begin / block] = std::bit_cast<float>(detail::largest_magnitude(values.data() + begin, count));
      } else {
        const float scale = detail::scale_of(detail::magnitude(largest[begin / block]), float(levels_));
        scales_[begin / block] = scale;
        coding here = at_;
        here.first += begin;
        if (scale == scale)
          detail::round_at_random(values.data() + begin, 1 / scale, levels_, seed_, here, &out[begin], count);
        else
          for (std::size_t i = begin; i < begin + count; ++i) out[i] = 0;
      }
    });
  }
  void decode(std::span<T> values, std::span<const signed char> sums) const {
    detail::in_blocks<block>(n_, [&](std::size_t begin, auto count) {
      const float scale = scales_[begin / block];
      for (std::size_t i = 0; i < count; ++i)
        values[begin + i] = static_cast<T>(float(sums[begin + i]) * scale / divisor_);
    });
  }
  void commit() noexcept {}
  void state(archive&) noexcept {}

private:
  std::uint64_t seed_;
  std::int32_t levels_; ///< so that the sum of all ranks' is a number of eight bits
  float divisor_;
  std::size_t n_;
  coding at_;
  std::vector<float> scales_; ///< of each block
};

/// Ranks agree on the largest magnitude M of each 256 values, then x becomes a whole number l of steps M / L, L =
/// floor(127 / ranks), one of the two next to x, drawn so that the mean is x; the l are added up, in eight bits on any schedule, and no
/// sum of them overflows (Mishchenko, Wang, Kovalev, Richtarik, "IntSGD: adaptive floatless compression of stochastic
/// gradients", ICLR 2022, arXiv 2102.08374, section 3, with the largest magnitude for the scale). Unbiased; of a value of
/// the mean over p ranks the error is below M / L, on average in squares at most (M / L)^2 / (4 p). As integers are added
/// exactly, the result does not depend on the schedule. A block that holds a NaN or an infinity on any rank arrives as NaNs.
/// Draws are named by seed, exchange, place and rank. Two all_reduces, one behind the other: of ceil(n / 256) floats and of
/// n bytes. A trainer runs it, with up to 127 ranks; for more than a few the steps become coarse. Deterministic. Cost: two
/// reads of the values, one write.
struct int8_agreed {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::additive;

  std::uint64_t seed = 0;

  template <std::floating_point T>
  int8_agreed_stages<T> stages(const staged_part& of) const {
    return {seed, of};
  }
  const char* wrong(int ranks) const noexcept {
    return ranks <= 127 ? nullptr : "int8_agreed has no number of eight bits for the sum of more than 127 ranks - use "
                                    "tutti::int8_block, or a cast";
  }
};

} // namespace tutti
