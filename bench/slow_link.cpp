// all_reduce between two nodes of two ranks each, with a cable of 1 Gbit/s and of 100 Mbit/s
// between them: tutti's hierarchy, in segments of 128 KiB and as a whole, against Open MPI's own choice
// and each of its algorithms. Then what codecs are worth there: all_reduce on one rank a node at 1 Gbit/s, and
// examples/train_text at 100 Mbit/s, in batches so small that communication is what takes time; and in one node with codecs
// that may choose to be left out.
#include "interleaved.hpp"
#include "network/cable.hpp"
#include "training/train_text.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace {

const std::string rank_program = std::string(TUTTI_SCRATCH_DIR) + "/bench_slow_link_rank ";

void compare(bench::report& report, const std::string& rate, double bits_per_second, bool claims,
             int most_kib) {
  const bench::cable connected{rate};
  const std::string rank = rank_program + std::to_string(most_kib) + " ";
  std::vector<bench::job> jobs{
      {"open_mpi", bench::two_nodes + "run 2 " + rank + "crossing hierarchical whole native"}};
  for (int k = 1; k <= 6; ++k)
    jobs.push_back({"open_mpi_" + std::to_string(k),
                    bench::two_nodes +
                        "run 2 --mca coll_tuned_use_dynamic_rules 1 --mca "
                        "coll_tuned_allreduce_algorithm " +
                        std::to_string(k) + " " + rank + "native",
                    true});
  const bench::interleaved all("slow_link, " + rate, jobs, 3);

  for (const std::size_t bytes : all.sizes("hierarchical")) {
    bench::json peers;
    std::string best = "open_mpi";
    for (const std::string& side : all.sides()) {
      if (!side.starts_with("open_mpi")) continue;
      peers[side] = all.number(side, bytes);
      if (all.number(side, bytes) < all.number(best, bytes)) best = side;
    }
    const double line_us = double(bytes) * 8 / bits_per_second * 1e6;
    report.row({{"link", rate},
                {"bytes", bytes},
                {"hierarchical_us", all.number("hierarchical", bytes)},
                {"whole_us", all.number("whole", bytes)},
                {"N/bandwidth_us", line_us},
                {"crossing_bytes", all.number("crossing", bytes)},
                {"best_peer", best},
                {"best_us", all.number(best, bytes)},
                {"over_best", all.ratio("hierarchical", best, bytes)},
                {"peers", peers}});
    if (!claims) continue;
    const std::string at = rate + ", " + std::to_string(bytes / 1024) + " KiB: ";
    report.equal(at + "bytes across the link over N", all.number("crossing", bytes) / double(bytes),
                 1);
    if (bytes < std::size_t{16} << 20) continue;
    report.at_most(at + "hierarchical over N/bandwidth",
                   all.number("hierarchical", bytes) / line_us, 1.05);
    report.at_most(at + "hierarchical over Open MPI's own choice",
                   all.ratio("hierarchical", "open_mpi", bytes), .6);
    report.at_most(at + "hierarchical over the best of Open MPI",
                   all.ratio("hierarchical", best, bytes), 1.0);
  }
}

/// Codecs against no codec, on two ranks.
void compare_codecs(bench::report& report, const std::string& where, const std::string& launcher,
                    const std::vector<std::string>& codecs, int least_kib, int most_kib) {
  std::string command = launcher + rank_program + std::to_string(most_kib) + " plain";
  for (const std::string& codec : codecs) command += " " + codec;
  const bench::interleaved all("slow_link, codecs, " + where, {{"", command}}, 5);
  for (const std::size_t bytes : all.sizes("plain")) {
    if (bytes < std::size_t(least_kib) * 1024) continue;
    bench::json row{{"link", where}, {"bytes", bytes}, {"plain_us", all.number("plain", bytes)}};
    for (const std::string& codec : codecs) row["plain_over_" + codec] = all.ratio("plain", codec, bytes);
    report.row(row);
    const std::string at = where + ", " + std::to_string(bytes / 1024) + " KiB: ";
    for (const std::string& codec : codecs)
      if (codec == "bfloat16" || codec == "int8")
        report.at_least(at + "all_reduce as it is over that by " + codec, all.ratio("plain", codec, bytes),
                        codec == "int8" ? 3 : 1.8);
  }
}

double seconds_of(const bench::json& trained) { // of two ranks, 64 bytes each
  return double(trained["steps"]) * 2 * 64 / double(trained["tokens_per_second"]);
}

/// Where a codec may be left out, and memory is what data travels through: rounds in turn.
void train_in_one_node(bench::report& report, const bench::train_text& train) {
  const std::vector<std::string> codecs{"top_k", "int8", "sign"};
  std::map<std::string, std::vector<double>> over;
  for (int round = 0; round < 5; ++round) {
    const std::string in_threads = "--batch 1 --transport threads --ranks 2 --steps 150 --score 1024";
    const double plain = seconds_of(train(in_threads));
    for (const std::string& codec : codecs)
      over[codec].push_back(seconds_of(train(in_threads + " --priced --codec " + codec)) / plain);
  }
  for (const std::string& codec : codecs)
    report.at_most("one node, --priced --codec " + codec + ": a step over one without a codec", bench::median(over[codec]),
                   1.02);
}

/// To the loss that 200 steps without a codec end with; with one more steps may be made.
void train_over_cable(bench::report& report, const bench::train_text& train) {
  const bench::cable connected{"100mbit"};
  const auto trained = [&](const std::string& with) {
    const bench::json got = train("--batch 1 " + with, bench::two_nodes + "run 1 ");
    const double steps = got["steps"];
    const double seconds = seconds_of(got);
    report.row({{"link", "100mbit"},
                {"train_text", with},
                {"bytes_a_step", double(got["bytes_sent"]) / steps},
                {"ms_a_step", seconds / steps * 1000},
                {"held_out_loss", got["held_out_loss"]}});
    struct result {
      double seconds, bytes, loss;
    };
    return result{seconds, got["bytes_sent"], got["held_out_loss"]};
  };
  const auto plain = trained("--steps 200");
  const auto claim = [&](const std::string& with, double faster, double worse) {
    const auto got = trained(with);
    report.at_least("100mbit, " + with + ": seconds without a codec over these", plain.seconds / got.seconds, faster);
    report.at_most("100mbit, " + with + ": held-out loss over that without", got.loss / plain.loss, worse);
    return got;
  };
  claim("--steps 240 --codec top_k", 6, 1.005);
  claim("--steps 300 --codec power_sgd", 6, 1.005);
  claim("--steps 220 --sync diloco --period 10 --codec top_k", 25, 1.005);
  const auto sparse = claim("--steps 400 --sync sparse_loco --period 20", 6, 1.01);
  report.at_least("100mbit, sparse_loco: bytes without a codec over these", plain.bytes / sparse.bytes, 100);
}

} // namespace

int main(int argc, char** argv) try {
  bench::report report("slow_link", argc, argv);
  compare(report, "1gbit", 1e9, true, 65536);
  compare(report, "100mbit", 1e8, false, 4096);
  {
    const bench::cable connected{"1gbit"};
    compare_codecs(report, "1gbit", bench::two_nodes + "run 1 ", {"bfloat16", "int8"}, 4096, 16384);
  }
  const bench::train_text train{"slow_link"};
  train_over_cable(report, train);
  train_in_one_node(report, train);
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
