// What train_text is told.
#pragma once

#include "models/recipes.hpp"
#include "models/text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

namespace train_text {

struct settings {
  std::string data;
  int ranks = 2;
  bool ranks_given = false; ///< or left at that default
  std::string transport = "mpi";
  std::string device = "cpu";
  std::string topology = "default";
  bool explain = false;
  std::string sync = "synchronous";
  std::string codec = "identity";
  bool priced = false; ///< the codec only where it pays
  int period = 20;
  int accumulate = 1;
  double clip = 0;
  std::string save;
  int save_every = 0; ///< steps; 0 for the end only
  std::string resume;
  models::text_recipe recipe;
  std::uint64_t seed = 1;
  std::string sample = "The ";
  std::size_t score = 0; ///< bytes of the held-out text; 0 for all
  std::string plot;
  std::string trace;
  std::string json;
  std::string onnx;
};

/// Of sgd, which --codec dgc goes with, in place of Adam's.
inline constexpr double sgd_learning_rate = 1;

/// Of a federated run, each with a stretch of the text of its own.
constexpr std::size_t clients_a_rank = 8;

inline std::vector<std::string> topologies() {
  return {"default",       "ring", "recursive_doubling", "halving_doubling",
          "binomial_tree", "star", "direct",             "automatic"};
}

/// What --sync may be, and with what else it is compiled: every pair costs seconds.
struct policy_choice {
  const char* name;
  bool topologies, codecs;
  bool apart; ///< replicas agree every --period steps
};
inline constexpr policy_choice policy_choices[] = {
    {"synchronous", true, true, false},        {"sharded", false, true, false},
    {"local_sgd", false, true, true},          {"post_local_sgd", false, false, true},
    {"diloco", false, true, true},             {"streaming_diloco", false, false, true},
    {"sparse_loco", false, false, true},
    {"no_loco", false, false, true},           {"gossip", false, false, false},
    {"overlapped_gossip", false, false, false}, {"push_sum", false, false, false},
    {"gradient_tracking", false, false, false}, {"pairwise", false, false, false},
    {"asynchronous", true, true, false},       {"backup_workers", false, false, false},
    {"quorum", false, false, false},           {"federated", false, true, false}};

inline std::vector<std::string> policies() {
  std::vector<std::string> names;
  for (const policy_choice& one : policy_choices) names.push_back(one.name);
  return names;
}
inline const policy_choice& choice_of(const std::string& sync) {
  return *std::find_if(std::begin(policy_choices), std::end(policy_choices),
                       [&](const policy_choice& one) { return one.name == sync; });
}

/// With which every codec is compiled, and not identity and bfloat16 alone.
inline bool takes_every_codec(const settings& s) {
  return s.topology == "default" && (s.sync == "synchronous" || s.sync == "diloco");
}

inline std::string name_of_text(const settings& s) {
  return s.data.empty() ? "README.md, docs and include of " TUTTI_SOURCE_DIR : s.data;
}

/// The text to learn. By default the repository's own documents and headers.
inline models::text_data read(const settings& s) {
  const auto text = [&] {
    if (!s.data.empty()) return models::text_data::read(std::filesystem::path{s.data});
    const std::filesystem::path source{TUTTI_SOURCE_DIR};
    return models::text_data::read(
        std::vector{source / "README.md", source / "docs", source / "include"});
  }();
  text.require(s.recipe.shape.context,
               s.sync == "federated" ? clients_a_rank * std::size_t(std::max(1, s.ranks)) : 1);
  return text;
}

} // namespace train_text
