// What every collective call begins with: its parts, its checks, and running to the end.
#pragma once

#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/checks.hpp>
#include <tutti/collectives/executor.hpp>
#include <tutti/collectives/kept_plans.hpp>
#include <tutti/reducers/elementary.hpp>

#include <string>
#include <type_traits>
#include <utility>

namespace tutti {

/// Elements [begin, end) of n that belong to `rank` in reduce_scatter and all_gather.
struct shard {
  std::size_t begin;
  std::size_t end;
};
constexpr shard shard_of(std::size_t n, int rank, int size) noexcept {
  return {partition::even(n, size, rank), partition::even(n, size, rank + 1)};
}

namespace detail {

template <class Data>
using span_of = decltype(std::span{std::declval<Data&>()});
template <class Data>
using element_of = typename span_of<Data>::value_type;

/// A number for a type, the same on every rank that runs the same binary.
template <class T>
constexpr std::uint64_t type_hash() {
  std::uint64_t h = 14695981039346656037u;
#if defined(__GNUC__)
  for (const char* c = __PRETTY_FUNCTION__; *c != '\0'; ++c)
    h = (h ^ static_cast<unsigned char>(*c)) * 1099511628211u;
#endif
  return h;
}

/// On a verifying communicator: all ranks make the same call.
template <class Comm, class... Types>
void verify_call(Comm& comm, const char* call, std::size_t n, int root) {
  if constexpr (verifying_communicator<Comm>) {
    const std::uint64_t numbers[] = {n, type_hash<void(Types...)>(), std::uint64_t(root)};
    comm.verify(call, numbers);
  }
}

/// Runs one execution to its end on this stack.
template <class Comm>
void run_now(Comm& comm, execution<Comm>& what) {
  struct entered {
    operations& all;
    operation& one;
    ~entered() { all.leave(one); }
  } guard{comm.in_flight(), what};
  guard.all.enter(what);
  guard.all.wait(what);
}

[[noreturn]] inline void reject(const char* call, int rank, std::string detail) {
  throw error{{.code = error_code::invalid_argument,
               .call = call,
               .rank = rank,
               .detail = std::move(detail)}};
}

inline void check_root(const char* call, int root, int rank, int size) {
  if (root < 0 || root >= size)
    detail::reject(call, rank, "root is " + std::to_string(root) + ", ranks are 0 to " +
                                   std::to_string(size - 1));
}

template <class... Parts>
struct call_sentences {
  static_assert(count_parts<sync_part, Parts...> + count_parts<communicator_part, Parts...> == 0,
                "tutti: a collective takes a reducer, a topology, a codec and tutti::options - sync "
                "policies belong to a tutti::strategy");
};

/// The parts of a call, each as it was given or as its default.
template <class... Parts>
struct call_parts {
  using reducer = std::remove_cvref_t<part_type<reducer_part, sum, Parts...>>;
  using topology = std::remove_cvref_t<part_type<topology_part, default_topology, Parts...>>;
  using codec = std::remove_cvref_t<part_type<codec_part, identity, Parts...>>;
};

} // namespace detail
} // namespace tutti
