// Checkpoints of MPI processes: saved together, and resumed with the same bits.
#include "mpi/on_mpi.hpp"
#include "sync/model.hpp"
#include "sync/streaming.hpp"

#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
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

/// What is pushed, added up.
struct pushes_counted {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T> auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

/// Ranks come to save when they like, push again as soon as they have loaded, and no push is lost.
void servers_go_on(const std::string& name, const tutti::mpi::limits& limits) {
  on_mpi(
      "servers, " + name,
      [&](auto& world, report& r) {
        const common_folder folder{world};
        const tutti::star servers{.servers = (std::min)(2, world.size())};
        std::vector<float> values(1000), ones(1000, 1.0f), second(1000);
        tutti::strategy strategy{world, servers, tutti::sum{}, tutti::asynchronous{}};
        auto trainer = strategy.bind(values, pushes_counted{});
        for (int k = 0; k < 3 + 2 * world.rank(); ++k) trainer.step(ones);
        trainer.save(folder.path() + "/x");
        auto other = strategy.bind(second, pushes_counted{});
        float pushes = float(world.size() * (world.size() + 2));
        for (int turn = 0; turn < 10; ++turn) {
          other.load(folder.path() + "/x");
          for (int k = 0; k <= world.rank(); ++k) other.step(ones);
        }
        other.finalize();
        trainer.finalize();
        r.check(values.front() == pushes && values.back() == pushes, "saving has lost a push");
        pushes += float(world.size() * (world.size() + 1) / 2);
        r.check(second.front() == pushes && second.back() == pushes, "a push after a load is lost");
        tutti::barrier(world);
      },
      limits);
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoints_under_mpi)

BOOST_AUTO_TEST_CASE(training_goes_on_with_the_same_bits) {
  goes_on("synchronous");
  goes_on("sharded", tutti::sharded{});
  goes_on("diloco in the middle of a period", tutti::diloco{.period = 2});
  goes_on("fragments under way", trial::streaming{.fragments = 2, .delay = 3}); // one is always on its way
}

BOOST_AUTO_TEST_CASE(servers_lose_no_push) {
  servers_go_on("in shared memory", {});
  servers_go_on("by messages", {.shared_memory = false});
  servers_go_on("with a progress thread", {.progress_thread = may_have_threads()});
}

BOOST_AUTO_TEST_SUITE_END()
