// What train_text reports at the end: loss on held-out text, a sample, hashes, a plot, a file.
#pragma once

#include "loops.hpp"

#include <nlohmann/json.hpp>
#include <sodium.h>

#include <array>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace train_text {

using digest = std::array<unsigned char, crypto_hash_sha256_BYTES>;

inline digest hash_of(std::span<const float> weights) {
  digest out{};
  crypto_hash_sha256(out.data(), reinterpret_cast<const unsigned char*>(weights.data()),
                     weights.size_bytes());
  return out;
}

inline std::string hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char b : bytes) {
    constexpr char digits[] = "0123456789abcdef";
    text += digits[b >> 4];
    text += digits[b & 15];
  }
  return text;
}

struct results {
  double held_out_loss = 0; ///< nats per byte
  double bytes_sent = 0;    ///< by all ranks, while training
  double seconds = 0;       ///< training and scoring
  double tokens_per_second = 0;
  std::vector<std::string> hashes;
  std::string determinism;
};

/// Collective: every rank scores its share of the held-out text and hashes its weights.
template <class Comm>
void measure(Comm& world, model_type& model, const models::text_data& text, results& r) {
  const auto mine = models::held_out_score(model, text, std::size_t(world.rank()),
                                           std::size_t(world.size()));
  std::array<double, 3> sums{mine.nats, double(mine.bytes), r.bytes_sent};
  tutti::all_reduce(world, sums);
  r.held_out_loss = sums[0] / sums[1];
  r.bytes_sent = sums[2];
  const digest own = hash_of(model.flat_parameters());
  std::vector<unsigned char> all(own.size() * std::size_t(world.size()));
  tutti::all_gather(world, own, all);
  for (std::size_t k = 0; k < std::size_t(world.size()); ++k)
    r.hashes.push_back(hex(std::span{all}.subspan(k * own.size(), own.size())));
}

inline void print(const results& r, const settings& s, model_type& model, const history& seen) {
  std::cout << "\n--- sample ---\n"
            << s.sample << model.sample(s.sample, 300, 0.8, s.seed) << "\n--------------\n"
            << "held-out loss  " << r.held_out_loss << " nats per byte\n"
            << "tokens/s       " << r.tokens_per_second << "\n"
            << "sent           " << support::bytes_text(r.bytes_sent) << "\n"
            << "seconds        " << r.seconds << "\n"
            << "determinism    " << r.determinism << "\n";
  for (std::size_t k = 0; k < r.hashes.size(); ++k)
    std::cout << "weights " << k << "      " << r.hashes[k] << "\n";
  if (!s.plot.empty())
    support::write_plot(s.plot, "train_text: " + s.sync + ", " + std::to_string(r.hashes.size()) +
                                    " ranks", "step", "nats per byte",
                        {{"training loss of rank 0", seen.losses}});
  if (s.json.empty()) return;
  std::ofstream out{s.json};
  out << nlohmann::json{{"held_out_loss", r.held_out_loss},
                        {"weight_hashes", r.hashes},
                        {"bytes_sent", r.bytes_sent},
                        {"seconds", r.seconds},
                        {"tokens_per_second", r.tokens_per_second},
                        {"determinism", r.determinism},
                        {"sync", s.sync},
                        {"topology", s.topology},
                        {"codec", s.codec},
                        {"steps", s.recipe.steps},
                        {"seed", s.seed}}
             .dump(2)
      << "\n";
  if (!out.flush()) throw std::runtime_error("train_text: cannot write " + s.json);
}

} // namespace train_text
