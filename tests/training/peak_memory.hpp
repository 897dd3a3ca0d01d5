// How much memory is allocated at once between two moments, in the whole runner.
#pragma once

#include <cstddef>

/// Counts from now on.
void begin_peak_memory();
/// The most that there was since then, beyond what there was then, in bytes.
std::size_t peak_memory();
