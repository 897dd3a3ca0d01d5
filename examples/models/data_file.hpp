// Reading a data file whole, plain or compressed by gzip, and finding the data folder.
#pragma once

#include <zlib.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace models {

/// "FORMAT: cannot read FILE: reason - what to do"
inline std::runtime_error unreadable(const std::string& format, const std::filesystem::path& path,
                                     const std::string& reason, const std::string& what_to_do) {
  return std::runtime_error(format + ": cannot read " + path.string() + ": " + reason + " - " +
                            what_to_do);
}

/// The folder named by the environment variable TUTTI_DATA, if any.
inline std::optional<std::filesystem::path> data_folder() {
  const char* name = std::getenv("TUTTI_DATA");
  if (name == nullptr || *name == '\0') {
    return std::nullopt;
  }
  return std::filesystem::path(name);
}

/// `path` if it exists, otherwise `path`.gz if that does, otherwise `path`.
inline std::filesystem::path plain_or_gz(const std::filesystem::path& path) {
  const std::filesystem::path packed = path.string() + ".gz";
  return !std::filesystem::exists(path) && std::filesystem::exists(packed) ? packed : path;
}

/// The unpacked bytes. `format` begins the error message.
inline std::vector<std::uint8_t> read_file(const std::filesystem::path& path,
                                           const std::string& format) {
  if (std::filesystem::is_directory(path)) {
    throw unreadable(format, path, "it is a folder", "give a file");
  }
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose_r);
  if (!file) {
    throw unreadable(format, path, std::strerror(errno), "give an existing file you may read");
  }
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> piece(1 << 20);
  int got = 0;
  while ((got = gzread(file.get(), piece.data(), static_cast<unsigned>(piece.size()))) > 0) {
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + got);
  }
  int code = Z_OK;
  const char* reason = gzerror(file.get(), &code);
  if (code != Z_OK && code != Z_STREAM_END) {
    throw unreadable(format, path, code == Z_ERRNO ? std::strerror(errno) : reason,
                     "fetch the file again, it is damaged or incomplete");
  }
  return bytes;
}

} // namespace models
