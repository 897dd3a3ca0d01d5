// What one client of federated averaging does, and which examples it holds.
#pragma once

#include "random.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace models {

/// Client `client` of `clients` holds an equal share of the shuffled examples `order` (IID).
inline std::span<const std::uint32_t> client_rows(std::span<const std::uint32_t> order,
                                                  std::size_t client, std::size_t clients) {
  const std::size_t begin = client * order.size() / clients;
  return order.subspan(begin, (client + 1) * order.size() / clients - begin);
}

template <class Model> void descend(Model& model, float learning_rate) {
  const auto gradients = model.flat_gradients();
  const auto parameters = model.flat_parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i] -= learning_rate * gradients[i];
  }
}

/// Defaults: the 2NN on MNIST, see the measurement in federated_recipe.
struct local_training {
  int epochs = 1;
  int batch = 10;
  float learning_rate = 0.1f;
};

/// What a client of federated averaging does: epochs over its examples `rows` in a new order each
/// time, plain gradient descent. Returns the mean loss of the last epoch.
template <class Model, class Examples>
double train_client(Model& model, const Examples& set, std::span<const std::uint32_t> rows,
                    const local_training& how, std::uint64_t seed) {
  double loss = 0;
  std::vector<std::uint32_t> batch;
  for (int epoch = 0; epoch < how.epochs; ++epoch) {
    const auto order = shuffled(rows.size(), draw(seed, static_cast<std::uint64_t>(epoch)));
    loss = 0;
    for (std::size_t begin = 0; begin < order.size(); begin += batch.size()) {
      const auto end = std::min(order.size(), begin + static_cast<std::size_t>(how.batch));
      batch.clear();
      for (std::size_t i = begin; i < end; ++i) {
        batch.push_back(rows[order[i]]);
      }
      loss += static_cast<double>(model.loss_and_gradients(set, batch)) *
              static_cast<double>(batch.size());
      descend(model, how.learning_rate);
    }
  }
  return rows.empty() ? 0 : loss / static_cast<double>(rows.size());
}

} // namespace models
