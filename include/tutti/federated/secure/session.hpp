// session: what everybody in one secure sum has agreed on before it begins.
#pragma once

#include <tutti/federated/secure/keys.hpp>
#include <tutti/federated/secure/neighbours.hpp>
#include <tutti/federated/secure/ring.hpp>
#include <tutti/federated/secure/shamir.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tutti::secure {

/// Of one sum; the same for all who take part.
struct settings {
  int clients = 0;          ///< named 0 .. clients - 1
  std::size_t values = 0;   ///< words of each
  int word_bits = 64;       ///< 32 or 64
  int neighbours = 0;       ///< of each client, an even number; 0 for all others
  int threshold = 0;        ///< of them, who are needed to take its masks away; 0 for more than half
  std::uint64_t seed = 1;   ///< with `round` what the graph is drawn by; not a secret
  std::uint32_t round = 0;
};

/// How many neighbours a client has, and how many of them are needed.
constexpr int degree_of(const settings& how) noexcept {
  return how.neighbours == 0 || how.neighbours >= how.clients ? how.clients - 1 : how.neighbours;
}
constexpr int threshold_of(const settings& how) noexcept {
  return how.threshold == 0 ? secure::degree_of(how) / 2 + 1 : how.threshold;
}

/// What cannot work about them; empty when all can. A threshold of 1 would give every neighbour the masks.
inline std::string wrong_settings(const settings& how) {
  const int degree = secure::degree_of(how), threshold = secure::threshold_of(how);
  if (how.clients < 3)
    return "a secure sum of " + std::to_string(how.clients) +
           " clients hides nobody from the others - give at least 3";
  if (how.word_bits != 32 && how.word_bits != 64) return "words of a secure sum have 32 or 64 bits";
  if (how.neighbours < 0 || (degree != how.clients - 1 && degree % 2 != 0))
    return "the neighbours of a secure sum are an even number of clients, or 0 for all of them";
  if (threshold < 2 || threshold > degree)
    return "the threshold of a secure sum is " + std::to_string(threshold) + " of " + std::to_string(degree) +
           " neighbours - give at least 2, and at most all of them";
  return {};
}

/// Drawn once, and referred to by all machines of one process that are in it.
class session {
public:
  /// Throws invalid_argument for settings that cannot work.
  explicit session(const settings& how) : how_{checked(how)}, graph_{how.clients, how.neighbours, how.seed, how.round} {
    std::array<std::uint8_t, 32> all{};
    detail::derivation{{}, "tutti secure sum 1: session"}
        .with(std::uint64_t(how.clients))
        .with(how.values)
        .with(std::uint64_t(how.word_bits))
        .with(std::uint64_t(graph_.degree()))
        .with(std::uint64_t(threshold()))
        .with(how.seed)
        .with(how.round)
        .into(all);
    for (std::size_t k = 0; k < name_.size(); ++k) name_[k] = all[k];
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  int clients() const noexcept { return how_.clients; }
  std::size_t values() const noexcept { return how_.values; }
  int word_bits() const noexcept { return how_.word_bits; }
  int threshold() const noexcept { return secure::threshold_of(how_); }
  const neighbour_graph& graph() const noexcept { return graph_; }
  /// In every message, and in the derivation of every key.
  bytes_view name() const noexcept { return name_; }

private:
  static const settings& checked(const settings& how) {
    detail::require_sodium();
    if (std::string wrong = secure::wrong_settings(how); !wrong.empty())
      detail::refuse(error_code::invalid_argument, std::move(wrong));
    return how;
  }

  settings how_;
  neighbour_graph graph_;
  std::array<std::uint8_t, 16> name_{};
};

} // namespace tutti::secure
