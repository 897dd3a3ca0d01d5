// How fast a checkpoint is on the disk: two ranks save parameters and the two slots of Adam, of which each
// rank owns half, 1 GiB together. Beside it, dd writing as many bytes to the same disk with a flush at
// the end, in turn; and what loading takes, from the system's memory.
#include "report.hpp"

#include <tutti/carriers/control.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/training/checkpoint.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int rounds = 7, ranks = 2, tensors = 24;
constexpr std::size_t total = std::size_t{1} << 30, per_tensor = total / 3 / tensors / sizeof(float);

/// One rank's model and slots.
class adam_run {
public:
  explicit adam_run(int rank) : values_(tensors * per_tensor, float(rank + 1)) {
    std::vector<tutti::tensor<float>> all;
    for (std::size_t k = 0; k < tensors; ++k)
      all.push_back({"layer." + std::to_string(k) + ".weight",
                     std::span{values_}.subspan(k * per_tensor, per_tensor)});
    model_ = tutti::flat_model<float>{std::move(all)};
    const tutti::shard mine = tutti::shard_of(model_.size(), rank, ranks);
    owned_ = {mine.begin, mine.end};
    for (auto* slot : {&m_, &v_}) slot->assign(owned_.size(), float(rank + 3));
  }
  void save(tutti::control& all, const std::string& folder) {
    const auto visit = [this](tutti::archive& to) { state(to); };
    tutti::detail::save_checkpoint(all, {tutti::detail::tensor_places{model_}, visit}, folder);
  }
  void load(tutti::control& all, const std::string& folder) {
    const auto visit = [this](tutti::archive& to) { state(to); };
    tutti::detail::load_checkpoint(all, {tutti::detail::tensor_places{model_}, visit}, folder);
  }

private:
  void state(tutti::archive& to) {
    for (std::size_t k = 0; k < model_.count(); ++k)
      to.values("", model_[k].values, model_.place_of(k), tutti::held_by::everyone);
    to.values("m", m_, owned_, tutti::held_by::owner);
    to.values("v", v_, owned_, tutti::held_by::owner);
    to.number("steps", steps_);
  }

  std::vector<float> values_, m_, v_;
  tutti::flat_model<float> model_;
  tutti::place owned_;
  std::int64_t steps_ = 1;
};

template <class Action>
double seconds(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void run_dd(const std::string& to) {
  const std::string command =
      "dd if=/dev/zero of=" + to + " bs=8M count=128 conv=fsync 2>/dev/null";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("checkpoint", argc, argv);
  const std::string folder = TUTTI_SCRATCH_DIR "/checkpoint", plain = folder + ".dd";
  const auto tidy_up = [&] {
    std::filesystem::remove_all(folder);
    std::filesystem::remove(plain);
  };

  std::vector<double> saved, loaded, written, ratios;
  tutti::threads::run(ranks, [&](auto& comm) {
    tutti::control_on all{comm, tutti::options{}};
    adam_run run{comm.rank()};
    const auto together = [&](auto&& action) {
      tutti::barrier(comm);
      const double took = seconds(action);
      tutti::barrier(comm);
      return took;
    };
    for (int k = 0; k <= rounds; ++k) { // the first one is for warming up
      double dd = 0;
      if (comm.rank() == 0) {
        tidy_up();
        dd = seconds([&] { run_dd(plain); });
        tidy_up();
      }
      const double save = together([&] { run.save(all, folder); });
      const double load = together([&] { run.load(all, folder); });
      if (comm.rank() != 0 || k == 0) continue;
      written.push_back(dd), saved.push_back(save), loaded.push_back(load);
      ratios.push_back(dd / save);
    }
  });
  tidy_up();

  constexpr double gigabytes = double(total) / 1e9;
  const auto row = [&](const char* what, const std::vector<double>& took) {
    report.row({{"what", what},
                {"seconds", bench::spread(took)},
                {"GB/s", gigabytes / bench::median(took)}});
  };
  row("dd with flush", written);
  row("save, 2 ranks", saved);
  row("load, 2 ranks", loaded);
  report.at_least("speed of save / dd with flush at 1 GiB", bench::median(ratios), .70);
  return report.finish();
}
