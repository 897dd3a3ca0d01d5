// A topology chosen at run time, so that a test compiles its calls once and not once a topology.
#pragma once

#include "topologies/every_topology.hpp"

#include <iterator>
#include <type_traits>
#include <variant>

namespace trial {

template <class... T> struct named_topology {
  const char* name;
  std::variant<T...> topology;
};

/// Those that fold pairwise, and those on which all contributions meet.
inline const named_topology<
    tutti::ring, tutti::recursive_doubling, tutti::halving_doubling, tutti::binomial_tree,
    tutti::k_nomial_tree, tutti::double_tree, tutti::bruck, tutti::pat, tutti::torus,
    tutti::hierarchical<>, tutti::pipelined<tutti::ring>, tutti::pipelined<tutti::binomial_tree>,
    tutti::pipelined<tutti::halving_doubling>, tutti::pipelined<tutti::recursive_doubling>,
    tutti::pipelined<tutti::double_tree>>
    pairwise[] = {
        {"ring", tutti::ring{}},
        {"recursive_doubling", tutti::recursive_doubling{}},
        {"halving_doubling", tutti::halving_doubling{}},
        {"binomial_tree", tutti::binomial_tree{}},
        {"k_nomial_tree", tutti::k_nomial_tree{3}},
        {"double_tree", tutti::double_tree{}},
        {"bruck", tutti::bruck{}},
        {"pat", tutti::pat{.aggregated = 2}},
        {"torus", tutti::torus{}},
        {"hierarchical, nodes of 2", tutti::hierarchical<>{.group = 2}},
        {"ring in 2 segments", tutti::pipelined{tutti::ring{}, 2}},
        {"binomial_tree in 3 segments", tutti::pipelined{tutti::binomial_tree{}, 3}},
        {"halving_doubling in 2 segments", tutti::pipelined{tutti::halving_doubling{}, 2}},
        {"recursive_doubling in 5 segments", tutti::pipelined{tutti::recursive_doubling{}, 5}},
        {"double_tree in 4 segments", tutti::pipelined{tutti::double_tree{}, 4}}};
inline const named_topology<tutti::direct, tutti::star, tutti::one_shot,
                            tutti::pipelined<tutti::direct>>
    meeting[] = {{"direct", tutti::direct{}},
                 {"star", tutti::star{}},
                 {"star of 2", tutti::star{.servers = 2}},
                 {"star of 64", tutti::star{.servers = 64}},
                 {"one_shot", tutti::one_shot{}},
                 {"direct in 3 segments", tutti::pipelined{tutti::direct{}, 3}}};

template <bool Meets> constexpr int kinds = Meets ? std::size(meeting) : std::size(pairwise);

template <bool Meets> const char* kind_name(int kind) {
  return Meets ? meeting[kind].name : pairwise[kind].name;
}

template <bool Meets, class Use> auto with_kind(int kind, Use&& use) {
  if constexpr (Meets) return std::visit(use, meeting[kind].topology);
  else return std::visit(use, pairwise[kind].topology);
}

/// It says that it gives everything: ask carried().
template <bool Meets> struct chosen {
  using part = tutti::topology_part;
  static constexpr bool gathers = Meets;

  int kind = 0;

  static constexpr bool gives(tutti::collective) { return true; }
  int chunks(const tutti::layout& where) const {
    return with_kind<Meets>(kind, [&](const auto& t) { return tutti::chunks_of(t, where); });
  }
  int rounds(tutti::collective what, const tutti::layout& where) const {
    return with_kind<Meets>(kind, [&](const auto& t) { return tutti::rounds_of(t, what, where); });
  }
  template <class Emit>
  void schedule(tutti::collective what, int root, const tutti::layout& where, Emit&& emit) const {
    with_kind<Meets>(kind, [&](const auto& t) { tutti::visit(t, what, root, where, emit); });
  }
  tutti::traffic traffic(tutti::collective what, int root, const tutti::layout& where,
                         std::size_t n) const {
    return with_kind<Meets>(
        kind, [&](const auto& t) { return tutti::traffic_of(t, what, root, where, n); });
  }
  bool carried(tutti::collective what) const {
    return with_kind<Meets>(kind, [&](const auto& t) {
      return tutti::carries<std::remove_cvref_t<decltype(t)>>(what);
    });
  }
};

} // namespace trial
