// The clients of federated_mnist: whose images are whose, and what they train.
#pragma once

#include "models/mnist.hpp"
#include "settings.hpp"

#include <tutti/federated/partition.hpp>
#include <tutti/federated/population.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace federated_mnist {

/// One rank's view of the population, with a model to work in. Settings and data must outlive it.
class people {
public:
  people(const settings& s, const models::digits& data);
  ~people();

  int clients() const { return int(rows_.size()); }
  double examples(int client) const { return double(rows_[std::size_t(client)].size()); }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random);
  tutti::score evaluate(std::span<const float> parameters, int part, int parts);

  /// What the first round sends out.
  std::vector<float> initial();
  /// Into a file of ONNX, where this program can (support::check_onnx).
  void write_onnx(const std::string& file, std::span<const float> parameters);

private:
  struct workplace; ///< the model
  const settings& s_;
  const models::digits& data_;
  tutti::client_rows rows_;
  std::unique_ptr<workplace> at_;
};

} // namespace federated_mnist
