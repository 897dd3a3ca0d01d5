// A small run that can be saved: what a trainer has, without one.
#pragma once

#include "training/scratch.hpp"

#include <tutti/carriers/control.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/training/checkpoint.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace checkpoints {

using tutti::held_by;

struct shape_of {
  std::string name;
  std::vector<std::int64_t> shape;
};
inline const std::vector<shape_of> usual{{"a", {3, 4}}, {"b", {5}}, {"none", {0}}, {"c", {2, 20}}};

/// Every value of a run says what it is: of which kind, of which element of which tensor, of which
/// rank.
class small_run {
public:
  small_run(int rank, int ranks, const std::vector<shape_of>& tensors = usual)
      : rank_{rank}, ranks_{ranks} {
    std::vector<tutti::tensor<float>> all;
    for (const shape_of& t : tensors) {
      std::size_t n = 1;
      for (const std::int64_t d : t.shape) n *= std::size_t(d);
      values_.emplace_back(n);
    }
    for (std::size_t k = 0; k < tensors.size(); ++k)
      all.push_back({tensors[k].name, values_[k], tensors[k].shape});
    model = tutti::flat_model<float>{std::move(all)};
    const tutti::shard mine = tutti::shard_of(model.size(), rank, ranks);
    owned_ = {mine.begin, mine.end};
    slot.resize(owned_.size());
    agreed.resize(model.size());
    own.resize(model.size());
  }

  small_run(const small_run&) = delete;

  /// As after `by` steps.
  void train(int by) {
    steps += by;
    rate = .1 * double(steps);
    skipped = steps * 100 + rank_;
    const float step = float(steps);
    model.each({0, model.size()}, [&](std::size_t k, tutti::place at) {
      const float base = float(model[k].name[0] * 1000) + step;
      for (std::size_t i = 0; i < at.size(); ++i) {
        model.values(k, at)[i] = base + float(i * 10) + (apart ? float(rank_) : 0);
        agreed[at.begin + i] = double(base) + .25 + double(i * 10);
        own[at.begin + i] = base + .5f + float(i * 10) + float(rank_) / 16;
        if (const std::size_t e = at.begin + i; e >= owned_.begin && e < owned_.end)
          slot[e - owned_.begin] = base + .125f + float(i * 10);
      }
    });
  }

  void state(tutti::archive& to) {
    std::int64_t replicas = apart;
    to.number("steps", steps);
    to.number("rate", rate);
    to.number("apart", replicas);
    apart = replicas != 0;
    for (std::size_t k = 0; k < model.count(); ++k)
      to.values("", model[k].values, model.place_of(k), apart ? held_by::each : held_by::everyone);
    if (!slots) return;
    to.values("m", slot, owned_, held_by::owner);
    to.values("agreed", agreed, {0, model.size()}, held_by::everyone);
    if (apart) {
      to.values("own", own, {0, model.size()}, held_by::each);
      to.number("skipped", skipped, held_by::each);
    }
    if (more) more(to);
  }

  bool equals(const small_run& other) const {
    return steps == other.steps && rate == other.rate && values_ == other.values_ &&
           slot == other.slot && agreed == other.agreed &&
           (!apart || (own == other.own && skipped == other.skipped));
  }
  /// Whether it is all of `by` steps.
  bool is_as_after(int by) const {
    small_run expected{rank_, ranks_, shapes()};
    expected.apart = apart;
    expected.train(by);
    if (!slots) expected.slot = slot, expected.agreed = agreed;
    return equals(expected);
  }

  tutti::flat_model<float> model;
  std::vector<float> slot, own;
  std::vector<double> agreed;
  std::int64_t steps = 0, skipped = 0;
  double rate = 0;
  bool slots = true, apart = false;
  std::function<void(tutti::archive&)> more;
  std::map<std::string, std::string> knobs{{"learning_rate", "0.1"}};

private:
  std::vector<shape_of> shapes() const {
    std::vector<shape_of> out;
    for (const auto& t : model.tensors()) out.push_back({t.name, t.shape});
    return out;
  }

  int rank_, ranks_;
  tutti::place owned_;
  std::vector<std::vector<float>> values_;
};

template <class Calls = tutti::detail::system_calls>
void save(tutti::control& ranks, small_run& run, const std::string& folder, int keep = 0) {
  const auto visit = [&run](tutti::archive& to) { run.state(to); };
  tutti::detail::save_checkpoint<Calls>(
      ranks, {tutti::detail::tensor_places{run.model}, visit, run.knobs}, folder, {.keep = keep});
}
inline std::vector<std::string> load(tutti::control& ranks, small_run& run,
                                     const std::string& folder) {
  const auto visit = [&run](tutti::archive& to) { run.state(to); };
  return tutti::detail::load_checkpoint(
      ranks, {tutti::detail::tensor_places{run.model}, visit, run.knobs}, folder);
}

/// program(control) on threads; waits for nobody longer than a few seconds.
template <class Program> void on_ranks(int ranks, Program&& program) {
  tutti::threads::run(ranks, [&](auto& comm) {
    tutti::control_on all{comm, tutti::options{.timeout = std::chrono::seconds{20}}};
    program(all);
  });
}
/// What it throws on each rank.
template <class Program> std::vector<std::string> said_by(int ranks, Program&& program) {
  std::vector<std::string> said(std::size_t(ranks), "nothing");
  on_ranks(ranks, [&](tutti::control& all) {
    said[std::size_t(all.rank())] = thrown_by([&] { program(all); });
  });
  return said;
}

/// A run of `steps`, saved by so many ranks; with `apart`, in the middle of a period.
inline void save_on(int ranks, const std::string& folder, int steps, bool apart = false) {
  on_ranks(ranks, [&](tutti::control& all) {
    small_run run{all.rank(), all.size()};
    run.apart = apart;
    run.train(steps);
    save(all, run, folder);
  });
}
/// After how many steps the checkpoint is, as all ranks see it; -1 where it cannot be loaded or is
/// not as it should be.
inline int steps_in(int ranks, const std::string& folder) {
  std::vector<int> found(std::size_t(ranks), -1);
  on_ranks(ranks, [&](tutti::control& all) {
    small_run run{all.rank(), all.size()};
    const std::string why = thrown_by([&] { load(all, run, folder); });
    if (why == "nothing" && run.is_as_after(int(run.steps)))
      found[std::size_t(all.rank())] = int(run.steps);
  });
  for (const int one : found)
    if (one != found[0]) return -1;
  return found[0];
}

} // namespace checkpoints
