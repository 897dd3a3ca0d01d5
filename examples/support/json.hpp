// Results as a JSON file.
#pragma once

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

namespace support {

/// No name is no file. Throws when not all of it could be written.
inline void write_json(const std::string& file, const nlohmann::json& results) {
  if (file.empty()) return;
  errno = 0;
  std::ofstream out{file};
  out << results.dump(2) << "\n";
  if (!out.flush())
    throw std::runtime_error("cannot write " + file + ": " + std::strerror(errno) +
                             " - make room or give another file with --json, and run again");
}

} // namespace support
