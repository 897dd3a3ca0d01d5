// What train_text is told.
#pragma once

#include "models/recipes.hpp"
#include "models/text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace train_text {

struct settings {
  std::string data;
  int ranks = 2;
  bool ranks_given = false; ///< or left at that default
  std::string transport = "mpi";
  std::string topology = "default";
  bool explain = false;
  std::string sync = "synchronous";
  std::string codec = "identity";
  int period = 20;
  int accumulate = 1;
  double clip = 0;
  std::string save;
  int save_every = 0; ///< steps; 0 for the end only
  std::string resume;
  models::text_recipe recipe;
  std::uint64_t seed = 1;
  std::string sample = "The ";
  std::string plot;
  std::string json;
};

/// Of a federated run, each with a stretch of the text of its own.
constexpr std::size_t clients_a_rank = 8;

inline std::vector<std::string> topologies() {
  return {"default",       "ring", "recursive_doubling", "halving_doubling",
          "binomial_tree", "star", "direct",             "automatic"};
}

inline std::vector<std::string> policies() {
  return {"synchronous", "sharded",  "local_sgd",         "post_local_sgd", "diloco",    "streaming_diloco",
          "no_loco",     "gossip",   "overlapped_gossip", "push_sum",       "gradient_tracking", "pairwise",
          "asynchronous", "federated"};
}
/// Agree every --period steps.
inline bool trains_apart(const std::string& sync) {
  return sync == "local_sgd" || sync == "post_local_sgd" || sync == "diloco" || sync == "streaming_diloco" ||
         sync == "no_loco";
}
/// Those of which only one codec is compiled, as every pair costs seconds.
inline bool has_codecs(const std::string& sync) {
  return sync == "synchronous" || sync == "sharded" || sync == "local_sgd" || sync == "diloco" ||
         sync == "asynchronous" || sync == "federated";
}
inline bool has_topologies(const std::string& sync) { return sync == "synchronous" || sync == "federated"; }

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
