// Loading: every rank reads what it needs, and nothing is changed before all of it is there.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/training/checkpoint_layout.hpp>
#include <tutti/training/folders.hpp>
#include <tutti/training/joint_call.hpp>
#include <tutti/training/latest.hpp>
#include <tutti/training/safetensors_reader.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// The two files, open.
struct checkpoint_files {
  explicit checkpoint_files(const std::string& folder)
      : model{folder + "/" + std::string{model_file}},
        state{folder + "/" + std::string{state_file}}, metadata{state.metadata()} {
    const auto format = metadata.find(format_key);
    if (format == metadata.end())
      refuse("is of no checkpoint: its metadata has no " + std::string{format_key});
    if (format->second != format_now)
      refuse("has the format " + detail::quoted(format->second) + ", and this version reads " +
             format_now);
  }

  /// The same on ranks that see the same files.
  std::uint64_t hash() const {
    std::uint64_t h = hash_of_nothing;
    const auto add = [&h](std::string_view text) {
      for (const char c : text) h = hashed(h, static_cast<unsigned char>(c));
      h = hashed(h, text.size());
    };
    for (const safetensors::reader* file : {&model, &state})
      for (std::size_t k = 0; k < file->size(); ++k) {
        const safetensors::entry one = file->tensor(k);
        add(one.name), add(shape_text(one.shape));
        h = hashed(hashed(h, one.begin), std::uint64_t(one.type));
      }
    for (const auto& [name, text] : metadata) add(name), add(text);
    return h;
  }

  /// Whether so many ranks have saved it.
  bool is_by(int ranks) const { return saved_by() == ranks; }
  /// By how many ranks it was saved; 0 where that is no number of any.
  int saved_by() const {
    int n = 0;
    const std::string text = by();
    std::from_chars(text.data(), text.data() + text.size(), n);
    return (std::max)(n, 0);
  }
  /// Of what every rank has its own, and cannot go on without.
  void require_ranks(int ranks, const std::string& own) const {
    if (is_by(ranks)) return;
    throw error{{.code = error_code::mismatch,
                 .call = "load",
                 .detail = state.path() + ": was saved by " + by() + " ranks, of which each has " +
                           (own.empty() ? "parameters" : "\"" + own + "\"") +
                           " of its own, as in the middle of a period, and here are " +
                           std::to_string(ranks) + " - resume it on " + by() +
                           ", or save where all ranks agree"}};
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw error{
        {.code = error_code::bad_data, .call = "load", .detail = state.path() + ": " + why}};
  }

  safetensors::reader model, state;
  std::map<std::string, std::string> metadata;

private:
  std::string by() const {
    const auto saved = metadata.find(ranks_key);
    return saved == metadata.end() ? "other" : saved->second;
  }
};

inline constexpr const char* saved_by_another_run =
    " - load it with the model, optimizer and policy that it was saved with";

/// As it is expected in a file of a checkpoint.
inline safetensors::entry expected(const safetensors::reader& file, const std::string& name, safetensors::dtype type,
                                   const std::vector<std::uint64_t>& shape) {
  try {
    return file.expect(name, type, shape);
  } catch (const error& e) {
    failure why = e.details();
    why.detail += saved_by_another_run;
    throw error{std::move(why)};
  }
}

/// The first visit: numbers become those of the file, as what is visited may depend on them.
class numbers_from_file final : public description_of_state {
public:
  numbers_from_file(const checkpoint_files& from, const tensor_places& tensors, int rank, int ranks)
      : description_of_state{"load", tensors}, from_{from}, rank_{rank}, ranks_{ranks} {}

  /// As they were before.
  const std::map<std::string, std::uint64_t>& before() const noexcept { return before_; }

protected:
  void number_bits(std::string_view name, safetensors::dtype type, std::uint64_t& bits,
                   held_by whom) override {
    before_.emplace(std::string{name}, bits);
    if (whom == held_by::each) from_.require_ranks(ranks_, std::string{name});
    const safetensors::entry found =
        detail::expected(from_.state, std::string{name}, type, shape_of_number(whom, from_.saved_by()));
    const auto mine = is_own(whom) ? std::uint64_t(rank_) : 0;
    if (whom != held_by::worker || from_.is_by(ranks_))
      from_.state.read_bytes(found, mine * sizeof bits, std::as_writable_bytes(std::span{&bits, 1}));
    description_of_state::number_bits(name, type, bits, whom);
  }

private:
  const checkpoint_files& from_;
  int rank_, ranks_;
  std::map<std::string, std::uint64_t> before_;
};

/// Another visit, that takes numbers back.
class numbers_put_back final : public archive_of_bytes {
public:
  explicit numbers_put_back(const std::map<std::string, std::uint64_t>& before) : before_{before} {}

protected:
  void bytes(std::string_view, safetensors::dtype, std::span<std::byte>, place, held_by) override {}
  void number_bits(std::string_view name, safetensors::dtype, std::uint64_t& bits,
                   held_by) override {
    if (const auto found = before_.find(std::string{name}); found != before_.end())
      bits = found->second;
  }

private:
  const std::map<std::string, std::uint64_t>& before_;
};

/// Values between the file and where they go: the visits make the same calls, so they are kept in
/// order; null what stays as it is.
using kept_bytes = std::vector<std::unique_ptr<std::byte[]>>;

class values_into_memory final : public archive_of_bytes {
public:
  values_into_memory(const checkpoint_files& from, const tensor_places& tensors, int rank, int ranks)
      : from_{from}, tensors_{tensors}, rank_{rank}, ranks_{ranks} {}

  kept_bytes& kept() noexcept { return kept_; }
  /// Of what all ranks have the same of.
  std::uint64_t hash() const noexcept { return hash_; }

protected:
  void bytes(std::string_view name, safetensors::dtype type, std::span<std::byte> mine, place where,
             held_by whom) override {
    if (whom == held_by::worker && !from_.is_by(ranks_)) return void(kept_.emplace_back());
    kept_.push_back(std::make_unique_for_overwrite<std::byte[]>(mine.size()));
    const std::span to{kept_.back().get(), mine.size()};
    const std::size_t each = safetensors::bytes_of(type);
    const auto& file = name.empty() && !is_own(whom) ? from_.model : from_.state;
    tensors_.each(where, [&](const tensor_places::one& t, place piece) {
      std::size_t first = piece.begin - t.where.begin;
      if (is_own(whom)) first += std::size_t(rank_) * t.where.size();
      file.read_bytes(*file.find(name_in_file(name, t, whom)), first * each,
                      to.subspan((piece.begin - where.begin) * each, piece.size() * each));
    });
    if (whom == held_by::everyone) add(to);
  }
  void number_bits(std::string_view, safetensors::dtype, std::uint64_t&, held_by) override {}

private:
  void add(std::span<const std::byte> values) noexcept {
    for (std::uint64_t word = 0; !values.empty(); word = 0) {
      const std::size_t n = (std::min)(values.size(), sizeof word);
      std::memcpy(&word, values.data(), n);
      hash_ = hashed(hash_, word);
      values = values.subspan(n);
    }
  }

  const checkpoint_files& from_;
  const tensor_places& tensors_;
  int rank_, ranks_;
  kept_bytes kept_;
  std::uint64_t hash_ = hash_of_nothing;
};

/// The last visit.
class values_to_their_places final : public archive_of_bytes {
public:
  explicit values_to_their_places(const kept_bytes& kept) : kept_{kept} {}

protected:
  void bytes(std::string_view, safetensors::dtype, std::span<std::byte> mine, place,
             held_by) override {
    const auto& from = kept_[next_++];
    if (from && !mine.empty()) std::memcpy(mine.data(), from.get(), mine.size());
  }
  void number_bits(std::string_view, safetensors::dtype, std::uint64_t&, held_by) override {}

private:
  const kept_bytes& kept_;
  std::size_t next_ = 0;
};

/// Every tensor that is wanted is there as it is wanted, and no other.
inline void require_exactly(const safetensors::reader& file,
                            const std::vector<safetensors::description>& wanted) {
  const safetensors::layout named{wanted}; // refuses a name that is there twice
  std::vector<std::string_view> names;
  for (const safetensors::entry& one : named.tensors()) {
    detail::expected(file, one.name, one.type, one.shape);
    names.push_back(one.name);
  }
  std::sort(names.begin(), names.end());
  for (std::size_t k = 0; k < file.size(); ++k)
    if (const std::string name = file.tensor(k).name;
        !std::binary_search(names.begin(), names.end(), std::string_view{name}))
      throw error{{.code = error_code::bad_data,
                   .call = "load",
                   .detail = file.path() + ": has tensor " + detail::quoted(name) +
                             ", which this run has not" + saved_by_another_run}};
}

/// In which numbers the program differs from the one that saved.
inline std::vector<std::string> other_knobs(const std::map<std::string, std::string>& here,
                                            const std::map<std::string, std::string>& metadata,
                                            const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& [name, text] : here) {
    const auto there = metadata.find(std::string{knob_key} + name);
    if (there == metadata.end()) out.push_back(name + " is " + text + ", and is not in " + folder);
    else if (there->second != text)
      out.push_back(name + " is " + text + ", and was " + there->second + " when " + folder +
                    " was saved");
  }
  for (const auto& [key, text] : metadata)
    if (key.starts_with(knob_key) && !here.contains(key.substr(knob_key.size())))
      out.push_back(key.substr(knob_key.size()) + " was " + text + " when " + folder +
                    " was saved, and is not given here");
  return out;
}

/// Collective. Returns what the program's numbers differ in from the file's: the program's count.
/// Whatever fails on whichever rank, all ranks throw, and everything is as it was. Needs memory for
/// what this rank loads once more.
inline std::vector<std::string> load_checkpoint(control& ranks, const checkpointed& what,
                                                std::string folder) {
  joint_call call{ranks, "load", folder};
  std::optional<checkpoint_files> files;
  std::optional<numbers_from_file> wanted;
  struct put_back {
    const checkpointed& what;
    std::optional<numbers_from_file>& from;
    bool needed = true;
    ~put_back() {
      if (!needed || !from) return;
      numbers_put_back pass{from->before()};
      try {
        what.visit(pass);
      } catch (...) { // it threw before, which is why this is here
      }
    }
  } unless_all_goes_well{what, wanted};

  auto all = call.step(1, [&](std::span<std::uint64_t> words) {
    files.emplace(where_published(folder_named(call.name(), folder)));
    wanted.emplace(*files, what.tensors, call.rank(), call.size());
    what.visit(*wanted);
    if (wanted->own()) files->require_ranks(call.size(), *wanted->own());
    require_exactly(files->model, wanted->model());
    require_exactly(files->state, wanted->state(files->saved_by()));
    words[0] = hashed(files->hash(), wanted->hash_of_numbers());
  });
  const std::string unlike =
      "read unlike files under " + folder + " - give all ranks the same folder";
  call.require_alike(all, 1, 0, unlike);

  values_into_memory read{*files, what.tensors, call.rank(), call.size()};
  all = call.step(1, [&](std::span<std::uint64_t> words) {
    what.visit(read);
    words[0] = read.hash();
  });
  call.require_alike(all, 1, 0, unlike);

  unless_all_goes_well.needed = false;
  values_to_their_places pass{read.kept()};
  what.visit(pass);
  return other_knobs(what.knobs, files->metadata, folder);
}

} // namespace tutti::detail
