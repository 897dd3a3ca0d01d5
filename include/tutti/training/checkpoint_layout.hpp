// What a checkpoint consists of: which tensors are in its two files, as a visit tells.
//
//   model.safetensors   the parameters, by the names and in the shapes that the caller gave them
//   state.safetensors   NAME/TENSOR: values of each element - "m/fc1.weight" - in the tensor's
//                       shape; where each rank has its own, one of that shape for every rank
//                       NAME: a number, or one for every rank
//                       metadata: format, number of ranks, numbers of the program's
//
// Everything is in coordinates of the tensors: how many ranks wrote a file, and how they shared the
// elements, cannot be seen in them but for the metadata.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/function_ref.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/training/safetensors_layout.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Where the tensors of a model stand in its range, whatever they hold.
class tensor_places {
public:
  struct one {
    std::string name;
    std::vector<std::uint64_t> shape;
    place where;
  };

  template <class T> explicit tensor_places(const flat_model<T>& model) {
    for (const std::size_t k : model.order()) {
      const tensor<T>& t = model[k];
      all_.push_back({t.name, {t.shape.begin(), t.shape.end()}, model.place_of(k)});
      if (t.shape.empty()) all_.back().shape = {t.values.size()};
    }
  }

  /// In the order of the range.
  std::span<const one> all() const noexcept { return all_; }
  std::size_t size() const noexcept { return all_.empty() ? 0 : all_.back().where.end; }

  /// use(tensor, piece) for the piece of each tensor in `where`.
  template <class Use> void each(place where, Use&& use) const {
    auto t = std::partition_point(all_.begin(), all_.end(), [&](const one& before) {
      return before.where.end <= where.begin;
    });
    for (; t != all_.end() && t->where.begin < where.end; ++t)
      if (const place piece = common(where, t->where); !piece.empty()) use(*t, piece);
  }

private:
  std::vector<one> all_;
};

/// What is saved, and where it is loaded to. The visit may depend on numbers that it has visited.
struct checkpointed {
  tensor_places tensors;
  function_ref<void(archive&)> visit; ///< values of the name "" are the parameters
  std::map<std::string, std::string> knobs =
      {}; ///< numbers of the program's that are compared at load
};

/// Values that every rank has its own of are one dimension longer.
inline std::string name_in_file(std::string_view name, const tensor_places::one& t, held_by whom) {
  if (name.empty() && !is_own(whom)) return t.name;
  return (name.empty() ? "replicas" : std::string{name}) + "/" + t.name;
}

inline std::vector<std::uint64_t> shape_of_number(held_by whom, int ranks) {
  if (is_own(whom)) return {std::uint64_t(ranks)};
  return {};
}

/// Archives that treat float and double alike: as bytes of a type.
class archive_of_bytes : public archive {
public:
  void values(std::string_view name, std::span<float> mine, place where, held_by whom) final {
    bytes(name, safetensors::dtype::float32, std::as_writable_bytes(mine), where, whom);
  }
  void values(std::string_view name, std::span<double> mine, place where, held_by whom) final {
    bytes(name, safetensors::dtype::float64, std::as_writable_bytes(mine), where, whom);
  }
  void number(std::string_view name, std::int64_t& value, held_by whom) final {
    auto bits = std::bit_cast<std::uint64_t>(value);
    number_bits(name, safetensors::dtype::int64, bits, whom);
    value = std::bit_cast<std::int64_t>(bits);
  }
  void number(std::string_view name, double& value, held_by whom) final {
    auto bits = std::bit_cast<std::uint64_t>(value);
    number_bits(name, safetensors::dtype::float64, bits, whom);
    value = std::bit_cast<double>(bits);
  }

protected:
  virtual void bytes(std::string_view name, safetensors::dtype type, std::span<std::byte> mine,
                     place where, held_by whom) = 0;
  virtual void number_bits(std::string_view name, safetensors::dtype type, std::uint64_t& bits,
                           held_by whom) = 0;
};

/// What a visit comes to: which tensors the files have.
class description_of_state : public archive_of_bytes {
public:
  struct named_values {
    std::string name;
    safetensors::dtype type;
    held_by whom;
  };
  struct named_number {
    std::string name;
    safetensors::dtype type;
    held_by whom;
    std::uint64_t bits;
  };

  description_of_state(const char* call, const tensor_places& tensors)
      : call_{call}, tensors_{tensors} {}

  const std::vector<named_values>& kinds() const noexcept { return kinds_; }
  const std::vector<named_number>& numbers() const noexcept { return numbers_; }
  /// The name of something that ranks have their own of, and cannot go on without; null where there is none.
  const std::string* own() const noexcept {
    for (const named_values& one : kinds_)
      if (one.whom == held_by::each) return &one.name;
    for (const named_number& one : numbers_)
      if (one.whom == held_by::each) return &one.name;
    return nullptr;
  }

  std::vector<safetensors::description> model() const {
    std::vector<safetensors::description> out;
    for (const named_values& one : kinds_)
      if (one.name.empty())
        for (const auto& t : tensors_.all()) out.push_back({t.name, one.type, t.shape});
    return out;
  }
  std::vector<safetensors::description> state(int ranks) const {
    std::vector<safetensors::description> out;
    for (const named_values& one : kinds_) {
      if (one.name.empty() && !is_own(one.whom)) continue;
      for (const auto& t : tensors_.all()) {
        out.push_back({name_in_file(one.name, t, one.whom), one.type, t.shape});
        if (is_own(one.whom))
          out.back().shape.insert(out.back().shape.begin(), std::uint64_t(ranks));
      }
    }
    for (const named_number& one : numbers_)
      out.push_back({one.name, one.type, shape_of_number(one.whom, ranks)});
    return out;
  }

  /// Of what is saved, but for the values; and of the numbers.
  std::uint64_t hash() const {
    std::uint64_t h = hash_of_nothing;
    for (const named_values& one : kinds_)
      h = hashed(with(h, one.name, one.type), std::uint64_t(one.whom));
    for (const named_number& one : numbers_)
      h = hashed(with(h, one.name, one.type), std::uint64_t(one.whom));
    for (const auto& t : tensors_.all()) h = hashed(with(h, t.name, {}), t.where.end);
    return h;
  }
  std::uint64_t hash_of_numbers() const { ///< of those that are the same on all ranks
    std::uint64_t h = hash_of_nothing;
    for (const named_number& one : numbers_)
      if (!is_own(one.whom)) h = hashed(h, one.bits);
    return h;
  }

protected:
  void bytes(std::string_view name, safetensors::dtype type, std::span<std::byte> mine, place where,
             held_by whom) override {
    if (mine.size() != where.size() * safetensors::bytes_of(type) || where.end > tensors_.size() ||
        where.begin > where.end)
      refuse(name, "are not as many as their place in the model");
    for (const named_values& one : kinds_)
      if (one.name == name) {
        if (one.type == type && one.whom == whom) return;
        refuse(name, "are visited in two ways - give one name to values of one type and holder");
      }
    kinds_.push_back({std::string{name}, type, whom});
  }
  void number_bits(std::string_view name, safetensors::dtype type, std::uint64_t& bits,
                   held_by whom) override {
    numbers_.push_back({std::string{name}, type, whom, bits});
  }
  [[noreturn]] void refuse(std::string_view name, const std::string& why) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = call_,
                 .detail = "the values \"" + std::string{name} + "\" of the state " + why}};
  }

private:
  static std::uint64_t with(std::uint64_t h, std::string_view name, safetensors::dtype type) {
    for (const char c : name) h = hashed(h, static_cast<unsigned char>(c));
    return hashed(hashed(h, name.size()), std::uint64_t(type));
  }

  const char* call_;
  const tensor_places& tensors_;
  std::vector<named_values> kinds_;
  std::vector<named_number> numbers_;
};

inline constexpr const char* format_key = "tutti.checkpoint";
inline constexpr const char* format_now = "2";
inline constexpr const char* ranks_key = "ranks";
inline constexpr std::string_view knob_key = "knob.";

inline std::map<std::string, std::string>
metadata_of(const std::map<std::string, std::string>& knobs, int ranks) {
  std::map<std::string, std::string> out{{format_key, format_now},
                                         {ranks_key, std::to_string(ranks)}};
  for (const auto& [name, text] : knobs) out.emplace(std::string{knob_key} + name, text);
  return out;
}

/// PATH without what may stand at its end; `invalid_argument` where that leaves no name.
inline std::string folder_named(const char* call, std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string_view last = std::string_view{path}.substr(path.find_last_of('/') + 1);
  if (last.empty() || last == "." || last == "..")
    throw error{
        {.code = error_code::invalid_argument,
         .call = call,
         .detail = "\"" + path + "\" names no folder of its own - give one as in runs/step-100"}};
  return path;
}

} // namespace tutti::detail
