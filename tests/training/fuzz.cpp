// Files that are almost right. A few thousand as a test; more with
//   test_training --run_test=safetensors_fuzz -- --seconds 600 [--seed S] [--keep FILE]
// where FILE is given each of the first 20,000 as its length, whether it was taken, and its bytes.
#include "training/arguments.hpp"
#include "training/peak_memory.hpp"
#include "training/scratch.hpp"

#include <tutti/training/safetensors.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace sz = tutti::safetensors;

class file_mill {
public:
  explicit file_mill(std::uint64_t seed) : random_{seed} {}

  /// A good file, and perhaps what became of it.
  std::string next(bool& mutated) {
    const std::string good = good_file();
    std::uint64_t length = 0;
    std::memcpy(&length, good.data(), 8);
    std::string header = good.substr(8, length), data = good.substr(8 + length);
    const std::size_t mutations = below(4);
    mutated = mutations > 0;
    for (std::size_t k = 0; k < mutations; ++k) {
      switch (below(8)) {
      case 0:
      case 1:
        change_number(header);
        break;
      case 2:
      case 3:
        change_token(header);
        break;
      case 4:
        change_byte(header);
        break;
      case 5:
        data.resize(below(2) ? below(data.size() + 1) : data.size() + 1 + below(9), '\1');
        break;
      case 6:
        header.resize(below(header.size() + 1));
        break;
      case 7:
        header.insert(below(header.size() + 1), any_of(nasty()));
        break;
      }
    }
    std::string prefix = little_endian(header.size());
    if (below(16) == 0) {
      mutated = true;
      const std::uint64_t lengths[] = {0,
                                       1,
                                       header.size() + 1,
                                       header.size() + data.size(),
                                       UINT64_MAX,
                                       UINT64_MAX - 7,
                                       INT64_MAX,
                                       100'000'001,
                                       random_(),
                                       header.size() - 1,
                                       data.size(),
                                       std::uint64_t{1} << 63};
      prefix = little_endian(lengths[below(std::size(lengths))]);
    }
    std::string out = prefix + header + data;
    if (below(32) == 0) mutated = true, out.resize(below(out.size()));
    return out;
  }

private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : std::size_t(random_() % n); }
  const std::string& any_of(const std::vector<std::string>& all) { return all[below(all.size())]; }

  static const std::vector<std::string>& nasty() {
    static const std::vector<std::string> all{"{",
                                              "}",
                                              "[",
                                              "]",
                                              ",",
                                              ":",
                                              "\"",
                                              "\\",
                                              "\\u0000",
                                              "\\ud800",
                                              "\\ud83d\\ude00",
                                              "\xff",
                                              "\xed\xa0\x80",
                                              " ",
                                              "\n",
                                              std::string(1, '\0'),
                                              "0",
                                              "1",
                                              "-1",
                                              "01",
                                              "1.5",
                                              "1e3",
                                              "4",
                                              "8",
                                              "18446744073709551615",
                                              "18446744073709551616",
                                              "9223372036854775808",
                                              "99999999999999999999999999",
                                              "null",
                                              "true",
                                              "\"dtype\"",
                                              "\"shape\"",
                                              "\"data_offsets\"",
                                              "\"__metadata__\"",
                                              "\"F32\"",
                                              "\"F8_E4M3\"",
                                              "\"U8\"",
                                              "[0,0]",
                                              "[]",
                                              "{}",
                                              "\"\"",
                                              "[[[[[[[[",
                                              "{\"a\":{\"a\":",
                                              "\"w\":",
                                              ",\"w\":{}"};
    return all;
  }

  std::string good_file() {
    std::vector<sz::description> tensors;
    for (std::size_t k = below(6); k > 0; --k) {
      std::string name =
          any_of({"w", "layer.0.weight", "", "\xe2\x82\xac", "a\"b\\", "x\n"}) + char('0' + k);
      std::vector<std::uint64_t> shape;
      for (std::size_t d = below(4); d > 0; --d) shape.push_back(below(4));
      tensors.push_back({std::move(name), sz::dtype(below(13)), std::move(shape)});
    }
    std::map<std::string, std::string> metadata;
    for (std::size_t k = below(3); k > 0; --k)
      metadata[any_of({"k", "format", "x\n"})] = any_of({"", "pt", "w1"});
    const sz::layout layout{tensors, metadata};
    std::string out{layout.header()};
    for (std::uint64_t k = 0; k < layout.data_bytes(); ++k) out += char(random_());
    return out;
  }

  void change_number(std::string& header) {
    std::vector<std::pair<std::size_t, std::size_t>> numbers;
    for (std::size_t at = 0; at < header.size();) {
      std::size_t end = at;
      while (end < header.size() && header[end] >= '0' && header[end] <= '9') ++end;
      if (end > at) numbers.push_back({at, end - at});
      at = end + 1;
    }
    if (numbers.empty()) return;
    const auto [at, length] = numbers[below(numbers.size())];
    const std::string text = header.substr(at, length);
    const std::uint64_t value = length < 19 ? std::stoull(text) : 0;
    const std::uint64_t near[] = {value + 1, value - 1, value * 2, value + 4, 0, value << 61};
    header.replace(at, length,
                   below(3) ? std::to_string(near[below(std::size(near))]) : any_of(nasty()));
  }

  void change_token(std::string& header) {
    std::vector<std::string> tokens;
    for (const char c : header) {
      const bool alone = std::string_view{"{}[],:\""}.find(c) != std::string_view::npos;
      if (alone || tokens.empty() || tokens.back().size() == 1) tokens.emplace_back(1, c);
      else tokens.back() += c;
    }
    if (tokens.empty()) return;
    const std::size_t at = below(tokens.size()), other = below(tokens.size());
    const auto place = tokens.begin() + std::ptrdiff_t(at);
    switch (below(4)) {
    case 0:
      tokens.erase(place);
      break;
    case 1:
      tokens.insert(place, std::string{tokens[other]});
      break;
    case 2:
      std::swap(tokens[at], tokens[other]);
      break;
    case 3:
      *place = any_of(nasty());
      break;
    }
    header.clear();
    for (const std::string& token : tokens) header += token;
  }

  void change_byte(std::string& header) {
    if (header.empty()) return;
    const std::size_t at = below(header.size());
    switch (below(3)) {
    case 0:
      header[at] = char(random_());
      break;
    case 1:
      header.erase(at, 1);
      break;
    case 2:
      header[at] = char(header[at] ^ (1 << below(8)));
      break;
    }
  }

  std::mt19937_64 random_;
};

/// What is wrong with a reader that has taken these bytes, or nothing.
std::string wrong_with(const sz::reader& in, std::string_view bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) return "the header is longer than the file";
  const std::string_view data = bytes.substr(8 + length);
  std::vector<int> covered(data.size());
  std::vector<sz::description> tensors;
  for (std::size_t k = 0; k < in.size(); ++k) {
    const sz::entry tensor = in.tensor(k);
    if (tensor.end < tensor.begin || tensor.end > data.size())
      return "a tensor is outside of the file";
    std::uint64_t size = sz::bytes_of(tensor.type);
    for (const std::uint64_t n : tensor.shape) size *= n;
    if (size != tensor.end - tensor.begin) return "a tensor's bytes are not those of its shape";
    for (std::uint64_t at = tensor.begin; at < tensor.end; ++at) ++covered[at];
    std::vector<std::byte> values(tensor.end - tensor.begin);
    in.read_bytes(in.expect(tensor.name, tensor.type, tensor.shape), 0, values);
    if (!values.empty() &&
        std::memcmp(values.data(), data.data() + tensor.begin, values.size()) != 0)
      return "a tensor's values are others";
    tensors.push_back(tensor);
  }
  for (const int times : covered)
    if (times != 1) return "a byte is " + std::to_string(times) + " tensors'";
  const sz::layout again{tensors,
                         in.metadata()}; // throws for names that are there twice, or no UTF-8
  return again.data_bytes() == data.size() ? "" : "its tensors are not as long as its data";
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_fuzz)

BOOST_AUTO_TEST_CASE(files_that_are_almost_right_are_refused_or_right) {
  using namespace std::chrono;
  const auto until = steady_clock::now() + seconds{std::stoi(argument("--seconds", "0"))};
  const std::string seed = argument("--seed", "1"), keep = argument("--keep");
  std::ofstream kept;
  if (!keep.empty()) kept.open(keep, std::ios::binary);

  const scratch folder;
  const std::string path = folder / "x";
  file_mill mill{std::stoull(seed)};
  std::uint64_t files = 0, taken = 0, mutants_taken = 0;
  for (int wrong = 0; wrong < 3 && (files < 4000 || steady_clock::now() < until); ++files) {
    bool mutated = false;
    const std::string bytes = mill.next(mutated);
    put_file(path, bytes);

    std::string why;
    bool good = false;
    begin_peak_memory();
    std::size_t peak = 0;
    try {
      const sz::reader in{path};
      peak = peak_memory();
      good = true;
      why = wrong_with(in, bytes);
    } catch (const tutti::error& e) {
      if (peak == 0) peak = peak_memory();
      if (good || e.code() != tutti::error_code::bad_data || !has(e.what(), path + ": "))
        why = e.what();
    } catch (const std::exception& e) {
      why = e.what();
    }
    if (!good && !mutated) why = "a good file is refused";
    if (peak > 3 * bytes.size() + 16'384)
      why = std::to_string(peak) + " bytes of memory were taken";
    if (!why.empty()) {
      ++wrong;
      BOOST_ERROR("file " << files << " of seed " << seed << ": " << why << "\n" << bytes);
    }
    taken += good;
    mutants_taken += good && mutated;
    if (kept.is_open() && files < 20'000)
      kept << little_endian(bytes.size()) << char(good) << bytes;
  }
  BOOST_TEST_MESSAGE(files << " files, " << taken << " taken, " << mutants_taken
                           << " of them changed");
  BOOST_CHECK_GT(taken - mutants_taken, files / 10);
  BOOST_CHECK_GT(mutants_taken, files / 100);
  BOOST_CHECK_GT(files - taken, files / 4);
}

BOOST_AUTO_TEST_SUITE_END()
