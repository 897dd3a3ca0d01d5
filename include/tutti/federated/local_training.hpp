// local_training: the model as a client has it in a round.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/host_verbs.hpp>
#include <tutti/training/updating.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// What population::train is given: a copy of the parameters that the round has sent out, which the client
/// changes - by step(), or by writing them - and the state of an optimizer, which begins anew with every
/// client. What it has changed when train() returns is what it contributes.
template <class T, class Optimizer = sgd>
class local_training {
public:
  /// `factors` and `frozen` are those of each tensor; `proximal` times its way so far is added to a gradient.
  local_training(std::span<const tensor<T>> model, Optimizer optimizer, int epochs,
                 std::vector<detail::group_factors> factors, std::vector<bool> frozen, double proximal = 0)
      : given_{optimizer}, optimizer_{std::move(optimizer)}, epochs_{epochs}, factors_{std::move(factors)},
        frozen_{std::move(frozen)}, proximal_{static_cast<T>(proximal)} {
    std::size_t n = 0;
    for (const tensor<T>& t : model) {
      places_.push_back({n, n + t.values.size()});
      n += t.values.size();
    }
    values_.resize(n);
    versions_.resize(places_.size());
    for (std::size_t k = 0; k < model.size(); ++k)
      tensors_.push_back({model[k].name, std::span{values_}.subspan(places_[k].begin, places_[k].size()),
                          model[k].shape});
    updater_ = detail::updater<T>{memory_, optimizer_, place{0, n}};
  }
  local_training(const local_training&) = delete;
  local_training& operator=(const local_training&) = delete;

  /// The next client: all as the round, from 1, has sent it out. `correction`, none or as long as the model, is added
  /// to its gradients; it outlives the client's turn.
  void begin(std::span<const T> received, std::int64_t round, std::span<const T> correction = {}) {
    received_ = received;
    correction_ = correction;
    told_.clear();
    loss_.reset();
    round_ = round;
    steps_ = 0;
    std::ranges::fill(versions_, 0);
    std::copy(received.begin(), received.end(), values_.begin());
    optimizer_ = given_;
    updater_.forget(updater_.where());
  }

  /// What the policy asks of clients: how often they go through their data, and FedProx's mu.
  void ask(int epochs, double proximal) {
    epochs_ = epochs;
    proximal_ = static_cast<T>(proximal);
  }

  /// What the round has sent out: all tensors, one behind the other.
  std::span<const T> received() const noexcept { return received_; }
  /// The client's own, in the same order; they begin as a copy.
  std::span<T> parameters() noexcept { return values_; }
  std::span<const T> parameters() const noexcept { return values_; }
  /// The same by name and shape, as they were given to the strategy.
  std::span<const tensor<T>> tensors() const noexcept { return tensors_; }
  /// What step() adds to gradients, in the same order; empty where the policy has none. Who does not call step() adds
  /// it by itself: c - c_i of SCAFFOLD, -g_i of FedDyn.
  std::span<const T> correction() const noexcept { return correction_; }
  /// How many times the policy wants a client to go through its data.
  int epochs() const noexcept { return epochs_; }
  /// From 1.
  std::int64_t round() const noexcept { return round_; }

  /// Of this client in this round: its rates may be set between two steps.
  Optimizer& optimizer() noexcept { return optimizer_; }
  const Optimizer& optimizer() const noexcept { return optimizer_; }
  /// That this client has made in this round.
  std::int64_t steps() const noexcept { return steps_; }
  /// One step of the optimizer: gradients are tensors as long as the parameters, one without values has none,
  /// which is no step of it; or all of them one behind the other. Frozen tensors stay as they are. Throws
  /// invalid_argument.
  template <class Gradients>
  void step(const Gradients& gradients) {
    const auto given = detail::as_tensors(gradients);
    const bool flat = given.size() == 1 && given[0].values.size() == values_.size();
    if (!flat) require_fit(given);
    ++steps_;
    for (std::size_t k = 0; k < places_.size(); ++k) {
      const std::span<const T> g =
          flat ? std::span<const T>{given[0].values}.subspan(places_[k].begin, places_[k].size())
               : std::span<const T>{given[k].values};
      if (g.empty() || frozen_[k]) continue;
      updater_(places_[k], {++versions_[k], tensors_[k].values, pulled_back(k, g), T(1), factors_[k]});
    }
  }
  /// The steps of this client in this round, each counted by what it comes to in what is contributed: with a momentum
  /// m of the optimizer step k of n by (1 - m^(n - k + 1)) / (1 - m). At least 1, of one who has written its
  /// parameters.
  double weighed_steps() const {
    double momentum = 0;
    if constexpr (requires { double(optimizer_.momentum); }) momentum = double(optimizer_.momentum);
    double total = 0, each = 0;
    for (std::int64_t k = 0; k < steps_; ++k) {
      each = 1 + momentum * each;
      total += each;
    }
    return steps_ > 0 ? total : 1;
  }

  /// For scaffold::at_start: the gradient at received(), over all of the client's data; as in step(), but of every
  /// tensor. Throws invalid_argument.
  template <class Gradients>
  void tell_gradient(const Gradients& gradients) {
    const auto given = detail::as_tensors(gradients);
    std::vector<T> told;
    for (const auto& g : given) told.insert(told.end(), g.values.begin(), g.values.end());
    if (told.size() != values_.size())
      throw error{{.code = error_code::invalid_argument,
                   .call = "local_training::tell_gradient",
                   .detail = "a gradient of " + std::to_string(told.size()) + " values is told, and the model has " +
                             std::to_string(values_.size())}};
    told_ = std::move(told);
  }
  std::span<const T> told_gradient() const noexcept { return told_; }
  /// For q_fair: the loss at received(), over all of the client's data.
  void tell_loss(double loss) noexcept { loss_ = loss; }
  std::optional<double> told_loss() const noexcept { return loss_; }

  /// Whether this client has made a step, or changed a bit.
  bool contributes() const noexcept {
    const std::size_t bytes = values_.size() * sizeof(T);
    return steps_ > 0 || bytes == 0 || std::memcmp(values_.data(), received_.data(), bytes) != 0;
  }

private:
  /// g + correction + mu (p - received).
  std::span<const T> pulled_back(std::size_t tensor, std::span<const T> g) {
    if (proximal_ == 0 && correction_.empty()) return g;
    pulled_.resize(g.size());
    const detail::exact_mode held;
    const rounding rounded;
    const std::span<const T> p = tensors_[tensor].values, sent = received_.subspan(places_[tensor].begin, g.size());
    for (std::size_t i = 0; i < g.size(); ++i) pulled_[i] = g[i] + rounded(proximal_ * (p[i] - sent[i]));
    if (!correction_.empty())
      for (std::size_t i = 0; i < g.size(); ++i) pulled_[i] += correction_[places_[tensor].begin + i];
    return pulled_;
  }

  template <class Given>
  void require_fit(const Given& given) const {
    const auto refuse = [](std::string why) {
      throw error{{.code = error_code::invalid_argument, .call = "local_training::step", .detail = std::move(why)}};
    };
    if (given.size() != tensors_.size())
      refuse("there are " + std::to_string(given.size()) + " gradients for " + std::to_string(tensors_.size()) +
             " tensors - give one for each, or all of their values one behind the other");
    for (std::size_t k = 0; k < tensors_.size(); ++k)
      if (!given[k].values.empty() && given[k].values.size() != places_[k].size())
        refuse("the gradient of \"" + tensors_[k].name + "\" has " + std::to_string(given[k].values.size()) +
               " values, and the tensor " + std::to_string(places_[k].size()));
  }

  Optimizer given_, optimizer_;
  int epochs_;
  std::vector<detail::group_factors> factors_;
  std::vector<bool> frozen_;
  T proximal_;
  std::vector<T> pulled_, told_;
  std::optional<double> loss_;
  std::span<const T> correction_;
  std::span<const T> received_;
  std::vector<T> values_;
  std::vector<tensor<T>> tensors_;
  std::vector<place> places_;
  detail::host_verbs<T> memory_;
  detail::updater<T> updater_;
  std::int64_t round_ = 0, steps_ = 0;
  std::vector<std::int64_t> versions_; ///< steps of each tensor
};

} // namespace tutti
