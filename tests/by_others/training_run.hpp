// A drawn run, plain_training.hpp, on a trainer.
#pragma once

#include "by_others/plain_training.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/training/checkpoint.hpp>
#include <tutti/tutti.hpp>

#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>

#include <unistd.h>

namespace plain {

template <class T = const double>
std::vector<tutti::tensor<T>> tensors_of(std::vector<std::vector<double>>& all) {
  std::vector<tutti::tensor<T>> tensors;
  for (std::size_t t = 0; t < all.size(); ++t) tensors.push_back({"t" + std::to_string(t), std::span<T>{all[t]}, {}});
  return tensors;
}

inline tutti::sgd sgd_of(const rule& r) { return {r.rate, r.momentum, r.nesterov, r.decay}; }
inline tutti::adamw adamw_of(const rule& r) { return {.learning_rate = r.rate, .weight_decay = r.decay}; }


inline tutti::training_options options_of(const plan& how) {
  tutti::training_options o{.bucket_bytes = 40, .clip = how.clip};
  if (how.by_world) o.uneven = tutti::uneven::by_world;
  if (how.skips) {
    o.non_finite = tutti::non_finite::skip;
    o.loss_scale = {.initial = 1024, .growth = 2, .backoff = 4, .every = 3};
  }
  for (std::size_t t = 0; t < how.rate_of.size(); ++t)
    o.groups.push_back({"t" + std::to_string(t), how.rate_of[t], how.decay_of[t]});
  for (std::size_t t = 0; t < how.frozen_until.size(); ++t)
    if (how.frozen_until[t] > 0) o.frozen.push_back("t" + std::to_string(t));
  return o;
}

/// The gradients of one micro-batch, where a rank's parameters are x; of none, where the model does not use it.
inline values gradients_of(const plan& how, int rank, int step, int micro, const values& x, double scale = 1) {
  values g(x.size());
  for (std::size_t t = 0; t < x.size(); ++t) {
    if (!how.present(rank, step, micro, t)) continue;
    for (std::size_t i = 0; i < x[t].size(); ++i)
      g[t].push_back(scale * how.gradient(rank, step, micro, t, i, x[t][i]));
  }
  return g;
}

/// One step, in one of the ways in which it can be made.
template <class Trainer> void make_step(Trainer& trainer, const plan& how, int rank, int step, const values& x) {
  const int micros = how.micros(rank, step);
  for (int micro = 0; micro < micros; ++micro) {
    values g = gradients_of(how, rank, step, micro, x, trainer.loss_scale());
    const auto given = tensors_of(g);
    const double w = how.weight(rank, step, micro);
    const bool is_last = micro + 1 == micros, apart = how.draw(6, std::uint32_t(rank), std::uint32_t(step), 0, 0) > 0.5;
    if (!is_last || apart) {
      trainer.accumulate(given, w);
      if (is_last) trainer.step();
    } else if (how.weighted || how.draw(7, std::uint32_t(rank), std::uint32_t(step), 0, 0) > 0.5) {
      trainer.step(given, w);
    } else {
      trainer.begin(given);
      for (std::size_t t = 0; t < given.size(); ++t) trainer.ready((t * 2 + std::size_t(rank)) % given.size());
      trainer.finish();
    }
  }
}

/// A step that cannot be: gradients that do not fit, or values that are none. It throws, or is left out.
template <class Trainer>
void try_to_step(Trainer& trainer, report& r, const plan& how, int rank, int step, const values& x, bool on_all) {
  values g = gradients_of(how, rank, 1000 + step, 0, x, trainer.loss_scale());
  const auto code_of = [&](auto&& call) {
    try {
      call();
    } catch (const tutti::error& e) {
      return name(e.code());
    }
    return decltype(name(tutti::error_code::mismatch)){"none"};
  };
  auto other = g;
  other[1].assign(how.sizes[1] + 1, 1.0);
  const std::string misfit{code_of([&] { trainer.step(tensors_of(other)); })};
  r.check(misfit == "invalid_argument", "what does not fit was met with " + misfit);
  if (on_all || rank == step % how.ranks) g[0].assign(how.sizes[0], std::numeric_limits<double>::quiet_NaN());
  const std::string code{code_of([&] { trainer.step(tensors_of(g)); })};
  r.check(code == (how.skips ? "none" : "non_finite"), "a NaN was met with " + code);
}

inline double farthest(const values& a, const values& b) {
  double most = 0;
  for (std::size_t t = 0; t < a.size(); ++t)
    for (std::size_t i = 0; i < a[t].size(); ++i) {
      const double d = std::abs(a[t][i] - b[t][i]);
      most = d <= most ? most : d; // a NaN too
    }
  return most;
}

template <class Strategy, class Optimizer>
void follow(auto& comm, report& r, const std::string& what, Strategy& strategy, const Optimizer& optimizer,
            const plan& how) {
  replicas wanted{how};
  const int rank = comm.rank();
  std::unique_ptr<values> x;
  const auto fresh = [&](double away) {
    x = std::make_unique<values>();
    for (std::size_t t = 0; t < how.sizes.size(); ++t) {
      x->emplace_back();
      for (std::size_t i = 0; i < how.sizes[t]; ++i) x->back().push_back(how.start(t, i) + away * rank);
    }
  };
  const auto bound = [&] {
    using bound_trainer = decltype(strategy.bind(tensors_of<double>(*x), optimizer, options_of(how)));
    return std::unique_ptr<bound_trainer>(
        new bound_trainer(strategy.bind(tensors_of<double>(*x), optimizer, options_of(how))));
  };
  fresh(1); // apart on all ranks but 0
  auto trainer = bound();
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("tutti_by_others_" + std::to_string(::getpid()))).string();
  bool right = true;
  int skipped = 0, good = 0;
  double scale = 1024;
  const auto compare = [&](int s, const char* when) {
    const double away = farthest(*x, wanted.of(rank));
    if (right && !(away < 1e-9))
      right = r.check(false, what + ", seed " + std::to_string(how.seed) + ", " + when + " step " + std::to_string(s) +
                                 ": away by " + std::to_string(away));
    r.check(true, "");
  };
  compare(0, "bound before");
  for (int s = 1; s <= how.steps; ++s) {
    const bool mine = how.gives(rank, s);
    for (std::size_t t = 0; t < how.frozen_until.size() && mine; ++t)
      if (how.frozen_until[t] + 1 == s && s > 1) trainer->freeze("t" + std::to_string(t), false);
    if (plan::among(how.failed, s)) {
      try_to_step(*trainer, r, how, rank, s, *x, how.contribution != tutti::contributes::gradient);
      if (how.skips) wanted.skip(s);
      compare(s, "failed before");
      skipped += how.skips;
      if (how.skips) scale /= 4, good = 0;
    }
    if (how.rate && mine) trainer->optimizer().learning_rate = how.rate(s);
    if (mine) make_step(*trainer, how, rank, s, *x);
    wanted.step(s);
    if (mine) compare(s, "after");
    if (mine && how.clip > 0 && how.contribution == tutti::contributes::gradient)
      r.check(std::abs(trainer->gradient_norm() - wanted.norm(rank)) < 1e-9,
              what + ": norm " + std::to_string(trainer->gradient_norm()) + ", not " +
                  std::to_string(wanted.norm(rank)));
    if (mine)
      r.check(trainer->steps() == s + skipped && trainer->skipped() == skipped,
              what + ": steps() is " + std::to_string(trainer->steps()));
    if (how.skips) {
      if (++good == 3) scale *= 2, good = 0;
      r.check(trainer->loss_scale() == scale, what + ": scale " + std::to_string(trainer->loss_scale()) +
                                                  ", not " + std::to_string(scale));
    }
    if (plan::among(how.finalized, s)) {
      trainer->finalize();
      wanted.finalize(s);
      compare(s, "finalized after");
    }
    if (plan::among(how.resumed, s)) {
      trainer->save(folder);
      trainer.reset();
      fresh(-7);
      trainer = bound();
      trainer->load(folder);
      compare(s, "resumed after");
    }
  }
  if (!how.last.empty()) trainer->join();
  else trainer->finalize();
  wanted.finalize(how.steps);
  compare(how.steps, "at the end, after");
  trainer->finalize();
  compare(how.steps, "at the end again, after");
  if (rank == 0 && !how.resumed.empty()) std::filesystem::remove_all(folder);
}

} // namespace plain
