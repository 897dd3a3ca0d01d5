// What bench/cuda/kernels.cu measures.
#pragma once

#include <string>
#include <vector>

namespace measured {

struct kernel {
  std::string name;
  double bytes = 0;                     ///< that it must move, of one launch
  double median = 0, low = 0, high = 0; ///< seconds: the middle, and what 1 in 10 is below and above
  double copy = 0; ///< bytes a second that a copy within the device moves, before and after: the mean
  double bar = 0;  ///< the fraction of that which it is to reach
  double cub = 0;  ///< seconds that the same takes by CUB alone; 0 where that has nothing for it
  double beats = 0; ///< how many times as fast as that it is to be
};

/// The name of the GPU; empty where there is none.
std::string gpu();
/// Every kernel of the table, on buffers of 512 MiB or more together, which no cache holds.
std::vector<kernel> all();

} // namespace measured
