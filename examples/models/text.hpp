// Text as bytes: reading it, splitting it, drawing batches from it, scoring a model on it.
#pragma once

#include "random.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace models {

namespace text_detail {

[[noreturn]] inline void cannot_read(const std::filesystem::path& path, const std::string& reason,
                                     const std::string& what_to_do) {
  throw std::runtime_error("train_text: cannot read " + path.string() + ": " + reason + " - " +
                           what_to_do);
}

inline void append_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    cannot_read(path, std::strerror(errno), "give a file that this user may read");
  }
  std::array<char, 65536> piece;
  while (file.read(piece.data(), piece.size()) || file.gcount() > 0) {
    bytes.insert(bytes.end(), piece.data(), piece.data() + file.gcount());
  }
  if (file.bad()) {
    cannot_read(path, std::strerror(errno), "give another file");
  }
}

inline bool is_text(const std::filesystem::path& path) {
  constexpr std::array<const char*, 4> known{".md", ".hpp", ".txt", ".cpp"};
  return std::find(known.begin(), known.end(), path.extension().string()) != known.end();
}

inline std::vector<std::filesystem::path> text_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code failure;
  std::filesystem::recursive_directory_iterator entry(folder, failure), end;
  while (!failure && entry != end) {
    if (entry->is_regular_file(failure) && is_text(entry->path())) {
      files.push_back(entry->path());
    }
    if (!failure) {
      entry.increment(failure);
    }
  }
  if (failure) {
    cannot_read(folder, failure.message(), "give a folder that this user may read");
  }
  std::sort(files.begin(), files.end());
  return files;
}

} // namespace text_detail

/// The bytes of a file, or of every .md .hpp .txt .cpp file below a folder in the order of their
/// paths. The first nine tenths are for training, the rest is held out.
class text_data {
public:
  explicit text_data(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}

  static text_data read(const std::filesystem::path& path) {
    std::error_code failure;
    const auto status = std::filesystem::status(path, failure);
    if (!std::filesystem::exists(status)) {
      text_detail::cannot_read(path, failure ? failure.message() : "No such file or directory",
                               "give an existing file or folder with --data");
    }
    std::vector<std::uint8_t> bytes;
    if (std::filesystem::is_directory(status)) {
      for (const auto& file : text_detail::text_files(path)) {
        text_detail::append_file(file, bytes);
      }
    } else {
      text_detail::append_file(path, bytes);
    }
    if (bytes.empty()) {
      text_detail::cannot_read(path, "it is empty",
                               "give a text file, or a folder with .md .hpp .txt .cpp files");
    }
    return text_data(std::move(bytes));
  }

  /// Several files and folders, one after the other.
  static text_data read(const std::vector<std::filesystem::path>& paths) {
    std::vector<std::uint8_t> bytes;
    for (const auto& path : paths) {
      const auto part = read(path);
      bytes.insert(bytes.end(), part.bytes().begin(), part.bytes().end());
    }
    return text_data(std::move(bytes));
  }

  /// Throws unless both parts hold at least one row of `context` + 1 bytes, and so does the stretch
  /// of each of `clients`.
  void require(int context, std::size_t clients = 1) const {
    const auto row = static_cast<std::size_t>(context) + 1;
    if (held_out().size() < row || training().size() < row * clients) {
      const std::size_t most = std::max(10 * row, (10 * row * clients + 8) / 9);
      throw std::runtime_error(
          "train_text: the text has " + std::to_string(bytes_.size()) +
          " bytes, too few for a context of " + std::to_string(context) +
          (clients > 1 ? " and " + std::to_string(clients) + " clients" : std::string()) +
          " - give at least " + std::to_string(most) + (clients > 1 ? ", or use fewer ranks" : ""));
    }
  }

  std::span<const std::uint8_t> bytes() const { return bytes_; }
  std::span<const std::uint8_t> training() const { return bytes().first(split()); }
  std::span<const std::uint8_t> held_out() const { return bytes().subspan(split()); }

  /// Part `client` of `clients` contiguous, equally long parts of the training text.
  std::span<const std::uint8_t> shard(std::size_t client, std::size_t clients) const {
    const std::size_t begin = client * split() / clients;
    return training().subspan(begin, (client + 1) * split() / clients - begin);
  }

private:
  std::size_t split() const { return bytes_.size() - bytes_.size() / 10; }

  std::vector<std::uint8_t> bytes_;
};

/// `batch` rows of context + 1 bytes, each starting anywhere in `text`: a function of the arguments
/// alone, different for every rank (or client) and step.
inline void sample_rows(std::span<const std::uint8_t> text, int context, int batch,
                        std::uint64_t seed, std::uint64_t step, std::uint64_t rank,
                        std::vector<std::uint8_t>& rows) {
  const auto row = static_cast<std::size_t>(context) + 1;
  if (text.size() < row) {
    throw std::runtime_error("train_text: a part of " + std::to_string(text.size()) +
                             " bytes is too short for rows of " + std::to_string(row) +
                             " - give more text, or use fewer clients");
  }
  rows.clear();
  for (int i = 0; i < batch; ++i) {
    const auto bits = draw(mix(seed) + static_cast<std::uint64_t>(i), step, rank);
    const auto piece = text.subspan(below(text.size() - row + 1, bits), row);
    rows.insert(rows.end(), piece.begin(), piece.end());
  }
}

struct score {
  double nats = 0;
  std::size_t bytes = 0;

  double nats_per_byte() const { return nats / static_cast<double>(bytes); }
};

/// Every held-out byte predicted exactly once, from at least context - stride bytes before it (the
/// first few see the end of the training text). Rank `rank` of `size` scores its share; adding the
/// shares up gives the whole. `most` is how many bytes are scored, about; 0 for all.
template <class Model>
score held_out_score(Model& model, const text_data& data, std::size_t rank = 0, std::size_t size = 1,
                     std::size_t most = 0) {
  const auto context = static_cast<std::size_t>(model.shape().context);
  const std::size_t stride = (context + 1) / 2;
  const std::size_t begin = data.training().size();
  const std::size_t scored = most == 0 ? data.held_out().size() : std::min(most, data.held_out().size());
  const std::size_t windows = (scored + stride - 1) / stride;
  score total;
  for (std::size_t w = rank; w < windows; w += size) {
    const std::size_t first = begin + w * stride;
    const std::size_t end = std::min(first + stride, data.bytes().size());
    const auto row = data.bytes().subspan(end - context - 1, context + 1);
    total.nats += model.nats(row, 1, static_cast<int>(context - (end - first)));
    total.bytes += end - first;
  }
  return total;
}

} // namespace models
