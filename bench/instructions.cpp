// What tutti::all_reduce on a ring costs in instructions, against a ring written by hand for that one
// case: the sum of floats, in place, two ranks under MPI. bench/instructions/rank.cpp holds both.
//
// Callgrind counts; of each rank's count the program's own object is taken, without MPI, libc and the
// loader. Polling makes totals random - how often a rank asks depends on the other process - so a
// test of a request returns when it is complete, and tests are not part of the number of MPI calls:
// that is MPI_Isend and MPI_Irecv. Where ranks differ, the worse one counts.
//
// The claims are about the flags of a release, -O2, at which g++ 12 vectorises blocks of a constant
// length, as tutti has them, but not the loop one writes by hand; the rows at -O3 show both vectorised.
#include "report.hpp"

#include <sys/wait.h>

#include <array>
#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

const fs::path scratch = fs::path(TUTTI_SCRATCH_DIR) / "callgrind";

/// The own instructions of one program in a callgrind file, without its functions MPI_*.
class callgrind_file {
public:
  callgrind_file(const fs::path& file, const std::string& program) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("ob="))
        counted_object_ = fs::path(named(objects_, line.substr(3))).filename() == program;
      else if (line.starts_with("cob=")) named(objects_, line.substr(4));
      else if (line.starts_with("fn="))
        wrapper_ = named(functions_, line.substr(3)).starts_with("MPI_");
      else if (line.starts_with("cfn=")) named(functions_, line.substr(4));
      else if (line.starts_with("calls="))
        std::getline(in, line); // what the call cost is counted where it was spent
      else if (counted_object_ && !wrapper_ && is_cost(line))
        instructions_ += std::stod(line.substr(line.find(' ')));
    }
  }
  double instructions() const { return instructions_; }

private:
  using names = std::map<std::string, std::string>;

  /// "(7) name" gives number 7 its name, "(7)" stands for it from then on.
  static const std::string& named(names& all, const std::string& text) {
    const std::size_t end = text.find(')') + 1;
    std::string& name = all[text.substr(0, end)];
    if (end < text.size()) name = text.substr(end + 1);
    return name;
  }
  /// "position cost", the position a number or relative to the last one.
  static bool is_cost(const std::string& line) {
    return !line.empty() && std::string("0123456789+-*").find(line[0]) != std::string::npos;
  }

  names objects_, functions_;
  bool counted_object_ = false, wrapper_ = false;
  double instructions_ = 0;
};

/// One call on the two ranks.
struct cost {
  std::array<double, 2> instructions{};
  std::array<double, 2> posts{};
};

cost measure(const std::string& program, const std::string& side, long n) {
  const int repetitions = n > 100'000 ? 2 : 8;
  fs::remove_all(scratch);
  fs::create_directories(scratch);
  const std::string command =
      std::string(TUTTI_MPIEXEC) +
      " -n 2 valgrind -q --tool=callgrind --toggle-collect='measured*' --callgrind-out-file=" +
      (scratch / "%p").string() + " " + (fs::path(TUTTI_SCRATCH_DIR) / program).string() + " " +
      side + " " + std::to_string(n) + " " + std::to_string(repetitions);
  FILE* ranks = popen(command.c_str(), "r");
  if (ranks == nullptr) throw std::runtime_error("instructions: cannot start " + command);

  cost result;
  int rank = 0, pid = 0, seen = 0;
  for (double posts = 0; std::fscanf(ranks, "rank %d pid %d posts %lf\n", &rank, &pid, &posts) == 3;
       ++seen) {
    const auto r = static_cast<std::size_t>(rank);
    result.posts.at(r) = posts;
    result.instructions.at(r) = pid;
  }
  if (pclose(ranks) != 0 || seen != 2) throw std::runtime_error("instructions: failed: " + command);
  for (double& value : result.instructions)
    value =
        callgrind_file(scratch / std::to_string(static_cast<int>(value)), program).instructions() /
        repetitions;
  // Against nothing, any count would hold.
  for (std::size_t r = 0; r < 2; ++r)
    if (!(result.instructions[r] > 0 && result.posts[r] > 0))
      throw std::runtime_error("instructions: nothing was counted on rank " + std::to_string(r) +
                               ": " + command);
  return result;
}

void row(bench::report& report, const std::string& flags, long n, const std::string& side,
         const cost& c) {
  report.row({{"flags", flags},
              {"floats", n},
              {"side", side},
              {"instructions, rank 0", std::llround(c.instructions[0])},
              {"rank 1", std::llround(c.instructions[1])},
              {"MPI_Isend and MPI_Irecv, rank 0", c.posts[0]},
              {"on rank 1", c.posts[1]}});
}

void compare(bench::report& report, const std::string& level, long n) {
  const std::string program = "bench_instructions_rank_" + level, flags = "-" + level;
  const cost hand = measure(program, "by_hand", n), ours = measure(program, "tutti", n);
  row(report, flags, n, "by hand", hand);
  row(report, flags, n, "tutti", ours);
  if (level != "O2") return;

  double ratio = 0, more = 0, posts = 0;
  for (std::size_t r = 0; r < 2; ++r) {
    ratio = std::max(ratio, ours.instructions[r] / hand.instructions[r]);
    more = std::max(more, ours.instructions[r] - hand.instructions[r]);
    posts = std::max(posts, std::abs(ours.posts[r] - hand.posts[r]));
  }
  const std::string of = " floats, " + flags + ": ";
  if (n == 1) report.at_most(std::to_string(n) + of + "instructions more than by hand", more, 1500);
  else report.at_most(std::to_string(n) + of + "instructions over those by hand", ratio, 1.05);
  report.equal(std::to_string(n) + of + "MPI_Isend and MPI_Irecv more or less than by hand", posts,
               0);
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("instructions", argc, argv);
  for (const char* level : {"O2", "O3"})
    for (const long n : {1L, 16'384L, 1'048'576L}) compare(report, level, n);
  return report.finish();
}
