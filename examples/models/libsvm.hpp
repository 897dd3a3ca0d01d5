// Sparse examples of two classes: LIBSVM files, or generated rows of the same kind.
#pragma once

#include "data_file.hpp"
#include "random.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace models {

/// Compressed rows: those of row i are columns[begins[i]] .. columns[begins[i + 1] - 1], from 0.
struct sparse_rows {
  std::vector<std::size_t> begins{0};
  std::vector<int> columns;
  std::vector<float> values;
  std::vector<std::uint8_t> labels; ///< 1 for the positive class, else 0
  int features = 0;                 ///< 1 + the largest column

  std::size_t size() const { return labels.size(); }

  void add(int column, float value) {
    columns.push_back(column);
    values.push_back(value);
    features = std::max(features, column + 1);
  }
  void end_row(bool positive) {
    labels.push_back(positive);
    begins.push_back(columns.size());
  }
};

struct classification {
  sparse_rows training, test;
  std::string source; ///< for the user: where the rows are from

  /// A model needs room for the features of both.
  int features() const { return std::max(training.features, test.features); }
};

namespace libsvm {

/// One pass over "label index:value index:value ...", a row per line.
class parser {
public:
  parser(const std::filesystem::path& path, std::string_view text) : path_(path), rest_(text) {}

  sparse_rows parse() {
    while (!rest_.empty()) {
      const auto end = std::min(rest_.find('\n'), rest_.size());
      parse_line(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
    }
    if (rows_.size() == 0) {
      throw unreadable("libsvm", path_, "it holds no rows", "give lines such as +1 3:1 7:0.5");
    }
    return std::move(rows_);
  }

private:
  void parse_line(std::string_view line) {
    ++line_;
    line = line.substr(0, line.find('#'));
    auto word = next_word(line);
    if (word.empty()) {
      return;
    }
    const float label = number<float>(word, "a label");
    int previous = 0;
    while (!(word = next_word(line)).empty()) {
      const auto colon = word.find(':');
      if (colon == std::string_view::npos) {
        fail(quoted(word) + " has no colon");
      }
      const int index = number<int>(word.substr(0, colon), "an index");
      if (index <= previous) {
        fail("index " + std::to_string(index) + " follows " + std::to_string(previous) +
             ", they must ascend from 1");
      }
      rows_.add(index - 1, number<float>(word.substr(colon + 1), "a value"));
      previous = index;
    }
    rows_.end_row(label > 0);
  }

  static std::string_view next_word(std::string_view& line) {
    constexpr std::string_view blanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const auto word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
  }

  static std::string quoted(std::string_view word) {
    std::string all(1, '"');
    return all.append(word).append(1, '"');
  }

  template <class Number> Number number(std::string_view word, const char* what) const {
    const std::string_view digits = word.substr(word.starts_with('+') ? 1 : 0);
    Number value{};
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc{} || end != digits.data() + digits.size()) {
      fail(quoted(word) + " is not " + what);
    }
    return value;
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw unreadable("libsvm", path_, "line " + std::to_string(line_) + ": " + reason,
                     "each line is LABEL INDEX:VALUE INDEX:VALUE ...");
  }

  const std::filesystem::path& path_;
  std::string_view rest_;
  std::size_t line_ = 0;
  sparse_rows rows_;
};

} // namespace libsvm

/// A plain file or one compressed by gzip; labels above 0 are the positive class.
inline sparse_rows read_libsvm(const std::filesystem::path& path) {
  const auto bytes = read_file(path, "libsvm");
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return libsvm::parser(path, {text, bytes.size()}).parse();
}

namespace generated {

/// Fourteen of 123 features are on, one per group, as in a9a; the class is the sign of a hidden
/// linear function, wrong for one row in ten.
inline sparse_rows rows(std::size_t n, std::uint64_t seed) {
  constexpr int groups = 14, features = 123;
  sparse_rows all;
  for (std::size_t i = 0; i < n; ++i) {
    double side = 0;
    for (int g = 0; g < groups; ++g) {
      const int begin = g * features / groups, end = (g + 1) * features / groups;
      const auto pick = draw(seed, i, static_cast<std::uint64_t>(g));
      const int column =
          begin + static_cast<int>(below(static_cast<std::size_t>(end - begin), pick));
      all.add(column, 1.0f);
      side += 2 * unit_interval(draw(99, static_cast<std::uint64_t>(column))) - 1;
    }
    const bool wrong = draw(seed, i, groups) % 10 == 0;
    all.end_row((side > 0) != wrong);
  }
  return all;
}

} // namespace generated

/// A stand-in that needs no files, the same on every machine; a perfect model is right in 90 %.
inline classification generate_classification(std::size_t training = 8000,
                                              std::size_t test = 4000) {
  return {generated::rows(training, 1), generated::rows(test, 2), "generated rows"};
}

/// a9a below TUTTI_DATA; the stand-in when that is unset.
inline classification find_classification() {
  const auto folder = data_folder();
  if (!folder) {
    return generate_classification();
  }
  const auto a9a = *folder / "libsvm" / "a9a";
  return {read_libsvm(plain_or_gz(a9a)), read_libsvm(plain_or_gz(a9a.string() + ".t")),
          "a9a in " + a9a.parent_path().string()};
}

} // namespace models
