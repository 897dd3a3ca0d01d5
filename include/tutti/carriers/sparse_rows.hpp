// The rows of a table of 64-bit keys: who owns a key, what a row begins as, and how it is updated.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/random.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti {

/// What a table of rows is; the same on all ranks.
struct sparse_options {
  std::size_t columns = 1; ///< of every row
  /// Keys are less than this; 0 for all of 64 bits.
  std::uint64_t keys = 0;
  /// A row that nobody has pushed to is drawn from [-scale, scale], by seed, key and column; zeros for 0.
  double scale = 0;
  std::uint64_t seed = 0;
};

namespace detail {

/// Keys 0 .. last in ranges as equal as can be, the longer ones first: every key has one owner, also where there are
/// fewer keys than servers.
class key_ranges {
public:
  key_ranges(std::uint64_t last, int servers)
      : servers_{std::uint64_t(servers)}, shorter_{last / servers_}, longer_{last % servers_ + 1} {}

  int owner(std::uint64_t key) const noexcept {
    if (servers_ == 1) return 0;
    const std::uint64_t length = shorter_ + 1; // of the first `longer_` ranges
    const std::uint64_t served = key / length;
    if (served < longer_) return int(served);
    return int(longer_ + (key - longer_ * length) / shorter_);
  }

private:
  std::uint64_t servers_, shorter_, longer_;
};

/// Rows of one server, each with its slots and steps. Reading one that was never pushed to keeps nothing.
template <class T, class Optimizer>
class sparse_rows {
public:
  using value_type = T;
  using optimizer_type = Optimizer;
  static constexpr std::size_t slots = slots_of<Optimizer>;

  sparse_rows(Optimizer by, const sparse_options& how) : by_{std::move(by)}, how_{how} {}

  void read(std::uint64_t key, std::span<T> row) const {
    const auto found = rows_.find(key);
    if (found == rows_.end()) return begin(key, row);
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = found->second.values[i];
  }
  /// False when a value of the row would be none any more: then it stays as it was.
  bool update(std::uint64_t key, std::span<const T> gradient) {
    const std::size_t n = how_.columns;
    const auto found = rows_.find(key);
    const std::int64_t step = 1 + (found == rows_.end() ? 0 : found->second.steps);
    next_.assign(n * (1 + slots), T{});
    if (found == rows_.end())
      begin(key, std::span{next_}.first(n));
    else
      next_ = found->second.values;
    optimizer_slots<T, slots> at;
    for (std::size_t k = 0; k < slots; ++k) at[k] = std::span{next_}.subspan((1 + k) * n, n);
    tutti::update<T>(by_, step, std::span{next_}.first(n), gradient, at);
    for (const T v : next_)
      if (!tutti::is_finite(v)) return false;
    if (found == rows_.end())
      rows_.emplace(key, entry{step, next_});
    else
      found->second.steps = step, found->second.values.swap(next_);
    return true;
  }
  std::size_t size() const noexcept { return rows_.size(); }

  // --- for checkpoints: what was pushed to, and nothing else, as all other rows are a function of the options

  struct entry {
    std::int64_t steps = 0;
    std::vector<T> values; ///< and behind them the slots
  };
  std::vector<std::uint64_t> sorted_keys() const {
    std::vector<std::uint64_t> keys;
    for (const auto& [key, its] : rows_) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    return keys;
  }
  const entry& at(std::uint64_t key) const { return rows_.at(key); }
  void replace(std::unordered_map<std::uint64_t, entry> by) noexcept { rows_.swap(by); }

private:
  void begin(std::uint64_t key, std::span<T> row) const {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto drawn = tutti::philox({std::uint32_t(key), std::uint32_t(key >> 32), std::uint32_t(i), 0},
                                       {std::uint32_t(how_.seed), std::uint32_t(how_.seed >> 32)});
      row[i] = T(how_.scale == 0 ? 0 : how_.scale * (double(drawn[0]) / 2147483648. - 1));
    }
  }

  Optimizer by_;
  sparse_options how_;
  std::unordered_map<std::uint64_t, entry> rows_;
  std::vector<T> next_; ///< of the row that is updated
};

} // namespace detail
} // namespace tutti
