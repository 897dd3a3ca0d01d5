// A build whose kernels do not compute as the source says is refused.
#pragma once

#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/exactness.hpp>

#include <cstdint>
#include <string>

namespace tutti::cuda {

namespace detail {

template <class Built>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes)
    exactness_kernel(tutti::detail::kernels::trial_numbers numbers, std::uint32_t* wrong) {
  device_block<tuning::lanes> block;
  block.each([&](unsigned lane) {
    if (lane == 0) *wrong = tutti::detail::kernels::inexactness(numbers);
  });
}

/// What is wrong, in words.
inline std::string text_of(std::uint32_t wrong) {
  using namespace tutti::detail::kernels;
  std::string all;
  const auto add = [&](std::uint32_t bit, const char* what) {
    if (wrong & bit) all += (all.empty() ? "" : ", ") + std::string{what};
  };
  add(reassociates, "sums are reassociated");
  add(flushes, "subnormal numbers are flushed");
  add(divides, "divisions are approximations");
  add(takes_roots, "square roots are approximations");
  add(fuses, "products are fused with sums");
  return all;
}

} // namespace detail

/// Called where a program begins to use kernels whose bits count, once for each file that is compiled with flags of its
/// own. Waits for the stream. Errors: unsafe_build, naming what was found; unsupported in a capture.
template <class Built = detail::built_for> void require_exact_arithmetic(const stream& on) {
  const char* const call = "cuda::require_exact_arithmetic";
  const device_buffer<std::uint32_t> found{on, 1};
  detail::launch(on, call, 1u, &detail::exactness_kernel<Built>, tutti::detail::kernels::trial_numbers{},
                 found.span().data());
  std::uint32_t wrong = 0;
  cuda::check(cudaMemcpyAsync(&wrong, found.span().data(), sizeof wrong, cudaMemcpyDeviceToHost, on.handle()), call);
  on.wait();
  if (wrong != 0)
    throw error{{.code = error_code::unsafe_build,
                 .call = call,
                 .detail = "kernels of this program do not compute as the source says: " + detail::text_of(wrong) +
                           " - drop -use_fast_math, -ftz=true, -prec-div=false and -prec-sqrt=false"}};
}

} // namespace tutti::cuda
