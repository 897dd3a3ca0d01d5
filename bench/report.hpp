// What every benchmark hands back: rows, claims computed from them, and the machine they hold on.
//
//   bench::report report{"latency", argc, argv};
//   report.row({{"bytes", 8}, {"microseconds", 0.25}});
//   report.at_most("tutti / by hand at 8 bytes", ratio, 1.05);
//   return report.finish();                       // prints the table, writes --json FILE; 0 or 1
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

using json = nlohmann::ordered_json;

/// The middle of an odd number of values, the mean of the two middle ones of an even number.
inline double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// The least of some numbers; none when there are none, or one of them is none.
inline double least(const std::vector<double>& values) {
  double found = values.empty() ? std::nan("") : values[0];
  for (const double v : values) found = v < found || v != v ? v : found;
  return found;
}

/// Median, smallest and largest of repeated measurements, to be put into a row.
inline json spread(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {{"median", median(values)}, {"min", *least}, {"max", *most}};
}

inline std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

class report {
public:
  report(std::string name, int argc, char** argv) : name_(std::move(name)) {
    for (int i = 1; i < argc; ++i) {
      if (std::string_view(argv[i]) == "--json" && i + 1 < argc) {
        json_file_ = argv[++i];
      } else {
        std::cerr << name_ << ": unknown argument " << argv[i] << " (there is --json FILE)\n";
        std::exit(2);
      }
    }
    machine_ = {{"cpu", cpu_model()},
                {"cores", std::thread::hardware_concurrency()},
                {"compiler", compiler()},
                {"mpi", TUTTI_MPI_VERSION}};
  }

  /// Adds to what is said of the machine, for instance its GPU.
  void machine(const std::string& what, json value) { machine_[what] = std::move(value); }

  /// Where the results go; empty when nobody asked.
  const std::string& json_file() const { return json_file_; }

  void row(json fields) { rows_.push_back(std::move(fields)); }
  const json& rows() const { return rows_; }

  void at_most(std::string claim, double measured, double bar) {
    add(std::move(claim), measured, bar, measured <= bar, "<=");
  }
  void at_least(std::string claim, double measured, double bar) {
    add(std::move(claim), measured, bar, measured >= bar, ">=");
  }
  void below(std::string claim, double measured, double bar) {
    add(std::move(claim), measured, bar, measured < bar, "<");
  }
  void equal(std::string claim, double measured, double bar) {
    add(std::move(claim), measured, bar, measured == bar, "==");
  }

  /// Prints everything and writes the file; the program's exit status: 0 when every claim holds. A
  /// benchmark may claim nothing, but one without a row either has measured nothing and fails.
  int finish() const {
    print();
    if (!json_file_.empty()) {
      std::ofstream file(json_file_);
      file << json{{"benchmark", name_}, {"machine", machine_}, {"rows", rows_}, {"claims", claims_}}.dump(2)
           << '\n';
      if (!file.flush()) {
        std::cerr << name_ << ": cannot write " << json_file_ << '\n';
        return 2;
      }
    }
    if (rows_.empty() && claims_.empty()) {
      std::cerr << name_ << ": nothing was measured\n";
      return 1;
    }
    return holds_ ? 0 : 1;
  }

private:
  // What is no number fulfils no claim: NaN is the median of nothing, infinity the least of nothing
  // and a ratio to it.
  void add(std::string claim, double measured, double bar, bool holds, const char* relation) {
    holds = holds && std::isfinite(measured) && std::isfinite(bar);
    claims_.push_back({{"claim", std::move(claim)},
                       {"measured", measured},
                       {"relation", relation},
                       {"bar", bar},
                       {"holds", holds}});
    holds_ = holds_ && holds;
  }

  static std::string compiler() {
#if defined __clang__
    return "clang " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
  }

  static std::string text(const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float()) {
      char buffer[32];
      std::snprintf(buffer, sizeof buffer, "%.4g", value.get<double>());
      return buffer;
    }
    if (value.is_object() && value.contains("median"))
      return text(value["median"]) + " [" + text(value["min"]) + " .. " + text(value["max"]) + "]";
    return value.is_null() ? "-" : value.dump();
  }

  // Columns in order of first appearance; text to the left, numbers to the right.
  static void table(const json& rows) {
    std::vector<std::string> columns;
    for (const json& row : rows)
      for (const auto& field : row.items())
        if (std::find(columns.begin(), columns.end(), field.key()) == columns.end())
          columns.push_back(field.key());

    const auto cell = [](const json& row, const std::string& column) {
      return row.contains(column) ? text(row[column]) : std::string("-");
    };
    std::vector<std::string> lines(rows.size() + 1);
    for (const std::string& column : columns) {
      std::size_t width = column.size();
      bool left = true;
      for (const json& row : rows) {
        width = std::max(width, cell(row, column).size());
        left = left && (!row.contains(column) || row[column].is_string());
      }
      const auto append = [&](std::string& line, const std::string& content) {
        const std::string padding(width - content.size(), ' ');
        line += (line.empty() ? "" : "  ") + (left ? content + padding : padding + content);
      };
      append(lines[0], column);
      for (std::size_t i = 0; i < rows.size(); ++i) append(lines[i + 1], cell(rows[i], column));
    }
    for (const std::string& line : lines) std::cout << line << '\n';
  }

  void print() const {
    std::cout << name_ << '\n';
    for (const auto& field : machine_.items())
      std::cout << "  " << field.key() << ": " << text(field.value()) << '\n';
    std::cout << '\n';
    table(rows_);
    std::cout << '\n';
    table(claims_);
    std::cout << std::flush;
  }

  std::string name_;
  std::string json_file_;
  json machine_;
  json rows_ = json::array();
  json claims_ = json::array();
  bool holds_ = true;
};

} // namespace bench
