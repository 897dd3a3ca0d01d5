// A topology chosen at run time, so that a test compiles its calls once and not once a topology.
#pragma once

#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>

#include <type_traits>

namespace trial {

/// How many topologies fold pairwise, and on how many all contributions meet.
template <bool Meets> constexpr int kinds = Meets ? 5 : 8;

template <bool Meets> constexpr const char* kind_name(int kind) {
  constexpr const char* pairwise[] = {"ring",
                                      "recursive_doubling",
                                      "halving_doubling",
                                      "binomial_tree",
                                      "ring in 2 segments",
                                      "binomial_tree in 3 segments",
                                      "halving_doubling in 2 segments",
                                      "recursive_doubling in 5 segments"};
  constexpr const char* meeting[] = {"direct", "star", "star of 2", "star of 64",
                                     "direct in 3 segments"};
  return Meets ? meeting[kind] : pairwise[kind];
}

template <bool Meets, class Use> auto with_kind(int kind, Use&& use) {
  if constexpr (Meets) {
    switch (kind) {
    case 0:
      return use(tutti::direct{});
    case 1:
      return use(tutti::star{});
    case 2:
      return use(tutti::star{.servers = 2});
    case 3:
      return use(tutti::star{.servers = 64});
    default:
      return use(tutti::pipelined{tutti::direct{}, 3});
    }
  } else {
    switch (kind) {
    case 0:
      return use(tutti::ring{});
    case 1:
      return use(tutti::recursive_doubling{});
    case 2:
      return use(tutti::halving_doubling{});
    case 3:
      return use(tutti::binomial_tree{});
    case 4:
      return use(tutti::pipelined{tutti::ring{}, 2});
    case 5:
      return use(tutti::pipelined{tutti::binomial_tree{}, 3});
    case 6:
      return use(tutti::pipelined{tutti::halving_doubling{}, 2});
    default:
      return use(tutti::pipelined{tutti::recursive_doubling{}, 5});
    }
  }
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
