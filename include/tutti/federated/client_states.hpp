// client_states: what clients keep from round to round, each at the rank where it lives, and what all of them share.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/bits.hpp>
#include <tutti/core/flat_model.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// As many values as the model has for each client that has ever been drawn, zeros at first, at rank client % size;
/// and as many that are the same on every rank. Saved with a checkpoint, client by client, and loaded by any number of
/// ranks.
template <class T>
class client_states {
public:
  client_states(std::span<const tensor<T>> model, int clients, int rank, int size)
      : rank_{rank}, size_{size}, drawn_(detail::words_for_bits(std::size_t(clients))) {
    const flat_model<T> flat{{model.begin(), model.end()}};
    for (std::size_t k = 0, begin = 0; k < flat.count(); begin += model[k].values.size(), ++k)
      tensors_.push_back({{begin, begin + model[k].values.size()}, flat.place_of(k)});
    common_.resize(flat.size());
  }

  int home_of(int client) const noexcept { return client % size_; }
  /// The same on every rank.
  void draw(int client) { drawn_[std::size_t(client) / 64] |= std::uint64_t{1} << client % 64; }
  /// Of a client that lives here.
  std::span<T> of(int client) {
    auto& values = states_[client];
    values.resize(common_.size());
    return values;
  }
  std::span<T> common() noexcept { return common_; }

  void state(archive& to) {
    for (std::size_t k = 0; k < drawn_.size(); ++k) {
      auto word = std::int64_t(drawn_[k]);
      to.number("clients drawn " + std::to_string(k), word);
      drawn_[k] = std::uint64_t(word);
    }
    for (std::size_t c = 0; c < 64 * drawn_.size(); ++c)
      if (detail::bit(drawn_, c)) {
        const bool here = home_of(int(c)) == rank_;
        visit(to, "client " + std::to_string(c), here ? of(int(c)) : std::span<T>{}, held_by::owner);
      }
    visit(to, "clients' common", common_, held_by::everyone);
  }

private:
  /// A tensor's values in the order of the model, and where they stand in a flat one.
  struct standing {
    place here, flat;
  };
  void visit(archive& to, const std::string& name, std::span<T> values, held_by whom) {
    for (const standing& t : tensors_)
      values.empty() ? to.values(name, values, place{}, whom)
                     : to.values(name, values.subspan(t.here.begin, t.here.size()), t.flat, whom);
  }

  int rank_, size_;
  std::vector<standing> tensors_;
  std::vector<std::uint64_t> drawn_; ///< a bit a client
  std::map<int, std::vector<T>> states_;
  std::vector<T> common_;
};

} // namespace tutti::detail
