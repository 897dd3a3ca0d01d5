// A population whose rounds are known to many digits, for tests.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/federated/local_training.hpp>

namespace trial {

/// F_i(x) = a_i / 2 (x - b_i)^2, a = (1, 3), b = (-1, 2), in steps of local training: two clients of equal weight.
/// With two of them of rate 0.1 each, the rounds from x = 0 give .415, .68475, .8600875.
struct two_parabolas {
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const double a = client == 0 ? 1 : 3, b = client == 0 ? -1 : 2;
    for (int k = 0; k < local.epochs(); ++k) {
      const double gradient[] = {a * (local.parameters()[0] - b)};
      local.step(gradient);
    }
  }
};

} // namespace trial
