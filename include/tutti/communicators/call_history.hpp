// What a rank has called so far on one communicator, in numbers that ranks compare.
//
// Each call has a word: a hash of what is called, with which root, on which elements, with which
// parts and which numbers in them. Words are chained, so the chain behind a call is the same on two
// ranks when all that they have called up to there is the same. It travels with every message of
// the call, and stands in every announcement to ranks that share memory; the length of the call
// itself is compared apart. A rank that waits for long compares its whole history with that of the
// rank it waits for.
#pragma once

#include <tutti/core/hash.hpp>
#include <tutti/core/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>

namespace tutti::detail {

/// What a call is made of, in the compiler's words.
struct call_name {
  const char* call;
  bool rooted = false;
  const char* element = nullptr;
  const char* reducer = nullptr;
  const char* topology = nullptr;
  const char* codec = nullptr;
};

/// One call as it is remembered.
struct past_call {
  std::uint64_t chain = 0;
  std::uint64_t length = 0;
  std::uint64_t root = 0;
  const call_name* name = nullptr;

  bool differs(std::uint64_t other_chain, std::uint64_t other_length) const {
    return chain != other_chain || length != other_length;
  }
  /// "all_reduce of 4 float with tutti::max on tutti::ring".
  std::string in_words() const {
    if (!name) return "split, bind or another call in which ranks compare numbers";
    std::string all = name->call;
    const auto add = [&](const char* word, const char* text) {
      if (text) all += word + detail::name_of_type(text);
    };
    if (name->element) all += " of " + std::to_string(length);
    add(" ", name->element);
    add(" with ", name->reducer);
    add(" on ", name->topology);
    add(" as ", name->codec);
    return name->rooted ? all + ", root " + std::to_string(root) : all;
  }
  /// What `other` calls in its place differs: `theirs`, or something else where that is not known.
  std::string differs_from(int other, std::string theirs, std::uint64_t their_chain,
                           int rank) const {
    const std::string here = in_words();
    if (theirs.empty()) theirs = "something else";
    if (theirs == here)
      theirs += ", with another number in one of its parts or in a call before it";
    return "rank " + std::to_string(other) + " calls " + theirs + "; rank " + std::to_string(rank) +
           " calls " + here +
           (their_chain == chain ? " - give all ranks the same lengths and types"
                                 : " - make the same call on every rank");
  }
};

/// Written by its own rank, and by nobody else; read by anyone at any time.
class call_history {
public:
  static constexpr std::uint64_t kept = 64; ///< of the last calls

  /// The chain behind the call that is made, before its length: messages say theirs by themselves.
  std::uint64_t add(std::uint64_t word, std::uint64_t length, int root,
                    const call_name* name) noexcept {
    const std::uint64_t number = count_.load(std::memory_order_relaxed);
    entry& last = entries_[number % kept];
    const std::uint64_t chain = detail::hashed(chain_, word);
    chain_ = detail::hashed(chain, length);
    last.chain.store(chain,
                     std::memory_order_release); // behind the count that lets it be written over
    last.length.store(length, std::memory_order_release);
    last.root.store(std::uint64_t(root), std::memory_order_release);
    last.name.store(name, std::memory_order_release);
    count_.store(number + 1, std::memory_order_release);
    return chain;
  }

  /// How many there were.
  std::uint64_t count() const noexcept { return count_.load(std::memory_order_acquire); }
  /// Call `number`, as far as it is known still.
  std::optional<past_call> at(std::uint64_t number) const noexcept {
    const entry& e = entries_[number % kept];
    const std::uint64_t before = count();
    const past_call what{
        e.chain.load(std::memory_order_acquire), e.length.load(std::memory_order_acquire),
        e.root.load(std::memory_order_acquire), e.name.load(std::memory_order_acquire)};
    if (number >= before || count() >= number + kept) return std::nullopt; // written over meanwhile
    return what;
  }

  /// The first call, of those that both remember, in which `rank` differs from `other`, in words;
  /// empty when there is none.
  std::string difference(int rank, const call_history& theirs, int other) const {
    std::uint64_t k = (std::min)(count(), theirs.count());
    std::string found;
    for (std::uint64_t seen = 0; k > 0 && seen < kept; ++seen) {
      const auto mine = at(--k), that = theirs.at(k);
      if (!mine || !that) break;
      if (mine->differs(that->chain, that->length))
        found = mine->differs_from(other, that->in_words(), that->chain, rank);
    }
    return found;
  }

private:
  struct entry {
    std::atomic<std::uint64_t> chain{0}, length{0}, root{0};
    std::atomic<const call_name*> name{nullptr};
  };
  std::uint64_t chain_ = hash_of_nothing;
  std::atomic<std::uint64_t> count_{0};
  entry entries_[kept];
};

/// A rank's last calls, and the last two of them in words: what it tells another one. (A root of a
/// broadcast waits for nobody, so it is in the call behind it when it asks.)
struct call_account {
  static constexpr std::uint64_t most = 12;

  std::uint64_t count = 0;
  std::uint64_t chains[most] = {},
                lengths[most] = {}; ///< of the calls before `count`, the last one first
  char words[2][384] = {};

  call_account() = default;
  explicit call_account(const call_history& all) : count{all.count()} {
    for (std::uint64_t k = 0; k < most && k < count; ++k)
      if (const auto one = all.at(count - 1 - k)) {
        chains[k] = one->chain;
        lengths[k] = one->length;
        if (k < std::size(words)) one->in_words().copy(words[k], sizeof words[k] - 1);
      }
  }

  /// What is wrong when `rank`, whose history is `own`, is told it by `teller`, as in call_history.
  std::string difference(int rank, const call_history& own, int teller) const {
    std::string found;
    for (std::uint64_t k = 0; k < most && k < count; ++k)
      if (const auto mine = own.at(count - 1 - k);
          mine && chains[k] != 0 && mine->differs(chains[k], lengths[k]))
        found = mine->differs_from(teller, k < std::size(words) ? words[k] : "", chains[k], rank);
    return found;
  }
};

/// When a rank that waits compares what it has called with the one it waits for: after a part of
/// its patience, a second at most, and then at growing intervals.
class comparing {
public:
  bool is_due(deadline now, std::chrono::milliseconds timeout) {
    if (next_ != deadline{} && now < next_) return false;
    const bool due = next_ != deadline{};
    pause_ = due ? 2 * pause_ : (std::min)(timeout / 64, std::chrono::milliseconds{1000});
    next_ = now + pause_;
    return due;
  }
  /// Until when it may sleep.
  deadline before(deadline other) const {
    return next_ == deadline{} ? other : (std::min)(next_, other);
  }

private:
  deadline next_{};
  std::chrono::milliseconds pause_;
};

} // namespace tutti::detail
