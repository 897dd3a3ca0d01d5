// Symbolic values: which contributions a partial result holds, and in which order they were added.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tutti::detail {

/// n copies of a value. (clang 14 evaluates push_back at compile time, but not vector(n).)
template <class Value>
constexpr std::vector<Value> filled(std::size_t n, const Value& value) {
  std::vector<Value> all;
  all.reserve(n);
  for (std::size_t k = 0; k < n; ++k) all.push_back(value);
  return all;
}

/// Expressions over `inputs` leaves, one per rank: a leaf, the combination of two expressions, or
/// the rounding of one. Equal expressions have equal numbers ("hash-consing"), where swapping the
/// operands of a single combination makes no difference and rounding twice is rounding once. Leaf r
/// is number r.
class expressions {
public:
  constexpr explicit expressions(int inputs)
      : inputs_{inputs}, words_{(std::size_t(inputs) + 63) / 64}, slots_{filled(64, none)} {
    for (int rank = 0; rank < inputs; ++rank) {
      add(none, none, rank);
      for (std::size_t w = 0; w < words_; ++w)
        bits_.push_back(w == std::size_t(rank) / 64 ? std::uint64_t{1} << (rank % 64) : 0);
      counts_.push_back({1, false});
    }
  }

  constexpr int combine(int a, int b) {
    if (b < a) std::swap(a, b);
    std::size_t slot = slot_of(a, b);
    for (; slots_[slot] != none; slot = (slot + 1) & (slots_.size() - 1)) {
      const node& known = nodes_[std::size_t(slots_[slot])];
      if (known.left == a && known.right == b) return slots_[slot];
    }
    const int made = add(a, b, unite(contribution(a), contribution(b)));
    slots_[slot] = made;
    if (++combinations_ * 2 > slots_.size()) grow();
    return made;
  }

  constexpr int rounded(int a) {
    if (nodes_[std::size_t(a)].rounded == none) {
      const int made = add(a, none, nodes_[std::size_t(a)].contributions);
      nodes_[std::size_t(made)].rounded = made;
      nodes_[std::size_t(a)].rounded = made;
    }
    return nodes_[std::size_t(a)].rounded;
  }

  /// A rank's own input, perhaps rounded.
  constexpr bool is_input(int a) const {
    const node& n = nodes_[std::size_t(a)];
    return n.right == none && n.left < inputs_;
  }
  /// Some input was added twice.
  constexpr bool repeats(int a) const { return counts_[contribution(a)].repeated; }
  /// Every input was added exactly once.
  constexpr bool is_complete(int a) const {
    return !repeats(a) && counts_[contribution(a)].distinct == inputs_;
  }

private:
  static constexpr int none = -1;

  struct node {
    int left, right;   ///< a leaf has neither, a rounding only the left one
    int rounded;       ///< the rounding of this node, where there is one
    int contributions; ///< the row of bits_ and counts_; a rounding shares its operand's
  };
  struct count {
    int distinct;
    bool repeated;
  };

  constexpr int add(int left, int right, int contributions) {
    nodes_.push_back({left, right, none, contributions});
    return int(nodes_.size()) - 1;
  }
  constexpr std::size_t contribution(int a) const {
    return std::size_t(nodes_[std::size_t(a)].contributions);
  }

  constexpr int unite(std::size_t a, std::size_t b) {
    count sum{0, counts_[a].repeated || counts_[b].repeated};
    for (std::size_t w = 0; w < words_; ++w) {
      const std::uint64_t x = bits_[a * words_ + w], y = bits_[b * words_ + w];
      sum.repeated = sum.repeated || (x & y) != 0;
      sum.distinct += int(std::popcount(x | y));
      bits_.push_back(x | y);
    }
    counts_.push_back(sum);
    return int(counts_.size()) - 1;
  }

  constexpr std::size_t slot_of(int a, int b) const {
    const std::uint64_t key = std::uint64_t(a) << 32 | std::uint64_t(b);
    return std::size_t((key * 0x9e3779b97f4a7c15u) >> 32) & (slots_.size() - 1);
  }
  constexpr void grow() {
    slots_ = filled(slots_.size() * 4, none);
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
      if (nodes_[k].right == none) continue;
      std::size_t slot = slot_of(nodes_[k].left, nodes_[k].right);
      while (slots_[slot] != none) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = int(k);
    }
  }

  int inputs_;
  std::size_t words_;
  std::vector<int> slots_; ///< open addressing: the numbers of all combinations
  std::size_t combinations_ = 0;
  std::vector<node> nodes_;
  std::vector<count> counts_;
  std::vector<std::uint64_t> bits_;
};

} // namespace tutti::detail
