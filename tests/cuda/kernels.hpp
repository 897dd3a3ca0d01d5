// What tests/cuda/kernels.cu offers to the tests: every kernel that is built, behind plain functions of vectors. They
// need a GPU; `offset` values lie between the start of an allocation and what is given.
#pragma once

#include <tutti/core/float16.hpp>

#include <cstddef>
#include <vector>

namespace on_device {

template <class T> using rows = std::vector<std::vector<T>>;

template <class T> std::vector<T> sum(const rows<T>& in, std::size_t offset);
template <class T> std::vector<T> mean(const rows<T>& in, std::size_t offset);
std::vector<float> weighted_mean(const rows<float>& in, const std::vector<double>& weights, std::size_t offset);
std::vector<float> reproducible_sum(const rows<float>& in, std::size_t offset);
std::vector<float> median(const rows<float>& in, std::size_t offset);
std::vector<float> trimmed_mean(const rows<float>& in, int trim, std::size_t offset);

struct encoded {
  std::vector<std::byte> wire;
  std::vector<float> sent, memory;
};
enum class codec { int8, fp8, signs, bfloat16 };
/// With error feedback around it.
encoded encode(codec by, const std::vector<float>& values, const std::vector<float>& memory, double decay,
               std::size_t offset);
/// By int8_block, with a verdict that clips values to a length of `clip`.
std::vector<std::byte> encode_clipped(const std::vector<float>& values, double clip, std::size_t offset);
/// The mean of int8 messages of n values.
std::vector<float> decode_and_reduce(const std::vector<std::vector<std::byte>>& wires, std::size_t n,
                                     std::size_t offset);

std::vector<std::byte> top_k(const std::vector<float>& values, double fraction, std::size_t offset);

/// Of messages of sign_block.
std::vector<std::byte> majority_vote(const std::vector<std::vector<std::byte>>& wires, std::size_t offset);

/// What `bucket` becomes, and what the tensors are when they come out of it again.
rows<float> packed_and_unpacked(const rows<float>& tensors, std::vector<float>& bucket);

/// The matrix of squared distances.
std::vector<double> distances(const rows<float>& in, bool origin, std::size_t offset);

struct verdict {
  double squares;
  float factor;
  bool finite;
  std::vector<tutti::bfloat16> rounded; ///< the first tensor, scaled
};
verdict judge(const rows<float>& tensors, double scale, double clip, std::size_t offset);

std::vector<float> collect(const std::vector<tutti::bfloat16>& from, const std::vector<float>& to, bool adds, float factor,
                           float divisor, std::size_t offset);

/// Parameters, then slots: after a step by the mean, or the sum, of 1, 2, 4 or 8 contributions.
rows<float> adamw_step(const rows<float>& in, rows<float> state, std::size_t offset);
rows<float> sgd_step(const rows<float>& in, rows<float> state, std::size_t offset);
rows<float> adamw_step_of_messages(const std::vector<std::vector<std::byte>>& wires, rows<float> state);

void require_exact_arithmetic();

} // namespace on_device
