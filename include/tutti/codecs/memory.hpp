// codec_memory: what a codec remembers from exchange to exchange. It belongs to who calls.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/archive.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// One number for each of a range of elements, twice: as the last exchange that counted left it, and as one that is on
/// its way does. What was never touched are zeros.
template <class A>
class two_generations {
public:
  bool empty() const noexcept { return all_[0].empty(); }
  place covered() const noexcept { return where_; }
  std::span<const A> now() const noexcept { return all_[now_]; }
  std::span<A> now() noexcept { return all_[now_]; }

  /// Covers `where` from now on; what it covered before and does there stays.
  void cover(place where) {
    if (!empty() && where == where_) return;
    std::vector<A> kept(where.size());
    const place both = common(where, where_);
    if (!empty() && !both.empty())
      std::copy_n(all_[now_].begin() + std::ptrdiff_t(both.begin - where_.begin), both.size(),
                  kept.begin() + std::ptrdiff_t(both.begin - where.begin));
    all_[1] = all_[0] = std::move(kept);
    where_ = where;
    now_ = 0;
  }
  /// Of n elements from `first` on.
  remembered<A> at(std::size_t first, std::size_t n) {
    touched_ = true;
    const std::size_t begin = first - where_.begin;
    return {std::span<const A>{all_[now_]}.subspan(begin, n), std::span<A>{all_[1 - now_]}.subspan(begin, n)};
  }
  void commit() noexcept {
    if (touched_) now_ = 1 - now_;
    touched_ = false;
  }
  void forget() noexcept { touched_ = false; }

private:
  static place common(place a, place b) noexcept {
    const std::size_t begin = (std::max)(a.begin, b.begin), end = (std::min)(a.end, b.end);
    return {begin, (std::max)(begin, end)};
  }

  std::array<std::vector<A>, 2> all_;
  place where_;
  std::size_t now_ = 0;
  bool touched_ = false;
};

/// The memory of a bucket, or of the data of a call.
template <class A>
struct codec_memory_state {
  std::size_t size = 0;         ///< of the data; 0 before it is known
  std::size_t origin = 0;       ///< of its first value, where draws are named
  std::uint64_t exchanges = 0;  ///< that counted
  /// Of this rank's contributions: one for each slot of the codec.
  std::vector<two_generations<A>> sent = std::vector<two_generations<A>>(1);
  two_generations<A> published; ///< of the results that this rank finishes
  two_generations<A> agreed;    ///< of a codec that follows: the results
  place finishes;               ///< which these are
  bool holds_back = false;      ///< an exchange counts when commit() says so, not when it is complete

  /// So many numbers of each of n values, from now on; what there was stays.
  void cover(std::size_t n, std::size_t slots) {
    if (sent.size() < slots) sent.resize(slots);
    for (two_generations<A>& one : sent) one.cover({0, n});
  }
  void begin(std::size_t n, place results, std::size_t slots) {
    size = n;
    cover(n, slots);
    for (two_generations<A>& one : sent) one.forget();
    published.forget();
    agreed.forget();
    finishes = results;
    if (!published.empty()) published.cover(results);
  }
  /// What codec C is handed of its memory of contributions.
  template <class C>
  remembered_by<C, A> contributions(std::size_t first, std::size_t n) {
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
      return remembered_by<C, A>{sent[K].at(first, n)...};
    }(std::make_index_sequence<codec_slots<C>.size()>{});
  }
  remembered<A> results(std::size_t first, std::size_t n) {
    if (published.empty()) published.cover(finishes);
    return published.at(first, n);
  }
  /// Of the results that this rank has, as they arrive.
  remembered<A> arrived(place here) {
    agreed.cover(here);
    return agreed.at(here.begin, here.size());
  }
  void commit() noexcept {
    for (two_generations<A>& one : sent) one.commit();
    published.commit();
    agreed.commit();
    ++exchanges;
  }
};

} // namespace detail

/// Given to a collective beside a codec that remembers: `all_reduce(comm, data, codec, memory)`. Every rank has its own,
/// for data of one length, and gives it to the calls that go on with that data, one after the other; it outlives them.
/// An exchange counts, and changes it, when the call is complete: one that fails leaves it as it was. Memory: two numbers
/// for each value, two more for ef21, and where a codec loses something of results, two for each that this rank finishes.
template <real_element T>
class codec_memory {
public:
  using part = memory_part;
  using value_type = accumulator_t<T>;

  /// How many values the data has; 0 before the first call.
  std::size_t size() const noexcept { return state_.size; }
  /// How many exchanges have counted.
  std::uint64_t exchanges() const noexcept { return state_.exchanges; }
  /// Of each value what is kept of this rank's contributions: of error_feedback what was not sent yet, of ef21 what all
  /// believe this rank's contribution to be. Of dgc slot 1 is the momentum; empty is what no exchange has touched.
  std::span<const value_type> sent(std::size_t slot = 0) const noexcept {
    return slot < state_.sent.size() ? state_.sent[slot].now() : std::span<const value_type>{};
  }
  /// The same of the results that this rank has finished, from `finishes().begin` on; empty while none lost anything.
  std::span<const value_type> published() const noexcept { return state_.published.now(); }
  place finishes() const noexcept { return state_.finishes; }
  /// Of ef21 the result as it arrived last, where this rank has it; otherwise empty.
  std::span<const value_type> agreed() const noexcept { return state_.agreed.now(); }

  /// For collectives and carriers, which are given parts to read.
  detail::codec_memory_state<value_type>& state() const noexcept { return state_; }

private:
  mutable detail::codec_memory_state<value_type> state_;
};

namespace detail {

/// No memory was given.
struct no_codec_memory {
  using part = memory_part;
};

/// What may cover a part of the data, or nothing.
template <class A>
void visit(archive& to, std::string_view name, two_generations<A>& memory, place where) {
  std::vector<A> whole(where.size());
  const place part = memory.empty() ? place{} : memory.covered();
  std::ranges::copy(memory.now(), whole.begin() + std::ptrdiff_t(part.begin));
  to.values(name, std::span<A>{whole}, where, held_by::worker);
  if (memory.empty() && std::ranges::all_of(whole, [](A v) { return v == 0; })) return;
  memory.cover({0, where.size()});
  std::ranges::copy(whole, memory.now().begin());
}
/// What a visit reads and writes of a memory whose data is `where` of the flat model. Another number of ranks goes on
/// without what was left unsent.
template <class A>
void visit(archive& to, codec_memory_state<A>& memory, place where, std::span<const std::string_view> slots) {
  memory.cover(where.size(), slots.size());
  for (std::size_t k = 0; k < slots.size(); ++k)
    to.values(slots[k], memory.sent[k].now(), where, held_by::worker);
  detail::visit(to, "unpublished", memory.published, where);
}

} // namespace detail
} // namespace tutti
