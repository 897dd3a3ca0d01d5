// What one execution of a plan works on.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/collectives/call_word.hpp>
#include <tutti/communicators/communicator.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tutti::detail {

/// Made by a call; an execution takes it over.
struct task {
  /// On `data`, of a public call. (A constructor: an aggregate would be cleared as a whole, by every call.)
  explicit task(const char* c, std::byte* data = nullptr) : call{c}, in{data}, out{data} {}

  const char* call;              ///< the public call, for errors
  std::uint64_t word = 0;        ///< stands for it in the history of calls
  const call_name* name = nullptr;
  arithmetic math;
  const std::byte* in;           ///< where `publish` reads; `out` but for collectives that move blocks
  std::byte* out;                ///< the caller's data, where everything else happens
  double weight = 1.0;           ///< of this rank's contribution
  double total = 1.0;            ///< of all contributions
  std::vector<double> weights = {}; ///< of each rank; empty when all are 1
  bool keep_gathered = false;    ///< leave gathered contributions as they came, for gathered()
  std::unique_ptr<std::byte[]> own = {}; ///< data of a call that was given none
  traffic sent = {};             ///< what messages would carry, for communicators that ask
};

} // namespace tutti::detail
