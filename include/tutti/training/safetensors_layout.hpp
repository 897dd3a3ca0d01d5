// Where everything is in a safetensors file, worked out before anything is written.
//
// The format: 8 bytes with the length N of the header, least significant first; N bytes of JSON,
// padded with spaces so that the data begins at a multiple of 8; then the data, without gaps, in
// the byte order of this machine, which must be that of the format.
//   {"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
// Offsets count from the end of the header. Tensors are in the order of the reference
// implementation: by alignment, greatest first, types of one alignment apart, then by name; so all
// are aligned.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/float16.hpp>
#include <tutti/training/header_json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::safetensors {

static_assert(
    std::endian::native == std::endian::little && sizeof(bool) == 1,
    "tutti: safetensors files hold numbers least significant byte first, and so must memory");

/// The types of elements that are read and written, in the order of the format.
enum class dtype : std::uint8_t {
  boolean,
  uint8,
  int8,
  int16,
  uint16,
  float16,
  bfloat16,
  int32,
  uint32,
  float32,
  float64,
  int64,
  uint64
};

} // namespace tutti::safetensors

namespace tutti::detail {

struct dtype_facts {
  std::string_view name;
  std::size_t bytes;
};
inline constexpr std::array<dtype_facts, 13> dtypes{{{"BOOL", 1},
                                                     {"U8", 1},
                                                     {"I8", 1},
                                                     {"I16", 2},
                                                     {"U16", 2},
                                                     {"F16", 2},
                                                     {"BF16", 2},
                                                     {"I32", 4},
                                                     {"U32", 4},
                                                     {"F32", 4},
                                                     {"F64", 8},
                                                     {"I64", 8},
                                                     {"U64", 8}}};

template <class T> constexpr safetensors::dtype dtype_for() {
  using enum safetensors::dtype;
  if constexpr (std::is_same_v<T, bool>) return boolean;
  else if constexpr (std::is_same_v<T, float>) return float32;
  else if constexpr (std::is_same_v<T, double>) return float64;
  else if constexpr (std::is_same_v<T, half>) return float16;
  else if constexpr (std::is_same_v<T, tutti::bfloat16>) return safetensors::dtype::bfloat16;
  else {
    static_assert(std::is_integral_v<T> && sizeof(T) <= 8,
                  "tutti::safetensors: an element is float, double, half, bfloat16, bool or an "
                  "integer of 8 to 64 bits - use write_bytes or read_bytes for others");
    constexpr safetensors::dtype of_size[2][4] = {{uint8, uint16, uint32, uint64},
                                                  {int8, int16, int32, int64}};
    return of_size[std::is_signed_v<T>][std::countr_zero(sizeof(T))];
  }
}

/// The bytes of a tensor, counted with care: false where they are no 64-bit number.
class tensor_bytes {
public:
  void dimension(std::uint64_t n) {
    if (n == 0) empty_ = true;
    else multiply(n);
  }
  bool count(safetensors::dtype type, std::uint64_t& bytes) {
    multiply(dtypes[std::size_t(type)].bytes);
    bytes = empty_ ? 0 : product_;
    return fits_;
  }

private:
  void multiply(std::uint64_t n) {
    if (product_ > UINT64_MAX / n) fits_ = false;
    else product_ *= n;
  }
  std::uint64_t product_ = 1;
  bool empty_ = false, fits_ = true;
};

inline std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string out = "[";
  for (const std::uint64_t n : shape) (out += out.size() > 1 ? "," : "") += std::to_string(n);
  return out + "]";
}

/// What the reference implementation takes, so nothing longer is written or read.
inline constexpr std::uint64_t longest_header = 100'000'000;
/// What its readers can make an array of.
inline constexpr std::size_t most_dimensions = 64;

} // namespace tutti::detail

namespace tutti::safetensors {

/// The format's own name: "F32".
constexpr std::string_view name(dtype type) noexcept {
  return detail::dtypes[std::size_t(type)].name;
}
constexpr std::size_t bytes_of(dtype type) noexcept {
  return detail::dtypes[std::size_t(type)].bytes;
}
template <class T> inline constexpr dtype dtype_of = detail::dtype_for<T>();

/// A tensor that is to be written. A shape of no dimensions is one element; a dimension of 0 is
/// fine.
struct description {
  std::string name;
  dtype type = dtype::float32;
  std::vector<std::uint64_t> shape = {};
};

/// A tensor in a file: bytes [begin, end) of the data.
struct entry : description {
  std::uint64_t begin = 0, end = 0;

  std::uint64_t elements() const noexcept { return (end - begin) / bytes_of(type); }
};

/// A whole file but for the data; the same tensors and metadata give the same bytes, in any order.
/// Two names of one memory are one tensor, and metadata {"the other name": "the name"}, which is
/// how the tools of the format say it and `reader::find` reads it. What cannot be written is
/// `invalid_argument`: a name twice, or
/// "__metadata__", text that is no UTF-8, more bytes than a file can have, a header above 100 MB.
class layout {
public:
  explicit layout(std::vector<description> tensors,
                  const std::map<std::string, std::string>& metadata = {}) {
    std::sort(tensors.begin(), tensors.end(), [](const description& a, const description& b) {
      return a.type != b.type ? a.type > b.type : a.name < b.name;
    });
    tensors_.reserve(tensors.size());
    for (description& tensor : tensors) place(std::move(tensor));
    index();
    write_header(metadata);
  }

  /// In the order of the file.
  const std::vector<entry>& tensors() const noexcept { return tensors_; }

  /// `invalid_argument` where there is none of this name.
  const entry& tensor(std::string_view name) const {
    const auto found = std::lower_bound(
        by_name_.begin(), by_name_.end(), name,
        [this](std::size_t k, std::string_view wanted) { return tensors_[k].name < wanted; });
    if (found == by_name_.end() || tensors_[*found].name != name)
      refuse(name, "is not in the layout - describe all tensors when it is made");
    return tensors_[*found];
  }

  /// All that precedes the data.
  std::string_view header() const noexcept { return header_; }
  std::uint64_t data_bytes() const noexcept { return tensors_.empty() ? 0 : tensors_.back().end; }
  std::uint64_t file_bytes() const noexcept { return header_.size() + data_bytes(); }

private:
  void place(description tensor) {
    detail::tensor_bytes counted;
    std::uint64_t bytes = 0;
    for (const std::uint64_t n : tensor.shape) counted.dimension(n);
    const std::uint64_t begin = data_bytes();
    constexpr std::uint64_t most = INT64_MAX - 8 - detail::longest_header;
    if (!counted.count(tensor.type, bytes) || bytes > most - begin)
      refuse(tensor.name, detail::shape_text(tensor.shape) + " is more than a file can hold");
    if (tensor.shape.size() > detail::most_dimensions)
      refuse(tensor.name, "has more than 64 dimensions");
    if (!detail::is_utf8(tensor.name)) refuse(tensor.name, "is no UTF-8");
    if (tensor.name == "__metadata__") refuse(tensor.name, "is a word of the format");
    tensors_.push_back({std::move(tensor), begin, begin + bytes});
  }

  void index() {
    by_name_.resize(tensors_.size());
    for (std::size_t k = 0; k < by_name_.size(); ++k) by_name_[k] = k;
    const auto named = [this](std::size_t k) -> const std::string& { return tensors_[k].name; };
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::size_t a, std::size_t b) { return named(a) < named(b); });
    for (std::size_t k = 1; k < by_name_.size(); ++k)
      if (named(by_name_[k - 1]) == named(by_name_[k]))
        refuse(named(by_name_[k]), "is given twice - a name is one tensor's");
  }

  void write_header(const std::map<std::string, std::string>& metadata) {
    std::string& out = header_;
    out.assign(8, '\0');
    out += '{';
    const auto key = [&out](std::string_view text) {
      if (out.back() != '{') out += ',';
      detail::append_json(out, text);
      out += ':';
    };
    if (!metadata.empty()) {
      key("__metadata__");
      out += '{';
      for (const auto& [name, text] : metadata) {
        if (!detail::is_utf8(name) || !detail::is_utf8(text))
          refuse(name, "in the metadata is no UTF-8");
        key(name);
        detail::append_json(out, text);
      }
      out += '}';
    }
    for (const entry& tensor : tensors_) {
      key(tensor.name);
      ((out += "{\"dtype\":\"") += name(tensor.type)) += "\",\"shape\":";
      (out += detail::shape_text(tensor.shape)) += ",\"data_offsets\":";
      (out += detail::shape_text({tensor.begin, tensor.end})) += '}';
    }
    out += '}';
    while (out.size() % 8 != 0) out += ' ';

    const std::uint64_t bytes = out.size() - 8;
    if (bytes > detail::longest_header)
      refuse("", "and the others have a header of more than 100 MB, which no reader takes");
    for (std::size_t k = 0; k < 8; ++k) out[k] = char(bytes >> (8 * k));
  }

  [[noreturn]] static void refuse(std::string_view name, std::string_view why) {
    throw error{{.code = error_code::invalid_argument,
                 .call = "safetensors::layout",
                 .detail = "tensor " + detail::quoted(name) + " " + std::string{why}}};
  }

  std::vector<entry> tensors_;
  std::vector<std::size_t> by_name_;
  std::string header_;
};

} // namespace tutti::safetensors
