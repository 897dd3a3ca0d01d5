// What train_text reports at the end: loss on held-out text, a sample, hashes, a file, a plot.
#pragma once

#include "loops.hpp"
#include "models/sha256.hpp"
#include "support/json.hpp"

#include <array>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace train_text {

struct results {
  double held_out_loss = 0; ///< nats per byte
  double bytes_sent = 0;    ///< by all ranks, while training
  double largest_burst = 0; ///< of these, by rank 0 in one step, or round
  double seconds = 0;       ///< training and scoring
  double tokens_per_second = 0;
  std::vector<std::string> hashes;
  std::string determinism;
};

/// Collective: every rank scores its share of the held-out text and hashes its weights.
template <class Comm>
void measure(Comm& world, model_type& model, const models::text_data& text, std::size_t most, results& r) {
  const auto mine = models::held_out_score(model, text, std::size_t(world.rank()),
                                           std::size_t(world.size()), most);
  std::array<double, 3> sums{mine.nats, double(mine.bytes), r.bytes_sent};
  tutti::all_reduce(world, sums);
  r.held_out_loss = sums[0] / sums[1];
  r.bytes_sent = sums[2];
  const models::digest own = models::sha256(std::as_bytes(model.flat_parameters()));
  std::vector<unsigned char> all(own.size() * std::size_t(world.size()));
  tutti::all_gather(world, own, all);
  for (std::size_t k = 0; k < std::size_t(world.size()); ++k)
    r.hashes.push_back(models::hex(std::span{all}.subspan(k * own.size(), own.size())));
}

inline void print(const results& r, const settings& s, model_type& model) {
  std::cout << "\n--- sample ---\n"
            << s.sample << model.sample(s.sample, 300, 0.8, s.seed) << "\n--------------\n"
            << "held-out loss  " << r.held_out_loss << " nats per byte\n"
            << "tokens/s       " << r.tokens_per_second << "\n"
            << "sent by all    " << support::bytes_text(r.bytes_sent) << "\n"
            << "at once        " << support::bytes_text(r.largest_burst) << " at most\n"
            << "seconds        " << r.seconds << "\n"
            << "determinism    " << r.determinism << "\n";
  for (std::size_t k = 0; k < r.hashes.size(); ++k)
    std::cout << "weights " << k << "      " << r.hashes[k] << "\n";
}

/// The trained model into a file of ONNX, where this program can (support::check_onnx).
void write_onnx(const std::string& file, model_type& model);

/// The numbers first: a plot that fails does not take them along.
inline void write(const results& r, const settings& s, const history& seen) {
  support::write_json(s.json, {{"held_out_loss", r.held_out_loss},
                               {"weight_hashes", r.hashes},
                               {"bytes_sent", r.bytes_sent},
                               {"largest_burst", r.largest_burst},
                               {"seconds", r.seconds},
                               {"tokens_per_second", r.tokens_per_second},
                               {"determinism", r.determinism},
                               {"sync", s.sync},
                               {"topology", s.topology},
                               {"codec", s.codec},
                               {"steps", s.recipe.steps},
                               {"period", s.period},
                               {"accumulate", s.accumulate},
                               {"clip", s.clip},
                               {"seed", s.seed}});
  if (s.plot.empty()) return;
  const std::string title =
      "train_text: " + s.sync + ", " + std::to_string(r.hashes.size()) + " ranks";
  support::write_plot(s.plot, title, "step", "nats per byte",
                      {{"training loss of rank 0", seen.losses}});
}

} // namespace train_text
