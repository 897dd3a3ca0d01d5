// What goes in front of the values between workers and servers: a few words, a message of their own, so that values
// travel from where they are to where they belong.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::detail {

/// Of a worker's message: kind, clock, what the gradient weighs, and its note. All messages of a worker have the same
/// length, the values that follow included, so that their receive is posted before they are sent.
class push_head {
public:
  /// A push with its gradient; a step without one; no more steps; a meeting of all ranks, by its number as clock.
  enum kinds : std::uint64_t { push = 1, leave_out = 2, done = 3, meeting = 4 };

  push_head() = default;
  explicit push_head(std::size_t words) : words_(own + words) {}
  void set(kinds kind, std::int64_t clock, double weight, std::span<const std::uint64_t> note) {
    words_[0] = kind;
    words_[1] = std::uint64_t(clock);
    words_[2] = std::bit_cast<std::uint64_t>(weight);
    for (std::size_t k = 0; k < note.size(); ++k) words_[own + k] = note[k];
  }
  std::uint64_t kind() const { return words_[0]; }
  std::int64_t clock() const { return std::int64_t(words_[1]); }
  double weight() const { return std::bit_cast<double>(words_[2]); }
  std::span<const std::uint64_t> note() const { return std::span{words_}.subspan(own); }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span{words_}); }

private:
  static constexpr std::size_t own = 3;
  std::vector<std::uint64_t> words_ = std::vector<std::uint64_t>(own);
};

/// Of a server's: kind, whether the push that it answers has counted, and a bit for each rank that is lost.
class answer_head {
public:
  /// The parameters; those at the end; and none, to a worker that was given up.
  enum kinds : std::uint64_t { answer = 1, end = 2, given_up = 3 };

  answer_head() = default;
  explicit answer_head(int ranks) : words_(own + (std::size_t(ranks) + 63) / 64) {}
  void set(kinds kind, bool counted) {
    words_[0] = kind;
    words_[1] = counted;
  }
  std::uint64_t kind() const { return words_[0]; }
  bool counted() const { return words_[1] != 0; }
  bool is_lost(int rank) const { return words_[word(rank)] >> rank % 64 & 1; }
  void loses(int rank) { words_[word(rank)] |= std::uint64_t{1} << rank % 64; }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span{words_}); }

private:
  static constexpr std::size_t own = 2;
  static std::size_t word(int rank) noexcept { return own + std::size_t(rank) / 64; }
  std::vector<std::uint64_t> words_ = std::vector<std::uint64_t>(own);
};

} // namespace tutti::detail
