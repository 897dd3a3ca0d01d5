// sparse_loco: diloco whose differences are sparse, with what was not sent in the place of an outer momentum.
#pragma once

#include <tutti/codecs/chunked_top_k.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/two_bit_block.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/one_shot.hpp>

namespace tutti {

/// Every rank makes `period` steps of the optimizer of bind (AdamW in the paper); then of e = .95 e + what it has learnt,
/// agreed before minus trained, it sends the 64 largest of every 4,096 values in two bits each, and keeps the rest as e.
/// The mean of what all have sent is the gradient of a step of `outer`, without momentum: e is its momentum. Sarfi,
/// Thérien, Lidin, Belilovsky, "Communication efficient LLM pre-training with SparseLoCo" (arXiv 2508.15706), algorithm
/// 1. The codec is given by the policy where the strategy has none; another k or decay is one among the parts, such as
/// error_feedback{basic_chunked_top_k<two_bit_block>{.kept = 128}, .9}. Over one_shot nothing is encoded twice.
/// Cost: every `period` steps 114 bytes to each other rank for every 4,096 values of the model, which are 16,384 bytes of
/// float; nothing in between. Two copies of the parameters, and one for e before and after an exchange.
struct sparse_loco {
  using part = sync_part;
  using default_topology = one_shot;
  static constexpr error_feedback default_codec{basic_chunked_top_k<two_bit_block>{.kept = 64}, .95};
  static constexpr contributes contribution = contributes::difference;

  int period = 30;
  sgd outer = {.learning_rate = 1};
};

} // namespace tutti
