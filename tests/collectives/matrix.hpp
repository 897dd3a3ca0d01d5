// Every collective against collectives/reference.hpp, bit for bit, on inputs whose exact result is
// representable, so that no order of folding can change it. Templates on the communicator: the same
// code runs on threads (tests/collectives) and under MPI (tests/mpi).
#pragma once

#include "collectives/inputs.hpp"
#include "communicators/report.hpp"
#include "topologies/chosen.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/reference.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace matrix {

using tutti::collective;
namespace reference = tutti::reference;

inline tutti::options patient() {
  return {.timeout = std::chrono::seconds{60}};
}

/// Data that does not begin where memory does.
struct moved_by_one {
  std::vector<float> longer;
  float* data() { return longer.data() + 1; }
  std::size_t size() const { return longer.size() - 1; }
  float* begin() { return data(); }
  float* end() { return data() + size(); }
};

/// What `got` has to be, to the last bit; names the first element that is not.
inline void same_bytes(report& r, std::span<const std::byte> got,
                       std::span<const std::byte> expected, std::size_t element,
                       const std::string& what) {
  if (got.size() != expected.size()) {
    r.check(false, what + ": " + std::to_string(got.size()) + " bytes, not " +
                       std::to_string(expected.size()));
    return;
  }
  std::size_t at = 0;
  while (at < got.size() && got[at] == expected[at]) ++at;
  r.check(at == got.size(), [&] {
    return what + ": element " + std::to_string(at / element) + " of " +
           std::to_string(got.size() / element) + " differs";
  });
}
template <class Got, class T>
void same(report& r, Got&& got, const std::vector<T>& expected, const std::string& what) {
  same_bytes(r, std::as_bytes(std::span{got}), std::as_bytes(std::span{expected}), sizeof(T), what);
}

// --- (a) every topology and collective ----------------------------------------------------------

/// The collectives that T carries, in both forms, with ranks' data of n floats.
template <class Comm, class... Topology>
void carried(Comm& comm, report& r, const std::string& name, std::size_t n, int root,
             const Topology&... topology) {
  const auto me = std::size_t(comm.rank());
  const auto all = inputs<tutti::sum, float>(comm.size(), n);
  const auto how = patient();
  const auto label = [&](const char* call) {
    return name + " " + call + " n=" + std::to_string(n) + " root=" + std::to_string(root);
  };
  const auto carries = []([[maybe_unused]] collective what) {
    return (tutti::detail::carries_or_default<Topology>(what) && ...);
  };
  // Of a topology that was chosen at run time, only itself knows.
  const auto lacks = [&](collective what) {
    if constexpr ((requires { topology.carried(what); } && ...) && sizeof...(Topology) > 0)
      return !(topology.carried(what) && ...);
    else return false;
  };
  if constexpr (carries(collective::all_reduce))
    if (!lacks(collective::all_reduce)) {
      const auto expected = reference::all_reduce(all, tutti::sum{})[me];
      auto mine = all[me], later = all[me];
      tutti::all_reduce(comm, mine, topology..., how);
      tutti::async_all_reduce(comm, later, topology..., how).wait();
      same(r, mine, expected, label("all_reduce"));
      same(r, later, expected, label("async_all_reduce"));
    }
  if constexpr (carries(collective::reduce_scatter))
    if (!lacks(collective::reduce_scatter)) {
      const auto expected = reference::reduce_scatter(all, tutti::sum{})[me];
      auto mine = all[me], later = all[me];
      const auto shard = tutti::shard_of(n, comm.rank(), comm.size());
      same(r, tutti::reduce_scatter(comm, mine, topology..., how), expected,
           label("reduce_scatter"));
      tutti::async_reduce_scatter(comm, later, topology..., how).wait();
      same(r, std::span{later}.subspan(shard.begin, shard.end - shard.begin), expected,
           label("async_reduce_scatter"));
    }
  if constexpr (carries(collective::reduce))
    if (!lacks(collective::reduce)) {
      const auto expected = reference::reduce(all, tutti::sum{}, root)[me];
      auto mine = all[me], later = all[me];
      tutti::reduce(comm, mine, root, topology..., how);
      tutti::async_reduce(comm, later, root, topology..., how).wait();
      if (comm.rank() == root) same(r, mine, expected, label("reduce"));
      if (comm.rank() == root) same(r, later, expected, label("async_reduce"));
    }
  if constexpr (carries(collective::broadcast))
    if (!lacks(collective::broadcast)) {
      const auto expected = reference::broadcast(all, root)[me];
      auto mine = all[me], later = all[me];
      tutti::broadcast(comm, mine, root, topology..., how);
      tutti::async_broadcast(comm, later, root, topology..., how).wait();
      same(r, mine, expected, label("broadcast"));
      same(r, later, expected, label("async_broadcast"));
    }
  if constexpr (carries(collective::all_gather))
    if (!lacks(collective::all_gather)) {
      const auto expected = reference::all_gather(reference::shards(all[0], comm.size()))[me];
      const auto shard = tutti::shard_of(n, comm.rank(), comm.size());
      std::vector<float> mine(n, -1.0f), later;
      for (std::size_t i = shard.begin; i < shard.end; ++i) mine[i] = all[0][i];
      later = mine;
      tutti::all_gather(comm, mine, topology..., how);
      tutti::async_all_gather(comm, later, topology..., how).wait();
      same(r, mine, expected, label("all_gather"));
      same(r, later, expected, label("async_all_gather"));
    }
}

// --- without messages: slots, everyone's memory, stages ------------------------------------------

/// The five collectives on data that `make(values)` puts into memory of some kind.
template <class Comm, class Make>
void in_memory(Comm& comm, report& r, const std::string& name, std::size_t n, int root,
               const Make& make) {
  const auto me = std::size_t(comm.rank());
  const auto all = inputs<tutti::sum, float>(comm.size(), n);
  const auto how = patient();
  const auto label = [&](const char* call) {
    return name + " " + call + " n=" + std::to_string(n) + " root=" + std::to_string(root);
  };
  const auto shard = tutti::shard_of(n, comm.rank(), comm.size());
  for (const bool later : {false, true}) {
    auto sum = make(all[me]), scattered = make(all[me]), at_root = make(all[me]);
    auto from_root = make(all[me]);
    std::vector<float> own(n, -1.0f);
    for (std::size_t i = shard.begin; i < shard.end; ++i) own[i] = all[0][i];
    auto gathered = make(own);
    if (later) {
      std::vector<tutti::request> requests;
      requests.push_back(tutti::async_all_reduce(comm, sum, how));
      requests.push_back(tutti::async_reduce_scatter(comm, scattered, how));
      requests.push_back(tutti::async_reduce(comm, at_root, root, how));
      requests.push_back(tutti::async_broadcast(comm, from_root, root, how));
      requests.push_back(tutti::async_all_gather(comm, gathered, how));
      for (std::size_t k = 0; k < 5; ++k) requests[comm.rank() % 2 == 0 ? k : 4 - k].wait();
    } else {
      tutti::all_reduce(comm, sum, how);
      (void)tutti::reduce_scatter(comm, scattered, how);
      tutti::reduce(comm, at_root, root, how);
      tutti::broadcast(comm, from_root, root, how);
      tutti::all_gather(comm, gathered, how);
    }
    same(r, sum, reference::all_reduce(all, tutti::sum{})[me], label("all_reduce"));
    same(r, std::span{scattered}.subspan(shard.begin, shard.end - shard.begin),
         reference::reduce_scatter(all, tutti::sum{})[me], label("reduce_scatter"));
    if (comm.rank() == root)
      same(r, at_root, reference::reduce(all, tutti::sum{}, root)[me], label("reduce"));
    same(r, from_root, reference::broadcast(all, root)[me], label("broadcast"));
    same(r, gathered, reference::all_gather(reference::shards(all[0], comm.size()))[me],
         label("all_gather"));
  }
}

/// Lengths on both sides of what fits a line and a slot; where there are stages, several windows of
/// one on 2 and 3 ranks.
template <class Comm> void in_every_memory(Comm& comm, report& r) {
  const auto p = std::size_t(comm.size());
  constexpr std::size_t in_line = tutti::detail::signal_line::room / sizeof(float),
                        in_slot = tutti::detail::signals::slot_bytes / sizeof(float);
  std::vector<std::size_t> lengths{0,   1,   p - 1,   p,           p + 1, in_line, in_line + 1,
                                   256, 257, in_slot, in_slot + 1, 2048,  2049};
  if constexpr (requires { comm.stages(); })
    if (p == 2 || p == 3) lengths.push_back(200001);
  for (const std::size_t n : lengths)
    for (int root = 0; root < comm.size(); root += (p > 1 ? comm.size() - 1 : 1)) {
      in_memory(comm, r, "private", n, root,
                [](const std::vector<float>& values) { return values; });
      in_memory(comm, r, "symmetric", n, root, [&](const std::vector<float>& values) {
        auto buffer = comm.template allocate<float>(values.size());
        std::copy(values.begin(), values.end(), buffer.begin());
        return buffer;
      });
      in_memory(comm, r, "at an odd place", n, root, [](const std::vector<float>& values) {
        std::vector<float> longer(1);
        longer.insert(longer.end(), values.begin(), values.end());
        return moved_by_one{std::move(longer)};
      });
    }
}

/// all_reduce alone.
template <class Comm, class Topology>
void folded(Comm& comm, report& r, const std::string& name, std::size_t n, const Topology& t) {
  const auto all = inputs<tutti::sum, float>(comm.size(), n);
  auto mine = all[std::size_t(comm.rank())];
  tutti::all_reduce(comm, mine, t, patient());
  same(r, mine, reference::reduction(all, tutti::sum{}), name + " n=" + std::to_string(n));
}

/// Those that need no topology, with blocks of n ints.
template <class Comm> void blocks(Comm& comm, report& r, std::size_t n, int root) {
  const auto me = std::size_t(comm.rank());
  const auto p = std::size_t(comm.size());
  const auto how = patient();
  const auto label = [&](const char* call) {
    return std::string{call} + " n=" + std::to_string(n) + " root=" + std::to_string(root);
  };
  const auto part = inputs<tutti::sum, int>(comm.size(), n);
  const auto whole = inputs<tutti::sum, int>(comm.size(), n * p);
  {
    std::vector<int> all(n * p);
    tutti::all_gather(comm, part[me], all, how);
    same(r, all, reference::all_gather(part)[me], label("all_gather of blocks"));
  }
  for (const bool later : {false, true}) {
    std::vector<int> all(comm.rank() == root ? n * p : 0);
    if (later) tutti::async_gather(comm, part[me], all, root, how).wait();
    else tutti::gather(comm, part[me], all, root, how);
    same(r, all, reference::gather(part, root)[me], label("gather"));
  }
  for (const bool later : {false, true}) {
    std::vector<int> mine(n);
    if (later) tutti::async_scatter(comm, whole[me], mine, root, how).wait();
    else tutti::scatter(comm, whole[me], mine, root, how);
    same(r, mine, reference::scatter(whole, root)[me], label("scatter"));
  }
  for (const bool later : {false, true}) {
    std::vector<int> all(n * p);
    if (later) tutti::async_all_to_all(comm, whole[me], all, how).wait();
    else tutti::all_to_all(comm, whole[me], all, how);
    same(r, all, reference::all_to_all(whole)[me], label("all_to_all"));
  }
}

/// Calls use(n, root) for every length of (a), and two roots.
template <class Comm, class Use> void every_length(Comm& comm, Use&& use) {
  const auto p = std::size_t(comm.size());
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, p - 1, p, p + 1, std::size_t{1000}})
    for (int root = 0; root < comm.size(); root += (p > 1 ? comm.size() - 1 : 1)) use(n, root);
}

template <class Comm> void every_topology(Comm& comm, report& r) {
  every_length(comm, [&](std::size_t n, int root) {
    // Without messages, where ranks reach each other's memory; in_every_memory() has more of it.
    carried(comm, r, "the default", n, root);
    folded(comm, r, "direct", n, tutti::direct{});
    folded(comm, r, "star", n, tutti::star{});
    folded(comm, r, "one_shot", n, tutti::one_shot{});
    // By messages.
    for (int k = 0; k < trial::kinds<true>; ++k)
      carried(comm, r, trial::kind_name<true>(k), n, root, trial::chosen<true>{k});
    for (int k = 0; k < trial::kinds<false>; ++k)
      carried(comm, r, trial::kind_name<false>(k), n, root, trial::chosen<false>{k});
    blocks(comm, r, n, root);
  });
  tutti::barrier(comm, patient());
  tutti::async_barrier(comm, patient()).wait();
}

// --- (b) every element and reducer --------------------------------------------------------------

/// all_reduce of n elements T by R on a topology.
template <class T, class R, class Topology, class Comm>
void reduced(Comm& comm, report& r, const char* what, std::size_t n) {
  if constexpr (requires { R{}.least_contributions(); })
    if (comm.size() < R{}.least_contributions()) return;
  const auto all = inputs<R, T>(comm.size(), n);
  auto how = patient();
  std::vector<double> weights;
  if constexpr (tutti::is_weighted<R>)
    for (int k = 0; k < comm.size(); ++k) weights.push_back(weight_of(k));
  if constexpr (tutti::is_weighted<R>) how.weight = weight_of(comm.rank());
  auto mine = all[std::size_t(comm.rank())];
  tutti::all_reduce(comm, mine, R{}, Topology{}, how);
  same(r, mine, reference::reduction(all, R{}, weights),
       std::string{what} + " of " + std::string{tutti::element_name<T>} +
           " n=" + std::to_string(n));
}

/// R over T on `direct`, and on `ring` if it folds.
template <class T, class R, class Comm>
void element_and_reducer(Comm& comm, report& r, const char* name) {
  if constexpr (tutti::accepts_element<R, T>) {
    reduced<T, R, tutti::direct>(comm, r, name, 1000);
    if constexpr (tutti::folding_reducer<R, T>) reduced<T, R, tutti::ring>(comm, r, name, 1000);
  }
}

/// Every reducer in slots, and in place.
template <class R, class T, class Comm> void in_place(Comm& comm, report& r, const char* name) {
  if constexpr (tutti::accepts_element<R, T>)
    for (const std::size_t n : {std::size_t{700}, std::size_t{9000}})
      reduced<T, R, tutti::one_shot>(comm, r, name, n);
}

template <class T, class Comm> void every_reducer(Comm& comm, report& r) {
  element_and_reducer<T, tutti::sum>(comm, r, "sum");
  element_and_reducer<T, tutti::product>(comm, r, "product");
  element_and_reducer<T, tutti::min>(comm, r, "min");
  element_and_reducer<T, tutti::max>(comm, r, "max");
  element_and_reducer<T, tutti::mean>(comm, r, "mean");
  element_and_reducer<T, tutti::weighted_mean>(comm, r, "weighted_mean");
  element_and_reducer<T, tutti::median>(comm, r, "median");
  element_and_reducer<T, tutti::trimmed_mean>(comm, r, "trimmed_mean");
  in_place<tutti::sum, T>(comm, r, "sum in place");
  in_place<tutti::weighted_mean, T>(comm, r, "weighted_mean in place");
  in_place<tutti::median, T>(comm, r, "median in place");
}

// --- (c) long data, and several at a time -------------------------------------------------------

template <class Comm> void long_data(Comm& comm, report& r) {
  constexpr std::size_t n = 1048577;
  reduced<float, tutti::sum, tutti::ring>(comm, r, "sum on ring", n);
  reduced<float, tutti::sum, tutti::recursive_doubling>(comm, r, "sum on recursive_doubling", n);
  reduced<float, tutti::sum, tutti::halving_doubling>(comm, r, "sum on halving_doubling", n);
  reduced<float, tutti::sum, tutti::binomial_tree>(comm, r, "sum on binomial_tree", n);
  reduced<float, tutti::sum, tutti::star>(comm, r, "sum on star", n);
  reduced<float, tutti::sum, tutti::direct>(comm, r, "sum on direct", n);
  reduced<tutti::bfloat16, tutti::mean, tutti::ring>(comm, r, "mean on ring", n);
  reduced<tutti::bfloat16, tutti::mean, tutti::direct>(comm, r, "mean on direct", n);
}

/// Collectives of different kinds in flight together, waited for in another order on every other
/// rank.
template <class Comm> void several_in_flight(Comm& comm, report& r) {
  constexpr std::size_t n = 5000;
  const auto me = std::size_t(comm.rank());
  const auto all = inputs<tutti::sum, float>(comm.size(), n);
  const auto expected = reference::reduction(all, tutti::sum{});
  for (int turn = 0; turn < 10; ++turn) {
    auto a = all[me], b = all[me], c = all[me], d = all[me];
    std::vector<tutti::request> requests;
    requests.push_back(tutti::async_all_reduce(comm, a, tutti::ring{}, patient()));
    requests.push_back(tutti::async_all_reduce(comm, b, tutti::direct{}, patient()));
    requests.push_back(tutti::async_broadcast(comm, c, turn % comm.size(), patient()));
    requests.push_back(tutti::async_all_reduce(comm, d, tutti::binomial_tree{}, patient()));
    for (std::size_t k = 0; k < 4; ++k) requests[comm.rank() % 2 == 0 ? k : 3 - k].wait();
    same(r, a, expected, "ring among four");
    same(r, b, expected, "direct among four");
    same(r, c, all[std::size_t(turn % comm.size())], "broadcast among four");
    same(r, d, expected, "binomial_tree among four");
  }
}

/// What a shorter wire can hold arrives unharmed.
template <class Comm> void shorter_wire(Comm& comm, report& r) {
  const auto me = std::size_t(comm.rank());
  const auto all = inputs<tutti::sum, float>(comm.size(), 1000);
  const auto expected = reference::reduction(all, tutti::sum{});
  const auto on = [&](auto topology, const char* name) {
    auto mine = all[me];
    tutti::all_reduce(comm, mine, topology, tutti::cast<tutti::bfloat16>{}, patient());
    same(r, mine, expected, name);
  };
  on(tutti::ring{}, "cast<bfloat16> on ring");
  on(tutti::direct{}, "cast<bfloat16> on direct");
  on(tutti::star{}, "cast<bfloat16> on star");
  on(tutti::halving_doubling{}, "cast<bfloat16> on halving_doubling");
}

} // namespace matrix
