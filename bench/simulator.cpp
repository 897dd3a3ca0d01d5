// Virtual time: how fast it is simulated, what bind costs in messages on 64 ranks, and how well it predicts the time of
// an all_reduce between two nodes with a cable of 100 Mbit/s between them: so slow that it is the cable that counts.
#include "interleaved.hpp"
#include "network/cable.hpp"

#include <tutti/collectives/simulate.hpp>
#include <tutti/communicators/simulated.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <string>
#include <vector>

namespace {

using tutti::collective;

/// The least processor time, in seconds, of a few calls: others share this machine.
template <class Call>
double least_time(Call&& call) {
  double least = HUGE_VAL;
  for (int k = 0; k < 3; ++k) {
    const std::clock_t begin = std::clock();
    call();
    least = (std::min)(least, double(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return least;
}

template <class T>
double transfers_a_second(bench::report& report, const char* name, const T& topology, int ranks, std::size_t n) {
  const auto all = tutti::collect(topology, collective::all_reduce, 0, ranks);
  std::size_t transfers = 0;
  for (const auto& of_rank : all.ranks) transfers += of_rank.size();
  double virtual_seconds = 0;
  const double took = least_time([&] { virtual_seconds = tutti::simulate(all, n, 4).seconds; });
  report.row({{"what", std::string{"simulate, "} + name},
              {"ranks", ranks},
              {"events", transfers},
              {"a second", double(transfers) / took},
              {"virtual ms", virtual_seconds * 1e3}});
  return double(transfers) / took;
}

/// Exchanges, one a rank and round, of ranks that run a schedule of so many rounds; after the first call, in which each
/// rank plans its part.
template <class T>
double exchanges_a_second(bench::report& report, const T& topology, int rounds, int ranks, int calls) {
  const double exchanges = double(rounds) * ranks * calls;
  double virtual_seconds = 0;
  const auto time_of = [&](int times) {
    return least_time([&] {
      virtual_seconds = tutti::simulated::run(ranks, {}, [&](auto& comm) {
        std::vector<float> x(std::size_t(4 * ranks), 1.0f);
        for (int k = 0; k < times; ++k) tutti::all_reduce(comm, x, topology);
      }).seconds;
    });
  };
  const double planning = time_of(1), took = time_of(1 + calls) - planning;
  report.row({{"what", "simulated::run, exchanges"},
              {"ranks", ranks},
              {"events", exchanges},
              {"planning s", planning},
              {"a second", exchanges / took},
              {"virtual ms", virtual_seconds * 1e3}});
  return exchanges / took;
}

std::uint64_t messages_to_bind(int ranks) {
  const auto took = tutti::simulated::run(ranks, {}, [](auto& comm) {
    std::vector<float> values(300, 1.0f);
    tutti::strategy strategy{comm};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = .1});
  });
  std::uint64_t most = 0;
  for (const auto& r : took.ranks) most = (std::max)(most, r.messages);
  return most;
}

/// The machine that a job has measured.
tutti::simulated::machine machine_of(const bench::interleaved& job, int ranks_a_node) {
  const auto link_of = [&](const char* side) {
    const auto sizes = job.sizes(side);
    const double most = double(sizes.back()), latency = job.number(side, sizes.front());
    return tutti::simulated::link{.latency = latency * 1e-6,
                                  .bandwidth = most / (job.number(side, sizes.back()) - latency) * 1e6};
  };
  tutti::simulated::machine on{.between = link_of("between")};
  if (ranks_a_node > 1) on.within = link_of("within");
  for (int r = 0; r < 2 * ranks_a_node; ++r) on.nodes.push_back(r / ranks_a_node);
  const auto folded = job.sizes("folding").front();
  on.per_folded_byte = job.number("folding", folded) * 1e-6 / double(folded);
  return on;
}

/// By how much predictions are off, as a part of what was measured.
void predict(bench::report& report, int ranks_a_node, std::vector<double>& errors) {
  const std::string rank = std::string(TUTTI_SCRATCH_DIR) + "/bench_simulator_rank 1024 4096";
  const bench::interleaved job("simulator, " + std::to_string(2 * ranks_a_node) + " ranks",
                               {{"", bench::two_nodes + "run " + std::to_string(ranks_a_node) + " " + rank}}, 3);
  const auto on = machine_of(job, ranks_a_node);
  const int ranks = 2 * ranks_a_node;
  const auto one = [&](const char* side, const auto& topology_of) {
    for (const std::size_t bytes : job.sizes(side)) {
      const double predicted = 1e6 * tutti::simulated::run(ranks, on, [&](auto& comm) {
        std::vector<float> x(bytes / sizeof(float), 1.0f);
        tutti::all_reduce(comm, x, topology_of(bytes));
      }).seconds;
      const double measured = job.number(side, bytes), error = std::abs(predicted - measured) / measured;
      errors.push_back(error);
      report.row({{"what", std::string{"all_reduce, "} + side},
                  {"ranks", ranks},
                  {"KiB", bytes / 1024},
                  {"predicted us", predicted},
                  {"measured us", measured},
                  {"off by", error}});
    }
  };
  const auto in_segments = [&](const char* side, const auto& topology) {
    one(side, [&](std::size_t bytes) { return tutti::pipelined{topology, tutti::segments_for(bytes, ranks)}; });
  };
  in_segments("ring", tutti::ring{});
  in_segments("halving_doubling", tutti::halving_doubling{});
  in_segments("binomial_tree", tutti::binomial_tree{});
  in_segments("hierarchical", tutti::hierarchical<>{});
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("simulator", argc, argv);
  transfers_a_second(report, "binomial_tree", tutti::binomial_tree{}, 100'000, 1'000'000);
  report.at_least("transfers of halving_doubling in a second of processor time",
                  transfers_a_second(report, "halving_doubling", tutti::halving_doubling{}, 65536, 1 << 20), 5e6);
  report.at_least("transfers of a ring in a second of processor time",
                  transfers_a_second(report, "ring", tutti::ring{}, 1000, 1'000'000), 5e6);
  report.at_least("exchanges of 64 ranks in a second of processor time",
                  exchanges_a_second(report, tutti::ring{}, 2 * 63, 64, 10), 5e4);
  exchanges_a_second(report, tutti::ring{}, 2 * 511, 512, 1);
  report.at_least("exchanges of 1,024 ranks in a second of processor time",
                  exchanges_a_second(report, tutti::halving_doubling{}, 2 * 10, 1024, 20), 5e4);
  report.at_most("messages a rank to bind 64 ranks", double(messages_to_bind(64)), 12);

  std::vector<double> errors;
  const bench::cable connected{"100mbit"};
  predict(report, 1, errors);
  predict(report, 2, errors);
  double sum = 0;
  for (const double e : errors) sum += e;
  report.at_most("predictions of all_reduce are off by, on average", sum / double(errors.size()), .15);
  return report.finish();
}
