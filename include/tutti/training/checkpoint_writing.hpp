// Saving: all ranks write one folder together, and it is there all at once.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/topologies/schedule.hpp>
#include <tutti/training/checkpoint_layout.hpp>
#include <tutti/training/folders.hpp>
#include <tutti/training/joint_call.hpp>
#include <tutti/training/latest.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/safetensors.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

/// This rank's part of the files, from its memory.
template <class Calls> class state_writing final : public archive_of_bytes {
public:
  using file = safetensors::basic_writer<Calls>;

  state_writing(file& model, file& state, const tensor_places& tensors, int rank, int size)
      : model_{model}, state_{state}, tensors_{tensors}, rank_{rank}, size_{size} {}

protected:
  void bytes(std::string_view name, safetensors::dtype type, std::span<std::byte> mine, place where,
             held_by whom) override {
    const std::size_t each = safetensors::bytes_of(type);
    const auto write = [&](file& to, place part, held_by as, std::size_t copy) {
      tensors_.each(part, [&](const tensor_places::one& t, place piece) {
        const std::size_t first = copy * t.where.size() + piece.begin - t.where.begin;
        to.write_bytes(to.layout().tensor(name_in_file(name, t, as)), first * each,
                       mine.subspan((piece.begin - where.begin) * each, piece.size() * each));
      });
    };
    if (is_own(whom)) {
      write(state_, where, whom, std::size_t(rank_));
      if (name.empty() && rank_ == 0) write(model_, where, held_by::everyone, 0);
      return;
    }
    place part = where;
    if (whom == held_by::everyone) {
      const shard share = shard_of(where.size(), rank_, size_);
      part = {where.begin + share.begin, where.begin + share.end};
    }
    write(name.empty() ? model_ : state_, part, whom, 0);
  }
  void number_bits(std::string_view name, safetensors::dtype, std::uint64_t& bits,
                   held_by whom) override {
    const auto mine = is_own(whom) ? std::uint64_t(rank_) : 0;
    if (is_own(whom) || rank_ == 0)
      state_.write_bytes(state_.layout().tensor(name), mine * sizeof bits,
                         std::as_bytes(std::span{&bits, 1}));
  }

private:
  file &model_, &state_;
  const tensor_places& tensors_;
  int rank_, size_;
};

/// By ranks that take part in what rank 0 has made.
inline void require_seen(const joint_call& call, const std::string& folder) {
  const std::string making = folder + std::string{partial_ending};
  if (what_is_at(call.name(), making) == found_at::nothing)
    call.refuse(error_code::transport, making + ": is not there, and rank 0 has made it - give a "
                                                "folder that all ranks see");
}

/// Those of rank 0, on all: a rate is each rank's own where ranks leave out steps by themselves.
inline std::map<std::string, std::string> knobs_of_first(joint_call& call,
                                                         const std::map<std::string, std::string>& mine) {
  std::string text;
  for (const auto& [name, value] : mine) (text += name + '\0') += value + '\0';
  call.share(text, 0);
  std::map<std::string, std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::string name = text.c_str() + at, value = text.c_str() + at + name.size() + 1;
    at += name.size() + value.size() + 2;
    out.emplace(name, value);
  }
  return out;
}

/// Collective. Whatever fails on whichever rank, all ranks throw, and what was at the path is there
/// still. Cost: one copy of the state into the system's memory, shared by the ranks, and a flush.
template <class Calls = system_calls>
void save_checkpoint(control& ranks, const checkpointed& what, std::string folder,
                     const save_options& how = {}) {
  using writer = safetensors::basic_writer<Calls>;
  joint_call call{ranks, "save", folder};
  const bool first = call.rank() == 0;
  const auto knobs = knobs_of_first(call, what.knobs);

  description_of_state content{call.name(), what.tensors};
  std::optional<safetensors::layout> model, state;
  constexpr std::size_t described = 3;
  const auto all = call.step(described, [&](std::span<std::uint64_t> words) {
    folder = folder_named(call.name(), folder);
    if (how.keep < 0)
      call.refuse(error_code::invalid_argument,
                  "save_options::keep is negative - give 0 to keep all");
    if (how.keep > 0 && !numbered_name{folder}.has_number())
      call.refuse(error_code::invalid_argument,
                  folder +
                      ": save_options::keep is given, and the name ends in no number - give one "
                      "as in step-100");
    what.visit(content);
    model.emplace(content.model(), std::map<std::string, std::string>{{"format", "pt"}});
    state.emplace(content.state(call.size()), metadata_of(knobs, call.size()));
    words[0] = content.hash();
    words[1] = content.hash_of_numbers();
    words[2] = std::uint64_t(how.keep);
  });
  call.require_alike(all, described, 0,
                     "have unlike state - bind the same model and strategy on both");
  call.require_alike(all, described, 1,
                     "have another number in their state, of which all have the "
                     "same - do the same steps on both");
  call.require_alike(all, described, 2,
                     "keep unlike numbers of checkpoints - give save_options::keep "
                     "the same value on both");

  std::optional<folder_in_making<Calls>> making;
  std::optional<writer> to_model, to_state; // taken away before their folder is
  const auto path = [&](std::string_view file) {
    return folder + std::string{partial_ending} + "/" + std::string{file};
  };
  call.step(0, [&](std::span<std::uint64_t>) {
    if (!first) return;
    making.emplace(call.name(), folder);
    to_model.emplace(path(model_file), *model);
    to_state.emplace(path(state_file), *state);
  });
  const auto written = call.step(2, [&](std::span<std::uint64_t> words) {
    if (!first) {
      require_seen(call, folder);
      to_model.emplace(writer::join(path(model_file), *model));
      to_state.emplace(writer::join(path(state_file), *state));
    }
    state_writing<Calls> pass{*to_model, *to_state, what.tensors, call.rank(), call.size()};
    what.visit(pass);
    to_model->flush();
    to_state->flush();
    words[0] = to_model->written();
    words[1] = to_state->written();
  });
  call.step(0, [&](std::span<std::uint64_t>) {
    if (!first) return;
    std::uint64_t by_others[2] = {};
    for (std::size_t k = 2; k < written.size(); ++k) by_others[k % 2] += written[k];
    to_model->publish(by_others[0]);
    to_state->publish(by_others[1]);
    making->publish();
    try {
      making->remove_old();
      if (how.keep > 0) keep_last<Calls>(call.name(), folder, how.keep);
    } catch (const error& e) {
      failure why = e.details();
      why.detail += "; " + folder + " itself is saved";
      throw error{std::move(why)};
    }
  });
}

} // namespace detail
} // namespace tutti
