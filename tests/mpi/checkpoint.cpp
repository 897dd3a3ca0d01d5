// Checkpoints of MPI processes: saved together, and resumed with the same bits.
#include "mpi/on_mpi.hpp"
#include "sync/model.hpp"

#include <tutti/training/checkpoint.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace {

/// A folder that rank 0 makes and takes away.
class common_folder {
public:
  template <class Comm> explicit common_folder(Comm& world) : made_{world.rank() == 0} {
    std::vector<std::uint8_t> path(64);
    if (made_) {
      std::string name = (std::filesystem::temp_directory_path() / "tutti-mpi-XXXXXX").string();
      if (!mkdtemp(name.data()) || name.size() >= path.size())
        throw std::runtime_error{"no folder"};
      std::copy(name.begin(), name.end(), path.begin());
    }
    tutti::broadcast(world, path, 0);
    path_ = reinterpret_cast<const char*>(path.data());
  }
  ~common_folder() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  common_folder(const common_folder&) = delete;
  const std::string& path() const { return path_; }

private:
  bool made_;
  std::string path_;
};

template <class... Parts> void goes_on(const std::string& name, const Parts&... parts) {
  on_mpi(name, [&](auto& world, report& r) {
    const common_folder folder{world};
    std::vector<std::vector<float>> ends;
    for (const bool resumed : {false, true}) {
      trial::model m{0};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = .1});
      if (resumed) trainer.load(tutti::latest_checkpoint(folder.path()));
      for (int step = resumed ? 3 : 0; step < 7; ++step) {
        if (!resumed && step == 3) trainer.save(folder.path() + "/step-3", {.keep = 1});
        trainer.step(m.gradients(world.rank()));
      }
      ends.push_back(m.flat());
      tutti::barrier(world);
    }
    r.check(trial::same_bits(ends[0], ends[1]), "it has other parameters than without the stop");

    // What one rank gives another name, or cannot find, is an error on all.
    trial::model m{0};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{});
    const auto thrown = [&](auto&& action) {
      try {
        action();
      } catch (const tutti::error& e) {
        return std::string{e.what()};
      }
      return std::string{"nothing"};
    };
    const bool last = world.rank() + 1 == world.size();
    if (world.size() > 1) {
      const std::string said = thrown([&] { trainer.save(folder.path() + (last ? "/a" : "/b")); });
      r.check(said.find("make the same call with the same name") != std::string::npos, said);
    }
    const std::string said = thrown([&] { trainer.load(folder.path() + "/nowhere"); });
    r.check(said.find("nowhere/model.safetensors: cannot be opened") != std::string::npos, said);
    r.check(!std::filesystem::exists(folder.path() + "/a.partial"), "something is left over");
    tutti::barrier(world); // before the folder goes
  });
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoints_under_mpi)

BOOST_AUTO_TEST_CASE(training_goes_on_with_the_same_bits) {
  goes_on("synchronous");
  goes_on("sharded", tutti::sharded{});
  goes_on("diloco in the middle of a period", tutti::diloco{.period = 2});
}

BOOST_AUTO_TEST_SUITE_END()
