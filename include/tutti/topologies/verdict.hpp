// What the proof of a schedule finds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tutti {

enum class flaw : std::uint8_t {
  none,
  chunks_without_owner, ///< reduce_scatter, all_gather: the chunks are no multiple of the ranks
  round_out_of_range,
  peer_out_of_range,
  message_to_self,
  chunks_out_of_range,
  chunk_repeated, ///< within a message, or between two ranks in a round
  unmatched_send,
  unmatched_receive,
  chunks_differ,  ///< between the two ends of a message
  actions_differ, ///< send meets combine, publish meets store
  stored_twice,
  combined_and_stored,
  reduced_in_a_copy, ///< send or combine in all_gather or broadcast
  read_before_arrival,
  published_incomplete,
  contribution_missing,
  contribution_repeated,
  result_missing,
  results_differ,        ///< different expression trees on different ranks
  rounded_results_differ ///< equal trees, but not when messages are rounded
};

constexpr std::string_view name(flaw code) noexcept {
  constexpr std::string_view names[] = {
      "no flaw",
      "reduce_scatter and all_gather need the chunks to be a multiple of the ranks",
      "the round is out of range",
      "the peer is out of range",
      "a rank sends to itself",
      "the chunks are out of range",
      "a chunk is moved twice between two ranks in one round",
      "what is sent is not received",
      "what is to be received is not sent",
      "the two ends of a message name different chunks",
      "the two ends of a message disagree: send meets combine, publish meets store",
      "a chunk is stored twice in one round",
      "a chunk is combined and stored in one round",
      "a collective that only copies publishes and stores, it does not send and combine",
      "a chunk is read before it has arrived",
      "what is published is not a complete result",
      "a contribution is missing from a result",
      "a contribution is counted twice in a result",
      "a result has not arrived",
      "ranks end with different expression trees, so with different bits",
      "ranks end with different expression trees when messages are rounded"};
  return names[std::size_t(code)];
}

/// What the proof found: the first flaw, with the place it was seen at (-1: no particular one), or
/// none, and then the facts below hold.
struct verdict {
  flaw code = flaw::none;
  int rank = -1;
  int round = -1;
  int chunk = -1;
  bool gathers = true;   ///< every fold is one over all ranks' inputs, each sent unreduced
  bool pull_safe = true; ///< no rank changes a chunk in a round in which it sends it

  constexpr bool holds() const noexcept { return code == flaw::none; }

  std::string text() const {
    std::string where;
    const auto add = [&](const char* what, int number) {
      if (number < 0) return;
      if (!where.empty()) where += ", ";
      where += what + (' ' + std::to_string(number));
    };
    add("rank", rank);
    add("round", round);
    add("chunk", chunk);
    return (where.empty() ? "" : where + ": ") + std::string{name(code)};
  }
};

} // namespace tutti
