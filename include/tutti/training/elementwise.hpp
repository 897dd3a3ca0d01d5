// What trainers do with values beside the steps of optimizers, described as these are: one element at a time
// (optimizers/optimizer.hpp). The loops are those of a memory's update(), so each is written once.
#pragma once

#include <tutti/core/config.hpp>
#include <tutti/core/execution.hpp>
#include <tutti/core/rounded.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace tutti::detail {

/// Takes what was agreed on as it is: the outer step of policies that average parameters.
struct taken_as_it_is {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 0> slots{};

  template <class T>
  taken_as_it_is at(std::int64_t /*step*/) const {
    return {};
  }
  template <class T>
  TUTTI_HD void operator()(const rounding&, T& p, T agreed, T*) const {
    p = agreed;
  }
};

/// How far a value has come away from what was agreed on: p = agreed - p.
struct departed_from {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 0> slots{};

  template <class T>
  departed_from at(std::int64_t /*step*/) const {
    return {};
  }
  template <class T>
  TUTTI_HD void operator()(const rounding&, T& p, T agreed, T*) const {
    p = agreed - p;
  }
};

/// A share of the way from what was agreed on is kept: p = agreed + share (p - agreed).
struct keeps_a_share {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 0> slots{};
  double share;

  template <class T>
  keeps_a_share at(std::int64_t /*step*/) const {
    return *this;
  }
  template <class T>
  TUTTI_HD void operator()(const rounding& rounded, T& p, T agreed, T*) const {
    p = agreed + rounded(static_cast<T>(share) * (p - agreed));
  }
};

/// An estimate of all ranks' mean gradient moves by what has become of this rank's own.
struct tracks_own {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 1> slots{"last"};

  template <class T>
  tracks_own at(std::int64_t /*step*/) const {
    return {};
  }
  template <class T>
  TUTTI_HD void operator()(const rounding&, T& tracked, T own, T* last) const {
    tracked += own - last[0];
    last[0] = own;
  }
};

/// An outer gradient also leads towards those that this rank was mixed with: g += by (own - mixed).
struct pulls_towards {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 1> slots{"mixed"};
  double by;

  template <class T>
  pulls_towards at(std::int64_t /*step*/) const {
    return *this;
  }
  template <class T>
  TUTTI_HD void operator()(const rounding& rounded, T& gradient, T own, T* mixed) const {
    gradient += rounded(static_cast<T>(by) * (own - mixed[0]));
  }
};

} // namespace tutti::detail
