// A folder for a test's files, which goes with it, and files as strings.
#pragma once

#include <tutti/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

class scratch {
public:
  scratch() {
    // In memory where there is such a folder: what is tested is what is asked of the disk.
    const std::filesystem::path memory = "/dev/shm";
    std::string path = ((is_directory(memory) ? memory : std::filesystem::temp_directory_path()) /
                        "tutti-training-XXXXXX")
                           .string();
    if (!mkdtemp(path.data())) throw std::runtime_error{"no folder at " + path};
    path_ = path;
  }
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch(const scratch&) = delete;

  std::string operator/(std::string_view name) const { return path_ + "/" + std::string{name}; }

  /// The names in the folder, sorted, with a space after each.
  std::string listing() const {
    std::string out;
    std::vector<std::string> names;
    for (const auto& one : std::filesystem::directory_iterator{path_})
      names.push_back(one.path().filename().string());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) out += name + " ";
    return out;
  }

private:
  std::string path_;
};

inline void put_file(const std::string& path, std::string_view bytes) {
  std::ofstream{path, std::ios::binary}.write(bytes.data(), std::streamsize(bytes.size()));
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

inline std::string little_endian(std::uint64_t n) {
  std::string out;
  for (int k = 0; k < 8; ++k) out += char(n >> (8 * k));
  return out;
}

/// A file with this header and that much data.
inline std::string with_header(std::string_view json, std::size_t data_bytes) {
  return little_endian(json.size()) + std::string{json} + std::string(data_bytes, '\1');
}

/// What an action throws, as "code: text"; "nothing" when it does not.
template <class Action> std::string thrown_by(Action&& action) {
  try {
    action();
  } catch (const tutti::error& e) {
    return std::string{tutti::name(e.code())} + ": " + e.what();
  }
  return "nothing";
}

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
