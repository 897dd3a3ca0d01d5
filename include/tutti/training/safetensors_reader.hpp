// Reads a safetensors file that may be anything at all.
//
// Everything is checked before anything is believed: lengths and offsets against the length of the
// file, by subtraction; bytes against shape and type; that tensors cover the data without gap and
// overlap; that each name is there once. What is allocated is bounded by what is there, never by
// what is said: the header, and an index that is at most as long again (twice, where the header is
// all metadata).
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/training/files.hpp>
#include <tutti/training/header_json.hpp>
#include <tutti/training/safetensors_layout.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What the header says, in pieces of its text. In deques, which do not move when they grow.
class header_index {
public:
  struct tensor {
    header_piece name, shape;
    std::uint64_t begin = 0, end = 0;
    safetensors::dtype type = safetensors::dtype::float32;
  };
  struct note {
    header_piece name, text;
  };

  /// Checks all that a header can say of `data_bytes` bytes of data, or throws a
  /// `complaint_about_header`.
  header_index(std::span<char> text, std::uint64_t data_bytes) : json_{text} {
    bool noted = false;
    json_.object([&](header_piece name) {
      if (json_[name] != "__metadata__") {
        tensors_.push_back(read_tensor(name));
      } else if (std::exchange(noted, true)) {
        throw complaint_about_header{"__metadata__ is there twice"};
      } else {
        json_.object([&](header_piece key) { notes_.push_back({key, json_.string()}); });
      }
    });
    json_.only_padding();
    check_that_all_is_covered(data_bytes);
    sort_by_name(tensors_, "tensor ");
    sort_by_name(notes_, "metadata ");
  }

  std::string_view operator[](header_piece p) const noexcept { return json_[p]; }
  const std::deque<tensor>& tensors() const noexcept { return tensors_; }
  const std::deque<note>& notes() const noexcept { return notes_; }

  const tensor* find_tensor(std::string_view name) const { return find(tensors_, name); }
  const note* find_note(std::string_view name) const { return find(notes_, name); }

private:
  tensor read_tensor(header_piece name) {
    tensor t;
    t.name = name;
    tensor_bytes counted;
    bool typed = false, shaped = false, placed = false;
    std::size_t rank = 0;
    json_.object([&](header_piece key) {
      const std::string_view field = json_[key];
      const auto once = [&](bool& seen) {
        if (std::exchange(seen, true)) complain(t, quoted(field) + " is there twice");
      };
      if (field == "dtype") {
        once(typed);
        t.type = type_called(t, json_[json_.string()]);
      } else if (field == "shape") {
        once(shaped);
        t.shape = json_.numbers([&](std::uint64_t n) { counted.dimension(n), ++rank; });
      } else if (field == "data_offsets") {
        once(placed);
        int count = 0;
        json_.numbers([&](std::uint64_t n) { (count++ == 0 ? t.begin : t.end) = n; });
        if (count != 2)
          complain(t, "has " + std::to_string(count) + " offsets, and two mark a place");
      } else {
        complain(t, quoted(field) + " is no field of a tensor");
      }
    });
    if (!typed || !shaped || !placed)
      complain(t, "has no " + std::string{!typed ? "dtype" : !shaped ? "shape" : "data_offsets"});
    if (rank > most_dimensions)
      complain(t, "has " + std::to_string(rank) + " dimensions, and 64 is the most");
    std::uint64_t bytes = 0;
    if (!counted.count(t.type, bytes)) complain(t, "has a shape of more than 2^64 - 1 bytes");
    if (t.end < t.begin) complain(t, "is at bytes " + place(t) + ", which end before they begin");
    if (t.end - t.begin != bytes)
      complain(t, "has " + std::to_string(t.end - t.begin) +
                      " bytes, and its type and shape take " + std::to_string(bytes));
    return t;
  }

  safetensors::dtype type_called(const tensor& t, std::string_view name) const {
    for (std::size_t k = 0; k < dtypes.size(); ++k)
      if (dtypes[k].name == name) return safetensors::dtype(k);
    complain(t, "has elements of type " + quoted(name) +
                    ", and BOOL, U8 to U64, I8 to I64, F16, BF16, F32 and F64 can be read");
  }

  void check_that_all_is_covered(std::uint64_t data_bytes) {
    std::sort(tensors_.begin(), tensors_.end(), [](const tensor& a, const tensor& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::uint64_t covered = 0;
    for (const tensor& t : tensors_) {
      if (t.end > data_bytes)
        complain(t, "is at bytes " + place(t) + " of the data, of which there are " +
                        std::to_string(data_bytes) + ": the file is cut short, or its header lies");
      if (t.begin < covered)
        complain(t, "begins at byte " + std::to_string(t.begin) +
                        " and overlaps another, which ends at " + std::to_string(covered));
      if (t.begin > covered)
        complain(t, "begins at byte " + std::to_string(t.begin) + ", and bytes from " +
                        std::to_string(covered) + " on are no tensor's");
      covered = t.end;
    }
    if (covered != data_bytes)
      throw complaint_about_header{"there are " + std::to_string(data_bytes) +
                                   " bytes of data, and tensors end at " + std::to_string(covered)};
  }

  template <class Named> void sort_by_name(std::deque<Named>& all, const char* what) {
    std::sort(all.begin(), all.end(),
              [this](const Named& a, const Named& b) { return json_[a.name] < json_[b.name]; });
    for (std::size_t k = 1; k < all.size(); ++k)
      if (json_[all[k - 1].name] == json_[all[k].name])
        throw complaint_about_header{what + quoted(json_[all[k].name]) + " is there twice"};
  }

  template <class Named>
  const Named* find(const std::deque<Named>& all, std::string_view name) const {
    const auto found = std::lower_bound(
        all.begin(), all.end(), name,
        [this](const Named& a, std::string_view wanted) { return json_[a.name] < wanted; });
    return found != all.end() && json_[found->name] == name ? &*found : nullptr;
  }

  static std::string place(const tensor& t) {
    return "[" + std::to_string(t.begin) + "," + std::to_string(t.end) + ")";
  }
  [[noreturn]] void complain(const tensor& t, const std::string& why) const {
    throw complaint_about_header{"tensor " + quoted(json_[t.name]) + " " + why};
  }

  json_text json_;
  std::deque<tensor> tensors_;
  std::deque<note> notes_;
};

} // namespace tutti::detail

namespace tutti::safetensors {

/// An open file whose header is as it should be. What is not, or not what the caller expects of it,
/// is `bad_data` with the file, the tensor and what is wrong; what the system refuses is
/// `transport`.
class reader {
public:
  explicit reader(std::string path)
      : path_{std::move(path)}, file_{"safetensors::reader", path_, O_RDONLY | O_NONBLOCK} {
    const std::uint64_t bytes = file_.bytes();
    std::uint64_t length = 0;
    if (bytes < 8)
      refuse("is " + std::to_string(bytes) + " bytes long, and a header takes 8 at least");
    file_.read(0, std::as_writable_bytes(std::span{&length, 1}));
    if (length == 0)
      refuse("has no header: it is no safetensors file, or one that was never finished");
    if (length > detail::longest_header)
      refuse("has a header of " + std::to_string(length) + " bytes, and 100,000,000 is the most");
    if (length > bytes - 8)
      refuse("is " + std::to_string(bytes) + " bytes long, and its header alone " +
             std::to_string(length) + ": the file is cut short, or no safetensors file");

    text_ = std::make_unique_for_overwrite<char[]>(length);
    const std::span text{text_.get(), std::size_t(length)};
    file_.read(8, std::as_writable_bytes(text));
    data_ = 8 + length;
    try {
      index_.emplace(text, bytes - data_);
    } catch (const detail::complaint_about_header& wrong) {
      refuse(wrong.what);
    }
  }

  const std::string& path() const noexcept { return path_; }

  /// How many tensors there are; the k-th, by name.
  std::size_t size() const noexcept { return index_->tensors().size(); }
  entry tensor(std::size_t k) const { return described(index_->tensors()[k]); }

  /// The tensor of this name, or the one that the metadata says it stands for, if there is one.
  std::optional<entry> find(std::string_view name) const {
    if (const auto* found = look_up(name)) return described(*found);
    return std::nullopt;
  }

  /// The same, which must be there with this very type and shape: nothing is converted or
  /// broadcast.
  entry expect(std::string_view name, dtype type, const std::vector<std::uint64_t>& shape) const {
    entry found = needed(name);
    if (found.type != type || found.shape != shape)
      refuse("tensor " + detail::quoted(name) + " is " + text(found.type, found.shape) + ", and " +
             text(type, shape) + " was expected");
    return found;
  }

  std::map<std::string, std::string> metadata() const {
    std::map<std::string, std::string> out;
    for (const auto& [name, text] : index_->notes()) out.emplace((*index_)[name], (*index_)[text]);
    return out;
  }

  /// Elements [first, first + values.size()) of a tensor, whose type must be that of `values`.
  template <class Values>
  void read(std::string_view name, std::uint64_t first, Values&& values) const {
    const std::span into{values};
    using element = typename decltype(into)::element_type;
    const entry from = needed(name);
    if (from.type != dtype_of<element>)
      refuse("tensor " + detail::quoted(name) + " is of " +
             std::string{safetensors::name(from.type)} + ", and is read as " +
             std::string{safetensors::name(dtype_of<element>)});
    if (first > from.elements()) outside(from);
    read_bytes(from, first * sizeof(element), std::as_writable_bytes(into));
    if constexpr (std::is_same_v<element, bool>) check_truth(from, std::as_writable_bytes(into));
  }

  /// Bytes from `first` on of a tensor of this file, to anywhere.
  void read_bytes(const entry& from, std::uint64_t first, std::span<std::byte> into) const {
    const std::uint64_t bytes = from.end - from.begin;
    if (first > bytes || into.size() > bytes - first) outside(from);
    file_.read(data_ + from.begin + first, into);
  }

private:
  const detail::header_index::tensor* look_up(std::string_view name) const {
    if (const auto* found = index_->find_tensor(name)) return found;
    const auto* note = index_->find_note(name);
    return note ? index_->find_tensor((*index_)[note->text]) : nullptr;
  }

  entry needed(std::string_view name) const {
    const auto* found = look_up(name);
    if (!found) refuse("has no tensor " + detail::quoted(name));
    return described(*found);
  }

  entry described(const detail::header_index::tensor& t) const {
    entry out{{std::string{(*index_)[t.name]}, t.type, {}}, t.begin, t.end};
    std::uint64_t n = 0;
    bool digits = false;
    for (const char c : (*index_)[t.shape]) {
      const bool digit = c >= '0' && c <= '9';
      if (digit) n = n * 10 + std::uint64_t(c - '0');
      else if (digits) out.shape.push_back(std::exchange(n, 0));
      digits = digit;
    }
    return out;
  }

  // A bool that is neither 0 nor 1 may not even be looked at.
  void check_truth(const entry& from, std::span<std::byte> values) const {
    for (const std::byte b : values)
      if (b > std::byte{1}) {
        std::memset(values.data(), 0, values.size());
        refuse("tensor " + detail::quoted(from.name) + " holds a BOOL that is neither 0 nor 1");
      }
  }

  static std::string text(dtype type, const std::vector<std::uint64_t>& shape) {
    return std::string{name(type)} + " " + detail::shape_text(shape);
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw error{{.code = error_code::bad_data,
                 .call = "safetensors::reader",
                 .detail = path_ + ": " + why}};
  }
  [[noreturn]] void outside(const entry& from) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = "safetensors::reader",
                 .detail = path_ + ": what is to be read lies outside of tensor " +
                           detail::quoted(from.name) + ", which has " +
                           std::to_string(from.elements()) + " elements"}};
  }

  std::string path_;
  detail::open_file<> file_;
  std::unique_ptr<char[]> text_;
  std::optional<detail::header_index> index_;
  std::uint64_t data_ = 0; // where the data begins
};

} // namespace tutti::safetensors
