// A short training in which one rank leaves in the place of one of its exchanges.
#pragma once

#include "training/small.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <string>
#include <vector>

namespace losing {

using small_model::floats;

inline const tutti::options patience{.timeout = std::chrono::seconds{60}};
inline constexpr int steps = 3;

struct outcome {
  bool left = false, was_bound = false; ///< the fault came to pass; when all were bound
  std::vector<floats> values;           ///< of each rank at the end
  std::vector<std::vector<int>> lost;   ///< as each rank names them
  std::vector<std::string> told;        ///< what each has caught
};

/// Steps of ones with a strategy of these parts, in which rank `what.rank` returns in the place of one of its exchanges.
template <class... Parts>
outcome run(tutti::fault what, int ranks, const Parts&... parts) {
  outcome all;
  all.values.resize(std::size_t(ranks));
  all.lost.resize(std::size_t(ranks));
  all.told.resize(std::size_t(ranks), "none");
  try {
    tutti::threads::run(ranks, [&](auto& inner) {
      const auto r = std::size_t(inner.rank());
      tutti::faulty world{inner, what};
      floats w(5), ones(5, 1);
      bool bound = false;
      try {
        tutti::strategy strategy{world, parts..., patience};
        auto trainer = strategy.bind(w, small_model::by_one);
        bound = true;
        if (trainer.role() == tutti::role::server)
          trainer.serve();
        else
          for (int k = 0; k < steps; ++k) trainer.step(ones);
        trainer.finalize();
        all.values[r] = w;
        all.lost[r] = trainer.lost();
      } catch (const tutti::rank_leaves&) {
        all.left = true;
        all.was_bound = bound;
      } catch (const tutti::error& e) {
        all.told[r] = e.what();
      }
    });
  } catch (const std::exception& e) {
    all.told[0] += std::string{", and threw "} + e.what();
  }
  return all;
}

} // namespace losing
