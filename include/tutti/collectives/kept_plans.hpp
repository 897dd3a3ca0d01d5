// Plans are kept on the communicator that they were made for: training repeats its calls, and a call
// like an earlier one makes no plan.
#pragma once

#include <tutti/collectives/plan.hpp>
#include <tutti/communicators/operation.hpp>
#include <tutti/core/hash.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What a plan depends on, on one communicator.
struct plan_key {
  const void* topology; ///< an address that stands for its type
  std::uint64_t call;   ///< what, its root, and whether contributions are gathered
  std::size_t elements, value_bytes, accumulator_bytes;
  std::uint64_t nodes; ///< a number for which ranks share one, where the topology may ask for that
  friend bool operator==(const plan_key&, const plan_key&) = default;
};

/// The last plans that were made, as long as they are not large. Calls come in turn (a training step has one a
/// bucket), so the search begins where the last one ended. (A template for the same reason as planner.)
template <class Plan = plan>
class kept_plans final : public operations::kept {
public:
  static constexpr std::size_t most = 64, most_bytes = std::size_t{64} << 20;

  template <comparable_topology T>
  std::shared_ptr<const Plan> find(const plan_key& key, const T& topology) {
    if (at_ < entries_.size() && is(entries_[at_], key, topology)) [[likely]]
      return entries_[at_].what;
    return find_elsewhere(key, topology);
  }
  template <comparable_topology T>
  std::shared_ptr<const Plan> add(const plan_key& key, const T& topology, Plan what) {
    entry fresh{key, {}, std::make_shared<const Plan>(std::move(what))};
    if constexpr (!std::is_empty_v<T>) fresh.topology = std::make_shared<const T>(topology);
    const auto plan = fresh.what;
    const std::size_t bytes = plan->bytes();
    if (bytes > most_bytes) return plan;
    if (bytes_ + bytes > most_bytes) entries_.clear(), bytes_ = at_ = 0;
    if (entries_.size() < most) {
      entries_.push_back(std::move(fresh));
      at_ = entries_.size() - 1;
    } else {
      at_ = behind(at_);
      bytes_ -= entries_[at_].what->bytes();
      entries_[at_] = std::move(fresh);
    }
    bytes_ += bytes;
    return plan;
  }

private:
  struct entry {
    plan_key key;
    std::shared_ptr<const void> topology; ///< when it has members; of the type that the key names
    std::shared_ptr<const Plan> what;
  };
  template <class T>
  static bool is(const entry& one, const plan_key& key, const T& topology) {
    if (!(one.key == key)) return false;
    if constexpr (!std::is_empty_v<T>) return *static_cast<const T*>(one.topology.get()) == topology;
    return true;
  }
  template <class T>
  [[gnu::noinline]] std::shared_ptr<const Plan> find_elsewhere(const plan_key& key, const T& topology) {
    for (std::size_t tried = 0; tried < entries_.size(); ++tried, at_ = behind(at_))
      if (is(entries_[at_], key, topology)) return entries_[at_].what;
    return nullptr;
  }
  std::size_t behind(std::size_t k) const { return k + 1 == entries_.size() ? 0 : k + 1; }

  std::vector<entry> entries_;
  std::size_t at_ = 0, bytes_ = 0;
};

/// Where this rank stands; a communicator that knows its nodes says so by `nodes()`.
template <class Comm>
layout layout_of(const Comm& comm) {
  layout where{comm.rank(), comm.size()};
  if constexpr (requires { std::span<const int>{comm.nodes()}; }) where.group_of = comm.nodes();
  return where;
}

/// The same for the same nodes.
inline std::uint64_t hash_of_nodes(const layout& where) {
  std::uint64_t h = hash_of_nothing;
  for (const int node : where.group_of) h = detail::hashed(h, std::uint64_t(node));
  return h;
}

template <class T>
inline constexpr char address_of_type = 0;

/// Not inlined: that costs registers and stack where a plan is kept.
template <class Call, schedule_topology T>
[[gnu::noinline]] std::shared_ptr<const plan> fresh_plan(const Call& call, const T& topology, bool gathers,
                                                         kept_plans<>* kept, const plan_key& key) {
  plan made = detail::make_plan(topology, call.what, call.root, detail::layout_of(call.comm), call.data.n, gathers,
                                call.work.math);
  if constexpr (comparable_topology<T>)
    if (kept) return kept->add(key, topology, std::move(made));
  return std::make_shared<const plan>(std::move(made));
}

/// This rank's plan of a collective_call, made or kept. Lossy codecs may have state, and are not compared.
template <class Call, schedule_topology T>
std::shared_ptr<const plan> plan_for(const Call& call, const T& topology, bool gathers) {
  const arithmetic& math = call.work.math;
  kept_plans<>* kept = nullptr;
  plan_key key{};
  if constexpr (comparable_topology<T>)
    if (math.exact) {
      auto& slot = call.comm.in_flight().kept_between_calls;
      if (!slot) slot = std::make_unique<kept_plans<>>();
      kept = static_cast<kept_plans<>*>(slot.get());
      key = {&address_of_type<T>, std::uint64_t(call.root) << 32 | std::uint64_t(call.what) << 1 | gathers,
             call.data.n, math.value_bytes, math.accumulator_bytes, 0};
      if constexpr (measured_by_layout<T>) key.nodes = detail::hash_of_nodes(detail::layout_of(call.comm));
      if (auto found = kept->find(key, topology)) return found;
    }
  return detail::fresh_plan(call, topology, gathers, kept, key);
}

} // namespace tutti::detail
