// The roll call of a step: what every rank says before its contributions are put together.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/bits.hpp>
#include <tutti/core/flat_model.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::detail {

/// What the others have to know of one rank.
struct presence {
  double weight = 0;   ///< of its contribution
  bool counts = false; ///< it has one
  bool joined = false; ///< it has no more batches
  bool spoilt = false; ///< what it would tell its neighbours holds a NaN or an infinity
  std::uint64_t numbers = 0; ///< one for all of its optimizer's; where ranks make the same update
  std::vector<char> present = {}, frozen = {}; ///< of each tensor: has it a gradient; is it not trained
};

/// Said at the beginning of an exchange, and heard while gradients are computed. 16 bytes a rank, and two
/// bits a tensor.
class roll_call {
public:
  roll_call() = default;
  explicit roll_call(control& ranks, std::size_t tensors)
      : ranks_{&ranks}, tensors_{tensors}, blocks_{detail::words_for_bits(tensors)} {}

  void say(const presence& mine) {
    words_.assign(2 + 2 * blocks_, 0);
    words_[0] = std::bit_cast<std::uint64_t>(mine.weight);
    words_[1] = std::uint64_t(mine.joined) | std::uint64_t(mine.counts) << 1 | std::uint64_t(mine.spoilt) << 2 |
                (mine.numbers ^ mine.numbers >> 32) << 3;
    const auto write = [&, to = std::span{words_}](std::size_t at, const std::vector<char>& of) {
      detail::write_bits(to.subspan(at, blocks_), tensors_, [&](std::size_t k) { return of[k] != 0; });
    };
    write(2, mine.present);
    write(2 + blocks_, mine.frozen);
    complete_ = false;
    ranks_->say(words_);
  }
  /// Whether everyone has spoken. Never waits.
  bool called() {
    if (!complete_ && ranks_->said()) hear();
    return complete_;
  }
  void wait() {
    if (!complete_) hear();
  }

  std::span<const double> weights() const noexcept { return weights_; }
  /// Whether any rank has a contribution.
  bool counts() const noexcept { return count_ > 0; }
  bool alike() const noexcept {
    return std::equal(weights_.begin() + 1, weights_.end(), weights_.begin());
  }
  bool all_joined() const noexcept { return joined_ == ranks_->size(); }
  bool spoilt() const noexcept { return spoilt_ > 0; }
  /// Whether no rank has anything more.
  bool over() const noexcept { return all_joined() && !counts(); }
  /// Whether any rank has a gradient of tensor k.
  bool present(std::size_t k) const { return detail::bit(present_, k); }
  /// A tensor that is frozen on rank 0 or on `peer`, and not on the other; peer -1 when there is none.
  struct disagreement {
    int peer = -1;
    std::size_t tensor = 0;
  };
  const disagreement& unlike() const noexcept { return unlike_; }
  /// A rank whose optimizer has other numbers than that of rank 0; -1 when there is none.
  int other_numbers() const noexcept { return other_numbers_; }

private:
  void hear() {
    const std::span<const std::uint64_t> all = ranks_->all();
    const std::size_t n = words_.size();
    weights_.assign(std::size_t(ranks_->size()), 0);
    present_.assign(blocks_, 0);
    joined_ = count_ = spoilt_ = 0;
    unlike_ = {};
    other_numbers_ = -1;
    const auto frozen = all.subspan(2 + blocks_, blocks_);
    for (int r = 0; r < ranks_->size(); ++r) {
      const auto said = all.subspan(std::size_t(r) * n, n);
      weights_[std::size_t(r)] = std::bit_cast<double>(said[0]);
      joined_ += int(said[1] & 1);
      count_ += int(said[1] >> 1 & 1);
      spoilt_ += int(said[1] >> 2 & 1);
      if (other_numbers_ < 0 && (said[1] ^ all[1]) >> 3 != 0) other_numbers_ = r;
      for (std::size_t k = 0; k < blocks_; ++k) present_[k] |= said[2 + k];
      const auto other = said.subspan(2 + blocks_, blocks_);
      if (unlike_.peer >= 0 || std::equal(frozen.begin(), frozen.end(), other.begin())) continue;
      unlike_.peer = r;
      while (detail::bit(frozen, unlike_.tensor) == detail::bit(other, unlike_.tensor)) ++unlike_.tensor;
    }
    complete_ = true;
  }

  control* ranks_ = nullptr;
  std::size_t tensors_ = 0, blocks_ = 0;
  std::vector<std::uint64_t> words_, present_;
  std::vector<double> weights_;
  int joined_ = 0, count_ = 0, spoilt_ = 0, other_numbers_ = -1;
  disagreement unlike_;
  bool complete_ = false;
};

} // namespace tutti::detail
