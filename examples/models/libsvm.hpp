// Sparse examples of two classes: LIBSVM files, or generated rows of the same kind.
#pragma once

#include "data_file.hpp"
#include "random.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace models {

/// What the labels of a file stand for. Where they are -1, 0 and 1, those above 0 are the positive
/// class; of any other two the greater one is.
struct two_classes {
  bool by_sign = true;
  double negative = -1, positive = 1; ///< otherwise
};

/// Compressed rows: those of row i are columns[begins[i]] .. columns[begins[i + 1] - 1], from 0.
struct sparse_rows {
  std::vector<std::size_t> begins{0};
  std::vector<int> columns;
  std::vector<float> values;
  std::vector<std::uint8_t> labels; ///< 1 for the positive class, else 0
  int features = 0;                 ///< 1 + the largest column
  two_classes classes;              ///< what the labels were in the file

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

/// A model with more features than this would not fit into memory.
constexpr int most_features = 1 << 26;

/// One pass over "label index:value index:value ...", a row per line.
class parser {
public:
  parser(const std::filesystem::path& path, std::string_view text) : path_(path), rest_(text) {}

  /// `known` are the classes of the rows that these belong to; none when they stand for themselves.
  sparse_rows parse(const two_classes* known) {
    while (!rest_.empty()) {
      const auto end = std::min(rest_.find('\n'), rest_.size());
      parse_line(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
    }
    if (rows_.size() == 0) {
      throw unreadable("libsvm", path_, "it holds no rows", "give lines such as +1 3:1 7:0.5");
    }
    rows_.classes = known != nullptr ? *known : find_classes();
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      rows_.labels[i] = is_positive(labels_[i]);
    }
    return std::move(rows_);
  }

private:
  static bool is_sign(double label) { return label == -1 || label == 0 || label == 1; }

  two_classes find_classes() const {
    std::vector<double> all = labels_;
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    if (std::all_of(all.begin(), all.end(), is_sign)) {
      return {};
    }
    if (all.size() != 2) {
      std::string list = shortest(all[0]);
      for (std::size_t k = 1; k < std::min(all.size(), std::size_t{4}); ++k) {
        list += ", " + shortest(all[k]);
      }
      throw unreadable("libsvm", path_,
                       "it has " + std::to_string(all.size()) +
                           (all.size() == 1 ? " class" : " classes") + " (" + list +
                           (all.size() > 4 ? ", ...)" : ")"),
                       "give rows of two classes, such as -1 and 1");
    }
    return {false, all[0], all[1]};
  }

  bool is_positive(double label) const {
    const two_classes& all = rows_.classes;
    if (all.by_sign ? !is_sign(label) : label != all.negative && label != all.positive) {
      throw unreadable("libsvm", path_,
                       "its label " + shortest(label) + " is none of the training rows",
                       "give files that belong together");
    }
    return all.by_sign ? label > 0 : label == all.positive;
  }

  static std::string shortest(double number) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, number).ptr};
  }

  void parse_line(std::string_view line) {
    ++line_;
    line = line.substr(0, line.find('#'));
    auto word = next_word(line);
    if (word.empty()) {
      return;
    }
    labels_.push_back(number<double>(word, "a label"));
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
      if (index > most_features) {
        fail("index " + std::to_string(index) + " is too large, features end at " +
             std::to_string(most_features));
      }
      rows_.add(index - 1, number<float>(word.substr(colon + 1), "a value"));
      previous = index;
    }
    rows_.end_row(false); // which class, when all labels are known
  }

  static std::string_view next_word(std::string_view& line) {
    constexpr std::string_view blanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const auto word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
  }

  /// What cannot be seen, such as a byte-order mark or a NUL, stands as its number.
  static std::string quoted(std::string_view word) {
    constexpr std::size_t most = 40;
    constexpr const char* digits = "0123456789abcdef";
    std::string all(1, '"');
    for (const char c : word.substr(0, most)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte > ' ' && byte < 0x7f) {
        all += c;
      } else {
        all.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
      }
    }
    return all.append(word.size() > most ? "...\"" : "\"");
  }

  /// A number too small for its type is 0; one too large, an infinity or a NaN is none.
  template <class Number> Number number(std::string_view word, const char* what) const {
    const bool plus = word.starts_with('+');
    const std::string_view digits = word.substr(plus ? 1 : 0);
    Number value{};
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    bool is_one = end == digits.data() + digits.size() && !(plus && digits.starts_with('-'));
    if constexpr (std::is_floating_point_v<Number>) {
      if (code == std::errc::result_out_of_range) {
        value = static_cast<Number>(std::strtod(std::string(digits).c_str(), nullptr));
      } else {
        is_one = is_one && code == std::errc{};
      }
      is_one = is_one && std::isfinite(value);
    } else {
      is_one = is_one && code == std::errc{};
    }
    if (!is_one) {
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
  std::vector<double> labels_; ///< of each row, as they stand there
  sparse_rows rows_;
};

} // namespace libsvm

/// A plain file or one compressed by gzip. Its labels say what its classes are, or, for rows that
/// are to test what was learnt from others, those of the others.
inline sparse_rows read_libsvm(const std::filesystem::path& path,
                               const two_classes* known = nullptr) {
  const auto bytes = read_file(path, "libsvm");
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return libsvm::parser(path, {text, bytes.size()}).parse(known);
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
  auto training = read_libsvm(plain_or_gz(a9a));
  auto test = read_libsvm(plain_or_gz(a9a.string() + ".t"), &training.classes);
  return {std::move(training), std::move(test), "a9a in " + a9a.parent_path().string()};
}

} // namespace models
