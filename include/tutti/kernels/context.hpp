// Kernels: what a block of threads does, written once, for GPUs and for tests on the host.
//
// A body is a function template over a context, which is one block of threads, its lanes:
//
//   lanes                      how many, a constant; a multiple of 32, which is a warp
//   block(), blocks()          which block this is, of how many
//   each(f)                    f(lane) of every lane, and then a barrier
//   own<X>                     a value of each lane that outlives an each(): x[lane]
//   sum(own<X>&) -> X          over all lanes, to all of them, in a fixed order (below)
//   sum_before(own<N>&) -> N   each lane's whole number becomes the sum of all lanes' before it; the sum of all
//   warp_most(own<int32_t>&)   each lane's becomes the largest of its warp
//   add(to, n) -> before       in memory that lanes or blocks share, at once with others
//
// So a body is free of races where what a lane reads in an each() was written by itself, or in an each() before;
// the host's context runs lanes in an order of its own choice, and what depends on that order shows.
//
// sum() adds in the order of CUB's warp reductions: within a warp lane l becomes l + (l + 1), then + (l + 2), 4, 8, 16,
// as far as these are in the warp; the sums of warps are added up from the first on.
#pragma once

#include <tutti/core/config.hpp>
#include <tutti/core/random.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace tutti::detail::kernels {

/// A block on the host: lanes one after the other, in an order that `seed` chooses. For tests.
template <std::size_t Lanes> class host_block {
public:
  static constexpr std::size_t lanes = Lanes;
  static_assert(Lanes % 32 == 0, "tutti: lanes are whole warps");

  host_block(std::size_t block, std::size_t blocks, std::uint64_t seed) : block_{block}, blocks_{blocks} {
    std::iota(order_.begin(), order_.end(), 0u);
    random_stream random{seed, std::uint32_t(block), 0};
    for (std::size_t k = order_.size(); k > 1; --k) std::swap(order_[k - 1], order_[random.below(std::uint32_t(k))]);
  }

  std::size_t block() const noexcept { return block_; }
  std::size_t blocks() const noexcept { return blocks_; }

  template <class F> void each(F&& f) {
    for (const unsigned lane : order_) f(lane);
  }

  template <class X> struct own {
    std::array<X, Lanes> values{};
    X& operator[](unsigned lane) noexcept { return values[lane]; }
  };

  template <class X> X sum(own<X>& of) const {
    X all{};
    for (std::size_t warp = 0; warp < Lanes; warp += 32) {
      std::array<X, 32> x;
      for (std::size_t l = 0; l < 32; ++l) x[l] = of.values[warp + l];
      for (std::size_t step = 1; step < 32; step *= 2)
        for (std::size_t l = 0; l + step < 32; ++l) x[l] = static_cast<X>(x[l] + x[l + step]);
      all = warp == 0 ? x[0] : static_cast<X>(all + x[0]);
    }
    return all;
  }
  template <class N> N sum_before(own<N>& of) const noexcept { // in the order of lanes
    N all{};
    for (N& x : of.values) all = static_cast<N>(all + std::exchange(x, all));
    return all;
  }
  void warp_most(own<std::int32_t>& of) const noexcept {
    for (std::size_t warp = 0; warp < Lanes; warp += 32) {
      std::int32_t most = of.values[warp];
      for (std::size_t l = 1; l < 32; ++l) most = of.values[warp + l] > most ? of.values[warp + l] : most;
      for (std::size_t l = 0; l < 32; ++l) of.values[warp + l] = most;
    }
  }
  template <class N> N add(N& to, N n) const noexcept { return std::exchange(to, static_cast<N>(to + n)); }

private:
  std::size_t block_, blocks_;
  std::array<unsigned, Lanes> order_;
};

/// body(context) of each of `blocks` blocks, one after the other, in an order that `seed` chooses.
template <std::size_t Lanes, class Body> void run_on_host(std::size_t blocks, Body&& body, std::uint64_t seed = 1) {
  std::vector<std::size_t> order(blocks);
  std::iota(order.begin(), order.end(), std::size_t{0});
  random_stream random{seed, 0, 1};
  for (std::size_t k = blocks; k > 1; --k) std::swap(order[k - 1], order[random.below(std::uint32_t(k))]);
  for (const std::size_t b : order) {
    host_block<Lanes> block{b, blocks, seed};
    body(block);
  }
}

} // namespace tutti::detail::kernels
