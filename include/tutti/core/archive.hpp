// archive: what a run needs to go on, visited by name. One visit serves saving and loading.
#pragma once

#include <tutti/core/flat_model.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tutti {

/// Whose values a visit is about. everyone: all ranks have the same values of the same place. owner: every
/// rank has its own place of one array. each: every rank has values of its own, of the same place, which
/// mean nothing on another rank. worker: as each, and a run on another number of ranks goes on without: a visit
/// that loads them there leaves what it is given as it is.
enum class held_by : std::uint8_t { everyone, owner, each, worker };

namespace detail {

/// Whether every rank has one of its own.
constexpr bool is_own(held_by whom) noexcept { return whom == held_by::each || whom == held_by::worker; }

} // namespace detail

/// Values are in coordinates of the flat model; a place may be empty. Visited in the same order, with the
/// same names, on all ranks; which ones may depend on numbers that were visited before.
class archive {
public:
  archive() = default;
  archive(const archive&) = delete;
  archive& operator=(const archive&) = delete;
  virtual ~archive() = default;

  /// Of each element of the model one value: `mine` are those of `where`.
  virtual void values(std::string_view name, std::span<float> mine, place where, held_by whom) = 0;
  virtual void values(std::string_view name, std::span<double> mine, place where, held_by whom) = 0;
  /// One number: the same on all ranks, or each rank's own; none has an owner.
  virtual void number(std::string_view name, std::int64_t& value, held_by whom) = 0;
  virtual void number(std::string_view name, double& value, held_by whom) = 0;
  void number(std::string_view name, std::int64_t& value) { number(name, value, held_by::everyone); }
  void number(std::string_view name, double& value) { number(name, value, held_by::everyone); }
};

} // namespace tutti
