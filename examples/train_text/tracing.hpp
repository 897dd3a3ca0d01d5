// What every rank of train_text did and when, in one file.
#pragma once

#include <nlohmann/json.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace train_text {

/// A rank writes a part while it trains, beside the file and with its rank at the end of the name; where training
/// fails the parts are what is left. No name is no trace.
class tracing {
public:
  tracing(const std::string& file, int rank) : file_{file}, part_{file + "." + std::to_string(rank)} {
    if (!file.empty()) open_.emplace(part_);
  }

  tutti::trace_file* part() { return open_ ? &*open_ : nullptr; }

  /// Collective, after the training: rank 0 writes what all have seen.
  template <class Comm>
  void join(Comm& world) {
    if (!open_) return;
    open_->close();
    const std::string mine = text_of(part_);
    std::array<std::size_t, 1> most{mine.size()};
    tutti::all_reduce(world, most, tutti::max{});
    std::vector<char> own(most[0], ' '), all(most[0] * std::size_t(world.size())); // blanks are none of JSON's matter
    std::copy(mine.begin(), mine.end(), own.begin());
    tutti::all_gather(world, own, all);
    std::filesystem::remove(part_);
    if (world.rank() == 0) write(all, most[0]);
  }

private:
  static std::string text_of(const std::string& name) {
    std::ifstream in{name, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  void write(std::span<const char> all, std::size_t length) const {
    nlohmann::json joined = {{"displayTimeUnit", "ns"}, {"traceEvents", nlohmann::json::array()}};
    for (std::size_t begin = 0; begin < all.size(); begin += length) {
      nlohmann::json part = nlohmann::json::parse(all.subspan(begin, length));
      for (nlohmann::json& event : part["traceEvents"]) joined["traceEvents"].push_back(std::move(event));
    }
    std::ofstream out{file_};
    out << joined.dump() << "\n";
    if (!out.flush()) throw std::runtime_error("cannot write " + file_ + " - make room or give another file with --trace");
    std::cout << "trace          " << file_ << ", for ui.perfetto.dev\n" << std::flush;
  }

  const std::string file_, part_;
  std::optional<tutti::trace_file> open_;
};

} // namespace train_text
