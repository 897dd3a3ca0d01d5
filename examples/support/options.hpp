// Options that are looked at as a whole before any rank starts.
#pragma once

#include <tutti/sync/sync_policy.hpp>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace support {

/// Throws unless `file`, which `option` named, can be opened for writing; what it holds stays. No
/// name is no file. A pipe is not tried: its reader would take that for the end.
inline void check_writable(const std::string& option, const std::string& file) {
  if (file.empty()) return;
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (std::filesystem::is_fifo(status)) return;
  errno = 0;
  if (!std::ofstream{file, std::ios::app})
    throw std::runtime_error(option + " " + file + ": " + std::strerror(errno) +
                             " - give a file that you may write, in a folder that exists");
  if (!std::filesystem::exists(status)) std::filesystem::remove(file, ignored);
}

/// Throws unless this program can write models into files of ONNX, where --onnx names one.
inline void check_onnx(const std::string& file) {
  if (!TUTTI_WITH_ONNX && !file.empty())
    throw std::runtime_error("--onnx " + file + ": this program was built without libonnx - install libonnx-dev and "
                             "libprotobuf-dev, and build it again");
  check_writable("--onnx", file);
}

/// A number of steps, or tutti::unbounded.
inline int staleness(const std::string& text) {
  if (text == "unbounded") return tutti::unbounded;
  int steps = -1;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, steps).ptr != end || steps < 0)
    throw std::runtime_error("--staleness " + text +
                             ": give a number of steps from 0, or unbounded");
  return steps;
}

} // namespace support
