// The two loops of train_text: gradients into a bound trainer, and clients of a federated round.
#pragma once

#include "codecs.hpp"
#include "settings.hpp"
#include "support/progress.hpp"
#include "support/plot.hpp"

#include <tutti/tutti.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace train_text {

using model_type = models::transformer;

/// What a rank sees of its own training.
struct history {
  std::vector<support::point> losses; ///< a running mean over twenty steps
  double mean = 0;

  void add(long step, double loss) {
    mean = losses.empty() ? loss : mean + (loss - mean) / 20;
    losses.push_back({double(step), mean});
  }
};

/// What the progress bar shows beside the loss.
template <class Comm, class Traced>
std::string status(const history& seen, double tokens, double seconds, const Comm& comm,
                   const Traced& timed) {
  char text[160];
  std::snprintf(text, sizeof text, "loss %.3f  %.0f tokens/s  %s sent  %.0f %% communicating",
                seen.mean, tokens / seconds,
                support::bytes_text(double(comm.sent().bytes)).c_str(),
                100 * timed.seconds() / seconds);
  return text;
}

/// Steps of this rank through a trainer of any policy; a gradient travels as soon as it is final.
template <class Trainer, class OnStep>
void train_bound(Trainer& trainer, model_type& model, const models::text_data& text,
                 const settings& s, int rank, int updates_a_step, OnStep&& on_step) {
  std::vector<std::uint8_t> rows;
  const auto& recipe = s.recipe;
  for (int step = int(trainer.steps()); step < recipe.steps; ++step) {
    const auto next_rows = [&](int batch) {
      models::sample_rows(text.training(), recipe.shape.context, recipe.batch, s.seed,
                          std::uint64_t(step) * std::uint64_t(s.accumulate) + std::uint64_t(batch),
                          std::uint64_t(rank), rows);
    };
    double loss = 0;
    for (int batch = 0; batch + 1 < s.accumulate; ++batch) {
      next_rows(batch);
      loss += model.loss_and_gradients(rows, recipe.batch);
      trainer.accumulate(model.gradients());
    }
    next_rows(s.accumulate - 1);
    trainer.optimizer().learning_rate = recipe.learning_rate(step) / updates_a_step;
    trainer.begin(model.gradients());
    loss += model.loss_and_gradients(rows, recipe.batch, [&](int tensor) {
      trainer.ready(std::size_t(tensor));
    });
    trainer.finish();
    on_step(step + 1, loss / s.accumulate);
  }
  trainer.finalize();
}

inline tutti::adamw optimizer_of(const models::text_recipe& recipe) {
  return {.learning_rate = recipe.peak_learning_rate,
          .beta2 = recipe.beta2,
          .weight_decay = recipe.weight_decay};
}
/// What goes with --codec one_bit_adam, and with dgc, which has the momentum.
inline tutti::one_bit_adam one_bit_optimizer_of(const models::text_recipe& recipe) {
  return {.learning_rate = recipe.peak_learning_rate,
          .beta2 = recipe.beta2,
          .weight_decay = recipe.weight_decay,
          .warm_up = one_bit_warm_up(recipe.steps)};
}
inline tutti::sgd plain_optimizer_of(const models::text_recipe& recipe) {
  return {.learning_rate = recipe.peak_learning_rate};
}

/// Federated: every client holds a stretch of the text of its own, and takes local_steps steps in a
/// round, with an optimizer that begins anew.
class writers {
public:
  static constexpr int local_steps = 100;
  static constexpr int rounds(int steps) { return (steps + local_steps - 1) / local_steps; }

  writers(const models::text_data& text, const settings& s, int clients, history& seen)
      : text_{text}, s_{s}, clients_{clients}, seen_{seen}, model_{s.recipe.shape} {}

  int clients() const { return clients_; }
  double examples(int client) const { return double(shard(client).size()); }

  void train(int client, tutti::local_training<float, tutti::adamw>& local, tutti::random_stream random) {
    const auto& recipe = s_.recipe;
    std::vector<std::uint8_t> rows;
    const std::uint64_t name = random();
    const int steps = local.epochs() * local_steps;
    for (int step = 1; step <= steps; ++step) {
      models::sample_rows(shard(client), recipe.shape.context, recipe.batch, name,
                          std::uint64_t(step), 0, rows);
      const int all = int(local.round() - 1) * steps + step - 1;
      local.optimizer().learning_rate = recipe.learning_rate(std::min(all, recipe.steps - 1));
      model_.load(local.tensors());
      seen_.add(all + 1, model_.loss_and_gradients(rows, recipe.batch));
      local.step(model_.gradients());
    }
  }

private:
  std::span<const std::uint8_t> shard(int client) const {
    return text_.shard(std::size_t(client), std::size_t(clients_));
  }

  const models::text_data& text_;
  const settings& s_;
  int clients_;
  history& seen_;
  model_type model_;
};

} // namespace train_text
