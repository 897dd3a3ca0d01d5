// The numbers that kernels are built with, each with where it comes from. None changes a result but norm_blocks.
#pragma once

#include <tutti/core/element.hpp>

#include <cstddef>

namespace tutti::cuda::tuning {

/// Threads of a block, everywhere.
inline constexpr std::size_t lanes = 256;

/// Blocks that ptxas is to leave room for on each multiprocessor. With __launch_bounds__(256) alone it squeezes the
/// K-way kernels to 30 to 38 registers, and one spills; with these none does (nvcc 13.0, sm_75, 80, 90, 100, 120; with
/// 4 everywhere a few do on the last two).
template <class Accumulator, std::size_t Contributions>
inline constexpr int reduce_blocks = sizeof(Accumulator) > 4 || Contributions > 12 ? 2 : 4;

/// Of kernels that hold one packet and little else.
inline constexpr int elementwise_blocks = 4;
/// Of kernels with a column of contributions in registers.
inline constexpr int column_blocks = 2;

/// The most blocks of a launch; beyond them every thread takes several packets.
inline constexpr std::size_t most_blocks = std::size_t{1} << 16;

/// Contributions whose number is a constant of the kernel, and the most at all: their addresses and weights are kernel
/// parameters, of which there are 32,764 bytes.
inline constexpr std::size_t static_contributions = 16, most_contributions = 1024;

/// Blocks of the sum of squares, whose partial results the last of them adds up: a multiple of the multiprocessors of
/// none in particular, as the order of the sum must not depend on the GPU.
inline constexpr std::size_t norm_blocks = 1024;

/// Blocks of a selection, which count digits in their own memory first: enough for 128 multiprocessors. And candidates
/// that there is room for: of normally distributed values 1.3 in 100 are when 1 in 100 is kept, and 12 when 10 are.
inline constexpr std::size_t selection_blocks = 1024, candidate_share = 8;

/// Contributions between which distances are measured, and tiles of 1,024 values that are measured before they are
/// added up: enough blocks for 128 multiprocessors, in 4 MiB of workspace.
inline constexpr std::size_t most_points = 32, distance_tiles = 1024;

} // namespace tutti::cuda::tuning
