// What including tutti costs: processor seconds of the compiler (g++ -O0 -c) for tutti/tutti.hpp,
// for exactly the standard headers that it includes, and for boost/mpi.hpp, measured in turn; and a
// row for each public header. Ratios are medians over repetitions of ratios within a repetition.
#include "report.hpp"

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

const fs::path include_dir = fs::path(TUTTI_SOURCE_DIR) / "include";
const fs::path scratch = fs::path(TUTTI_SCRATCH_DIR) / "compile_time";

// The claims rest on nine repetitions, the rows of single headers on one.
constexpr int claim_repetitions = 9;
constexpr int row_repetitions = 1;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

// Runs the compiler with more arguments; user plus system seconds, or NaN when it failed.
double compile(std::vector<std::string> more) {
  std::vector<std::string> command{TUTTI_CXX, "-std=c++20", "-O0", "-I" + include_dir.string()};
  for (const std::string& directory : split(TUTTI_MPI_INCLUDE_DIRS, ':'))
    command.insert(command.end(), {"-isystem", directory});
  command.insert(command.end(), more.begin(), more.end());
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  const pid_t child = fork();
  if (child == 0) {
    if (freopen((scratch / "compiler.log").c_str(), "w", stderr) == nullptr) _exit(127);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child)
    throw std::runtime_error("compile_time: cannot start " TUTTI_CXX);
  if (status != 0) return std::nan("");
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string write_source(const std::string& name, const std::string& text) {
  std::string file = name;
  std::replace(file.begin(), file.end(), '/', '_');
  const fs::path path = scratch / (file + ".cpp");
  std::ofstream(path) << text;
  return path.string();
}

double compile_source(const std::string& source) {
  return compile({"-c", source, "-o", (scratch / "object.o").string()});
}

// What the preprocessor says of one of our headers.
struct anatomy {
  int own_lines = 0;               // lines of ours that are not empty once preprocessed
  std::set<std::string> standard;  // what ours include that is not ours
};

anatomy dissect(const std::string& source) {
  const fs::path output = scratch / "preprocessed.ii";
  if (std::isnan(compile({"-E", source, "-o", output.string()}))) return {};
  anatomy result;
  std::set<std::string> ours;
  bool inside = false;
  std::ifstream file(output);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# ")) {
      const std::size_t quote = line.find('"');
      const std::string name = line.substr(quote + 1, line.rfind('"') - quote - 1);
      inside = name.starts_with((include_dir / "tutti").string());
      if (inside) ours.insert(name);
    } else if (inside && line.find_first_not_of(" \t") != std::string::npos) {
      ++result.own_lines;
    }
  }
  for (const std::string& name : ours) {
    std::ifstream header(name);
    for (std::string line; std::getline(header, line);)
      if (line.starts_with("#include <") && !line.starts_with("#include <tutti/"))
        result.standard.insert(line.substr(10, line.find('>') - 10));
  }
  return result;
}

std::string standard_source(const std::string& name, const anatomy& of) {
  std::string text;
  for (const std::string& header : of.standard)
    text += "#if __has_include(<" + header + ">)\n#include <" + header + ">\n#endif\n";
  return write_source(name + ".standard", text);
}

std::vector<double> ratios(const std::vector<double>& above, const std::vector<double>& below) {
  std::vector<double> result;
  for (std::size_t i = 0; i < above.size(); ++i) result.push_back(above[i] / below[i]);
  return result;
}

// Compiles the sources in turn, so that a busy machine is busy for all of them.
std::vector<std::vector<double>> in_turn(const std::vector<std::string>& sources, int repetitions) {
  std::vector<std::vector<double>> seconds(sources.size());
  for (const std::string& source : sources) compile_source(source); // warms the file cache
  for (int repetition = 0; repetition < repetitions; ++repetition)
    for (std::size_t i = 0; i < sources.size(); ++i)
      seconds[i].push_back(compile_source(sources[i]));
  return seconds;
}

std::vector<std::string> public_headers() {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(include_dir / "tutti"))
    if (entry.path().extension() == ".hpp")
      names.push_back(fs::relative(entry.path(), include_dir).string());
  std::sort(names.begin(), names.end());
  return names;
}

void claims(bench::report& report) {
  const std::string everything = write_source("tutti", "#include <tutti/tutti.hpp>\n");
  const anatomy of = dissect(everything);
  const std::string boost = write_source("boost", "#include <boost/mpi.hpp>\n");
  const auto seconds =
      in_turn({everything, standard_source("tutti", of), boost}, claim_repetitions);

  const auto over_standard = ratios(seconds[0], seconds[1]);
  const auto over_boost = ratios(seconds[0], seconds[2]);
  report.row({{"file", "tutti/tutti.hpp"},
              {"seconds", bench::spread(seconds[0])},
              {"over its standard headers", bench::spread(over_standard)},
              {"own lines", of.own_lines}});
  report.row({{"file", "its " + std::to_string(of.standard.size()) + " standard headers"},
              {"seconds", bench::spread(seconds[1])}});
  report.row({{"file", "boost/mpi.hpp"}, {"seconds", bench::spread(seconds[2])}});

  report.at_most("tutti/tutti.hpp over exactly its standard headers", bench::median(over_standard), 1.5);
  report.below("tutti/tutti.hpp over boost/mpi.hpp", bench::median(over_boost), 1.0);
  report.at_most("preprocessed lines of our own", of.own_lines > 0 ? of.own_lines : std::nan(""), 25000);
}

void row_of(bench::report& report, const std::string& header) {
  const std::string source = write_source(header, "#include <" + header + ">\n");
  if (std::isnan(compile_source(source))) {
    report.row({{"file", header}, {"note", "needs what is not installed"}});
    return;
  }
  const anatomy of = dissect(source);
  const auto seconds = in_turn({source, standard_source(header, of)}, row_repetitions);
  report.row({{"file", header},
              {"seconds", bench::spread(seconds[0])},
              {"over its standard headers", bench::spread(ratios(seconds[0], seconds[1]))},
              {"own lines", of.own_lines}});
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("compile_time", argc, argv);
  fs::create_directories(scratch);
  claims(report);
  for (const std::string& header : public_headers())
    if (header != "tutti/tutti.hpp") row_of(report, header);
  return report.finish();
}
