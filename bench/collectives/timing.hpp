// How one side of a comparison is timed, on every rank alike, and what it prints.
//
//   bench_..._rank COLLECTIVE SIDE...     prints "SIDE BYTES MICROSECONDS" for every size
//
// Every rank writes its whole buffer anew before each repetition, so that the data is where a
// program that has just computed it would have it. Short calls are timed in batches, their writing
// included for all sides. A repetition takes as long as its slowest rank; the median of the
// repetitions counts.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace timing {

/// 8 bytes to 128 MiB in steps of 4.
inline std::vector<std::size_t> sizes() {
  std::vector<std::size_t> all;
  for (std::size_t bytes = 8; bytes <= (std::size_t{128} << 20); bytes *= 4) all.push_back(bytes);
  return all;
}

struct effort {
  int repetitions, batch;
};
inline effort effort_for(std::size_t bytes) {
  if (bytes <= 2048) return {41, 100};
  if (bytes <= (std::size_t{512} << 10)) return {101, 1};
  if (bytes <= (std::size_t{8} << 20)) return {31, 1};
  return {bytes <= (std::size_t{32} << 20) ? 9 : 5, 1};
}

inline void dirty(float* data, std::size_t n, int turn) {
  const float value = float(turn % 7) + 1;
  for (std::size_t i = 0; i < n; ++i) data[i] = value;
}

/// The microseconds of one call. together() returns when all ranks have called it; slowest(values)
/// leaves the largest of all ranks' values.
template <class Together, class Slowest, class Call>
double microseconds(float* data, std::size_t n, Together&& together, Slowest&& slowest,
                    Call&& call) {
  const effort much = effort_for(n * sizeof(float));
  std::vector<double> times;
  for (int k = -2; k < much.repetitions; ++k) { // two to warm up
    if (much.batch == 1) dirty(data, n, k + 2);
    together();
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < much.batch; ++j) {
      if (much.batch > 1) dirty(data, n, j);
      call();
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    if (k >= 0) times.push_back(took.count() / much.batch);
  }
  slowest(times);
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return times[times.size() / 2];
}

} // namespace timing
