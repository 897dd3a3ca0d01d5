// What the loops of the sync policies are given: the parts of a strategy, resolved.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/placement.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// The role of a rank in a bound strategy.
enum class role : std::uint8_t { worker, server, both };

constexpr std::string_view name(role r) noexcept {
  return r == role::worker ? "worker" : r == role::server ? "server" : "both";
}

namespace detail {

/// What a policy, a reducer and a topology promise together: the least of the three. A topology that
/// says nothing takes nothing away; one that chooses by what it has measured does.
template <class Topology>
inline constexpr determinism topology_repeats = determinism::rank_count_invariant;
template <class Topology>
  requires requires { Topology::repeats; }
inline constexpr determinism topology_repeats<Topology> = Topology::repeats;

template <class Sync, class Reducer, class Topology>
inline constexpr determinism joint_determinism =
    (std::min)((std::min)(Sync::repeats, repeats_of<Reducer>), topology_repeats<Topology>);

/// Refers to the parts; they belong to the strategy.
template <class Comm, class Topology, class Reducer, class Codec, class Sync>
struct ensemble {
  using comm_type = Comm;
  using topology_type = Topology;
  using reducer_type = Reducer;
  using codec_type = Codec;
  using sync_type = Sync;

  Comm& comm;
  const Topology& topology;
  const Reducer& reducer;
  const Codec& codec;
  const Sync& sync;
  options how;
};

/// A contiguous range, a span or a vector: one tensor without a name.
template <class Range>
concept plain_values = requires(Range& r) { std::span{r}; } &&
                       !requires(Range& r) { std::begin(r)->values; };

/// Any range of tensors, or plain values, as tensors.
template <class Range>
auto as_tensors(Range& range) {
  if constexpr (plain_values<Range>) {
    const std::span values{range};
    return std::vector{tensor<typename decltype(values)::element_type>{"values", values}};
  } else {
    using item = std::remove_cvref_t<decltype(*std::begin(range))>;
    return std::vector<item>(std::begin(range), std::end(range));
  }
}

template <class Range>
using tensor_element = std::remove_const_t<typename decltype(decltype(detail::as_tensors(
    std::declval<Range&>()))::value_type::values)::element_type>;

inline std::uint64_t hash_bytes(std::string_view text, std::uint64_t h = hash_of_nothing) {
  for (const char c : text) h = detail::hashed(h, static_cast<unsigned char>(c));
  return h;
}

/// The same for the same name and shape.
template <class Tensor>
std::uint64_t hash_of_tensor(const Tensor& t) {
  std::uint64_t h = hash_bytes(t.name) * 31 + t.values.size();
  for (const std::int64_t n : t.shape) h = detail::hashed(h, std::uint64_t(n));
  return h;
}

/// All ranks bind the same thing: the same parts, options, tensor names and shapes. Throws `mismatch` on
/// every rank, naming the first tensor that differs where that is known, and invalid_argument where one
/// has a shape that is not that of its values.
template <class Comm, class Tensors>
void verify_binding(Comm& comm, const Tensors& tensors, std::uint64_t plan, const options& how) {
  std::vector<std::uint64_t> one_each;
  std::uint64_t all_of_them = plan;
  std::uint64_t misfit = 0; // one more than the index of a tensor that does not fit its shape
  for (const auto& t : tensors) {
    one_each.push_back(hash_of_tensor(t));
    all_of_them = detail::hashed(all_of_them, one_each.back());
    if (!detail::fits_its_shape(t) && misfit == 0) misfit = one_each.size();
  }
  plan ^= type_hash<Tensors>();
  constexpr std::size_t words = 4;
  const std::uint64_t mine[words] = {tensors.size(), all_of_them, plan, misfit};
  const auto heads = detail::rendezvous(comm, "bind", mine, how.until());
  const auto disagree = [&](int other, const std::string& detail) {
    throw error{{.code = error_code::mismatch,
                 .call = "bind",
                 .rank = comm.rank(),
                 .peer = comm.rank() == other ? 0 : other,
                 .detail = detail + " - bind the same model and strategy on every rank"}};
  };
  const auto at = [](const std::vector<std::uint64_t>& v, int rank, std::size_t n, std::size_t k) {
    return v[std::size_t(rank) * n + k];
  };
  for (int r = 0; r < comm.size(); ++r)
    if (const std::uint64_t k = at(heads, r, words, 3); k != 0) {
      const bool own = r == comm.rank();
      throw error{{.code = error_code::invalid_argument,
                   .call = "bind",
                   .rank = comm.rank(),
                   .peer = r,
                   .detail = "tensor " + std::to_string(k - 1) + " of rank " + std::to_string(r) +
                             (own ? " (\"" + tensors[k - 1].name + "\") has " +
                                        std::to_string(tensors[k - 1].values.size()) +
                                        " values and the shape " + text_of_shape(tensors[k - 1])
                                  : " has another number of values than its shape") +
                             " - give the length of each dimension, the slowest first, or no shape"}};
    }
  bool differ = false;
  for (int r = 1; r < comm.size(); ++r) {
    if (at(heads, r, words, 2) != heads[2])
      disagree(r, "ranks 0 and " + std::to_string(r) +
                      " plan different runs (parts, options or element types; of federated runs also "
                      "seed, rounds and clients)");
    if (at(heads, r, words, 0) != heads[0])
      disagree(r, "rank 0 has " + std::to_string(heads[0]) + " tensors, rank " + std::to_string(r) +
                      " has " + std::to_string(at(heads, r, words, 0)));
    differ = differ || at(heads, r, words, 1) != heads[1];
  }
  if (!differ) return;
  const auto hashes = detail::rendezvous(comm, "bind", one_each, how.until());
  for (int r = 1; r < comm.size(); ++r)
    for (std::size_t k = 0; k < one_each.size(); ++k)
      if (at(hashes, r, one_each.size(), k) != hashes[k])
        disagree(r, "tensor " + std::to_string(k) + " (here \"" + tensors[k].name + "\", " +
                        text_of_shape(tensors[k]) + ") has another name or shape on rank " +
                        std::to_string(r) + " than on rank 0");
}

/// Throws `unsupported` when a loop does not carry out an answer of the sync policy: `wrong` says which
/// one, if any, and `loop` what is done instead.
inline void refuse_answer(int rank, const char* call, const char* loop, const char* wrong) {
  if (!wrong) return;
  throw error{{.code = error_code::unsupported,
               .call = call,
               .rank = rank,
               .detail = std::string{"the sync policy's "} + wrong + ", and " + loop}};
}

/// A weight that a loop would not heed is an error, and everybody's: weights differ between ranks.
template <class Comm>
void refuse_weight(Comm& comm, const char* call, const options& how, const char* why) {
  detail::check_call<Comm>(comm, call, 0, 0, how.weight == 1 ? objection{} : objection{why});
}

/// A number for what a run will do: the types of the parts, and those of their members and of the options
/// that decide who sends what when.
template <class Ensemble>
std::uint64_t plan_hash(const Ensemble& parts) {
  std::uint64_t h = type_hash<void(typename Ensemble::topology_type, typename Ensemble::reducer_type,
                                   typename Ensemble::codec_type, typename Ensemble::sync_type)>();
  const auto add = [&](std::int64_t v) { h = detail::hashed(h, std::uint64_t(v)); };
  const int size = parts.comm.size();
  add(std::int64_t(parts.how.bucket_bytes));
  add(std::int64_t(parts.how.non_finite));
  add(parts.sync.period());
  add(parts.sync.lead());
  add(parts.sync.quorum(1 << 20));
  if constexpr (schedule_topology<typename Ensemble::topology_type>)
    add(tutti::chunks_of(parts.topology, detail::layout_of(parts.comm)));
  if constexpr (requires { parts.topology.costs(); })
    for (const char c : text(parts.topology.costs())) add(c);
  if constexpr (placement_topology<typename Ensemble::topology_type>) {
    add(parts.topology.server_count(size));
    add(parts.topology.dedicates());
  }
  if constexpr (requires { parts.reducer.least_contributions(); })
    add(parts.reducer.least_contributions());
  return h;
}

/// State arrays of an optimizer over n values.
template <class T, class Optimizer>
class optimizer_state {
public:
  optimizer_state() = default;
  explicit optimizer_state(std::size_t n) {
    for (auto& slot : slots_) slot = std::vector<T>(n);
  }
  /// The state of values [offset, offset + n).
  optimizer_slots<T, slots_of<Optimizer>> piece(std::size_t offset, std::size_t n) {
    optimizer_slots<T, slots_of<Optimizer>> out;
    for (std::size_t k = 0; k < out.size(); ++k)
      out[k] = std::span<T>{slots_[k]}.subspan(offset, n);
    return out;
  }

private:
  std::array<std::vector<T>, slots_of<Optimizer>> slots_;
};

} // namespace detail
} // namespace tutti
