#include "clients.hpp"

#include "models/mlp.hpp"
#if TUTTI_WITH_ONNX
#include "models/onnx.hpp"
#endif
#include "models/random.hpp"

#include <tutti/communicators/communicator.hpp>
#include <tutti/federated/attacks.hpp>
#include <tutti/training/trainer.hpp>

#include <algorithm>
#include <cstdint>

namespace federated_mnist {

namespace {

/// Images as who attacks by its labels has them.
struct flipped {
  const models::image_set& set;
  int inputs() const { return set.inputs(); }
  int label(std::size_t i) const { return tutti::attacks::flipped_label(set.label(i), models::digit_classes); }
  template <class T>
  void copy_input(std::size_t i, T* out) const {
    set.copy_input(i, out);
  }
};

tutti::client_rows cut(const settings& s, const models::image_set& set) {
  const std::span<const std::uint8_t> labels{set.labels};
  if (s.partition == "shards") return tutti::shard_partition{s.shards}(labels, s.clients, s.seed);
  if (s.partition == "dirichlet") return tutti::dirichlet_partition{s.alpha}(labels, s.clients, s.seed);
  if (s.partition == "power_law") return tutti::power_law_partition{s.exponent}(labels, s.clients, s.seed);
  return tutti::iid_partition{}(labels, s.clients, s.seed);
}
std::vector<int> widths(const std::string& model) {
  if (model == "lr") return {models::image_pixels, models::digit_classes};
  return {models::image_pixels, 200, 200, models::digit_classes};
}

/// Epochs of steps over the rows, in a new order each.
template <class Set>
void descend(models::mlp& model, const Set& set, const std::vector<std::uint32_t>& rows, int batch,
             tutti::local_training<float>& local, tutti::random_stream random) {
  std::vector<std::uint32_t> chosen;
  const std::size_t most = batch == 0 ? rows.size() : std::size_t(batch);
  for (int epoch = 0; epoch < local.epochs(); ++epoch) {
    const std::uint64_t name = std::uint64_t{random()} << 32 | random();
    const auto order = models::shuffled(rows.size(), name);
    for (std::size_t begin = 0; begin < order.size(); begin += chosen.size()) {
      chosen.clear();
      for (std::size_t k = begin; k < std::min(order.size(), begin + most); ++k) chosen.push_back(rows[order[k]]);
      model.load(std::as_const(local).parameters());
      model.loss_and_gradients(set, chosen);
      local.step(model.flat_gradients());
    }
  }
}

} // namespace

struct people::workplace {
  models::mlp model;
};

people::people(const settings& s, const models::digits& data)
    : s_{s}, data_{data}, rows_{cut(s, data.training)}, at_{new workplace{models::mlp{widths(s.model)}}} {}
people::~people() = default;

void people::train(int client, tutti::local_training<float>& local, tutti::random_stream random) {
  const auto& rows = rows_[std::size_t(client)];
  if (s_.attack == "label_flip" && client < s_.attackers)
    descend(at_->model, flipped{data_.training}, rows, s_.batch, local, random);
  else
    descend(at_->model, data_.training, rows, s_.batch, local, random);
}
tutti::score people::evaluate(std::span<const float> parameters, int part, int parts) {
  const auto mine = tutti::shard_of(data_.test.size(), part, parts);
  at_->model.load(parameters);
  return {double(at_->model.correct(data_.test, mine.begin, mine.end)), double(mine.end - mine.begin)};
}
std::vector<float> people::initial() {
  if (s_.model == "lr") // convex: all zero
    return std::vector<float>(at_->model.flat_parameters().size());
  at_->model.initialise(s_.seed);
  const auto values = at_->model.flat_parameters();
  return {values.begin(), values.end()};
}
void people::write_onnx([[maybe_unused]] const std::string& file, std::span<const float> parameters) {
  at_->model.load(parameters);
#if TUTTI_WITH_ONNX
  models::onnx_of(at_->model).write(file);
#endif
}

} // namespace federated_mnist
