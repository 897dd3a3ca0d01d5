// Where the functions of a part may run: on the host, in CUDA kernels, or in both.
#pragma once

#include <concepts>
#include <cstdint>

namespace tutti {

enum class execution : std::uint8_t { host = 1, device = 2, both = 3 };

/// What a reducer or codec says of itself by `static constexpr execution runs = execution::both;`, and host where it says
/// nothing. Whoever says `both` or `device` has marked what kernels call (TUTTI_HD), and calls nothing in it that is the
/// host's alone: std::max and std::numeric_limits are, unless the compiler works them out. nvcc only warns where a kernel
/// calls what it must not, and such a kernel computes nothing; with this line it is one sentence. It is inherited as other
/// members are: who derives from a part of the library and does something else says again where that runs.
template <class Part>
inline constexpr execution runs_on = execution::host;
template <class Part>
  requires requires { { Part::runs } -> std::convertible_to<execution>; }
inline constexpr execution runs_on<Part> = Part::runs;

template <class Part>
concept runs_on_host = runs_on<Part> != execution::device;
template <class Part>
concept runs_on_device = runs_on<Part> != execution::host;

} // namespace tutti
