// Blocks in which a missing barrier shows: within an each() a lane sees memory that lanes share as it was before.
#pragma once

#include <tutti/kernels/context.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace kernel_memory {

/// Memory that the lanes of a block share.
template <class X> std::span<std::byte> shared(X& x) {
  return {reinterpret_cast<std::byte*>(&x), sizeof x};
}

/// What other lanes write before the barrier is not there, so results differ where it is read; and `conflicts` counts
/// bytes that two lanes give unlike values. add() is seen behind the barrier.
template <std::size_t Lanes> class isolated_block : public tutti::detail::kernels::host_block<Lanes> {
  using base = tutti::detail::kernels::host_block<Lanes>;

public:
  isolated_block(std::size_t block, std::size_t blocks, std::uint64_t seed, std::vector<std::span<std::byte>> memory,
                 int& conflicts)
      : base{block, blocks, seed}, memory_{std::move(memory)}, conflicts_{conflicts} {}

  template <class F> void each(F&& f) {
    const auto before = copy();
    auto merged = before;
    base::each([&](unsigned lane) {
      restore(before);
      f(lane);
      for (std::size_t m = 0; m < memory_.size(); ++m)
        for (std::size_t i = 0; i < memory_[m].size(); ++i) {
          const std::byte now = memory_[m][i];
          if (now == before[m][i]) continue;
          conflicts_ += merged[m][i] != before[m][i] && merged[m][i] != now;
          merged[m][i] = now;
        }
    });
    restore(merged);
    for (const auto& addition : std::exchange(additions_, {})) addition();
  }
  template <class N> N add(N& to, N n) {
    const auto* const at = reinterpret_cast<const std::byte*>(&to);
    for (const auto& one : memory_)
      if (at >= one.data() && at < one.data() + one.size()) {
        additions_.push_back([&to, n] { to = static_cast<N>(to + n); });
        return N{};
      }
    return base::add(to, n);
  }

private:
  std::vector<std::vector<std::byte>> copy() const {
    std::vector<std::vector<std::byte>> all;
    for (const auto& one : memory_) all.emplace_back(one.begin(), one.end());
    return all;
  }
  void restore(const std::vector<std::vector<std::byte>>& from) const {
    for (std::size_t m = 0; m < memory_.size(); ++m) std::memcpy(memory_[m].data(), from[m].data(), from[m].size());
  }

  std::vector<std::span<std::byte>> memory_;
  int& conflicts_;
  std::vector<std::function<void()>> additions_;
};

/// body(context) of each block; how many conflicts there were.
template <std::size_t Lanes, class Body>
int run_isolated(std::size_t blocks, std::vector<std::span<std::byte>> memory, Body&& body, std::uint64_t seed = 1) {
  int conflicts = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    isolated_block<Lanes> block{b, blocks, seed, memory, conflicts};
    body(block);
  }
  return conflicts;
}

} // namespace kernel_memory
