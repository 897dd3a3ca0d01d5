// column: every contribution to one value, for gathering reducers that also run in kernels.
#pragma once

#include <tutti/core/config.hpp>

#include <cstddef>
#include <span>

namespace tutti {

/// What gather() of a gathering reducer may take in place of a std::span, which device code cannot use: so many values,
/// `stride` apart, that it may change and reorder. A reducer that says so runs on the host and in kernels unchanged:
///
///   struct middle_of_three {
///     using part = tutti::reducer_part;
///     static constexpr tutti::execution runs = tutti::execution::both;
///     TUTTI_HD float gather(tutti::column<float> of) const;
///   };
///
/// It names the accumulator, which is float for float, bfloat16 and half, as the host hands it a span that becomes one.
template <class A> class column {
public:
  column(std::span<A> of) noexcept : data_{of.data()}, n_{of.size()} {}
  TUTTI_HD constexpr column(A* data, std::size_t n, std::size_t stride) noexcept
      : data_{data}, n_{n}, stride_{stride} {}

  TUTTI_HD constexpr std::size_t size() const noexcept { return n_; }
  TUTTI_HD constexpr A& operator[](std::size_t k) const noexcept { return data_[k * stride_]; }

private:
  A* data_;
  std::size_t n_;
  std::size_t stride_ = 1;
};

} // namespace tutti
