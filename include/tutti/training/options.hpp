// What may be said about training, apart from how bytes move (core/options.hpp).
#pragma once

#include <tutti/core/part.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// Of a reduced gradient, a push to servers, the mean of a federated round. error: every rank throws
/// error_code::non_finite naming step, tensor and rank (or round and client). skip: no rank applies
/// this step. pass: the values are applied as they are.
enum class non_finite : std::uint8_t { error, skip, pass };

/// What a mean divides by when ranks have unlike numbers of batches. by_weight: by the weights that came.
/// by_world: by all ranks, so that one that has joined counts as a contribution of zero.
enum class uneven : std::uint8_t { by_weight, by_world };

/// The loss is multiplied by trainer.loss_scale() before its gradient is taken, so that gradients in
/// half precision do not vanish; the trainer divides by it. A step that overflows is skipped on all ranks
/// and divides the scale by `backoff`; after `every` good ones in a row it is multiplied by `growth`.
/// Micikevicius et al., "Mixed precision training" (ICLR 2018), section 3.2.
struct loss_scaling {
  double initial = 1; ///< 1 and growth 1: none
  double growth = 1;
  double backoff = 2;
  int every = 2000;
  double least = 1;
  double greatest = 16777216; ///< 2^24
};
/// A scale that finds its own value.
inline constexpr loss_scaling dynamic_loss_scale{.initial = 65536, .growth = 2};

/// Tensors that are trained otherwise: those whose names match, of which each is in one group at most.
struct parameter_group {
  std::string names;   ///< "*" stands for any letters: "*.bias"; a rule that matches no tensor is an error
  double rate = 1;     ///< times the optimizer's learning_rate
  double decay = 1;    ///< times its weight_decay; of what has the role `vector` and is in no group that is 0
  int dimensions = -1; ///< only those of so many, where that is given: 1 for biases and norms
};

/// What a tensor is to its model: what nothing is known of, biases and norms, rows by columns, a table of rows that are
/// looked up, and the last layer. See training/roles.hpp.
enum class parameter_role : std::uint8_t { values, vector, matrix, embedding, head };

/// The role of those tensors whose names match, in place of what name and shape suggest.
struct role_rule {
  std::string names; ///< "*" as in groups
  parameter_role role = parameter_role::matrix;
  int dimensions = -1; ///< only those of so many, where that is given
};

/// The same on every rank: bind compares them.
struct training_options {
  using part = training_part;

  /// Gradients travel in buckets of about this many bytes, last tensors first, so that communication
  /// overlaps the backward pass. 0: by the prices that the topology has measured (tutti::automatic, tutti::priced), the
  /// least for which a byte costs at most a tenth more than in a long one; 4 MiB where it has none.
  std::size_t bucket_bytes = 0;
  /// What training does about a NaN or infinity.
  tutti::non_finite non_finite = tutti::non_finite::error;
  /// Gradients whose norm over all tensors is greater are scaled down to it; 0 for never.
  double clip = 0;
  tutti::loss_scaling loss_scale = {};
  tutti::uneven uneven = tutti::uneven::by_weight;
  std::vector<parameter_group> groups = {};
  /// Names of tensors that are not trained, "*" as in groups.
  std::vector<std::string> frozen = {};
  /// Whether ranks that reduce gradients hear before they commit a step whether one of them has failed at its own
  /// (trainer::fail): a word more of each rank is gathered in every step.
  bool agree_on_failures = false;
  /// Of the first bucket, which is the earliest to leave. 0: a quarter of the others, or as they are where these are
  /// given.
  std::size_t first_bucket_bytes = 0;
  /// Whether buckets follow the order in which gradients are complete on rank 0 in the first step, in which they travel
  /// behind the backward pass. Known to tutti::torch::data_parallel; otherwise the last tensor comes first.
  bool learns_order = false;
  /// Of tensors, in place of what name and shape suggest; the first that matches counts.
  std::vector<role_rule> roles = {};
};

/// What may be said about saving.
struct save_options {
  /// How many checkpoints are kept whose names differ in the number at the end alone, the new one
  /// and those before it; the rest is deleted when the new one is there. 0 keeps all.
  int keep = 0;
};

namespace detail {

/// Whether `name` is what `pattern` says, of which each "*" stands for any letters.
inline bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

} // namespace detail
} // namespace tutti
