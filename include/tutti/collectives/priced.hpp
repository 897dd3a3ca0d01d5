// priced, automatic: the topology of a call is the one that costs least, by the numbers of this
// machine.
//
//   tutti::all_reduce(comm, data, tutti::automatic{comm});      measures, and tells all ranks
//   std::puts(text(measured.costs()).c_str());                  to be kept ...
//   tutti::priced again{tutti::machine_cost_from(line)};        ... and given to later runs
//
// Not in <tutti/tutti.hpp>: a call that may take any of several topologies is compiled for all of
// them.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/cost.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/k_nomial_tree.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/ring.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

namespace tutti {

namespace detail {

template <class T> struct named_topology {
  const char* name;
  T topology;
};
template <class T> named_topology(const char*, T) -> named_topology<T>;

/// What a collective may choose among; the first wins where prices are equal.
template <collective What, bool MustMeet> constexpr auto candidates() {
  const named_topology direct_{"direct", direct{}};
  const named_topology star_{"star", star{}};
  if constexpr (What == collective::broadcast || What == collective::reduce) {
    if constexpr (MustMeet) return std::tuple{star_};
    else
      return std::tuple{star_, named_topology{"binomial_tree", binomial_tree{}},
                        named_topology{"k_nomial_tree", k_nomial_tree{}},
                        named_topology{"pipelined binomial_tree", pipelined{binomial_tree{}, 8}}};
  } else if constexpr (MustMeet) {
    return std::tuple{direct_};
  } else if constexpr (What == collective::all_reduce) {
    return std::tuple{direct_,
                      named_topology{"recursive_doubling", recursive_doubling{}},
                      named_topology{"halving_doubling", halving_doubling{}},
                      named_topology{"ring", ring{}},
                      named_topology{"pipelined double_tree", pipelined{double_tree{}, 8}},
                      named_topology{"hierarchical", hierarchical<>{}},
                      named_topology{"pipelined hierarchical", pipelined{hierarchical<>{}, 8}}};
  } else {
    return std::tuple{direct_, named_topology{"halving_doubling", halving_doubling{}},
                      named_topology{"bruck", bruck{}}, named_topology{"ring", ring{}}};
  }
}

/// Calls use(candidate) with the index-th.
template <std::size_t First = 0, class Candidates, class Use>
decltype(auto) with_candidate(const Candidates& all, std::size_t index, Use&& use) {
  if constexpr (First + 1 < std::tuple_size_v<Candidates>) {
    if (index != First) return detail::with_candidate<First + 1>(all, index, use);
  }
  return use(std::get<First>(all));
}

struct priced_candidate {
  const char* name;
  double microseconds;
};

template <class Comm> bool shares_memory(const Comm& comm) {
  if constexpr (direct_access_communicator<Comm>)
    return const_cast<Comm&>(comm).shared() != nullptr;
  else
    return false;
}

/// The price of every candidate for `bytes`, on the ranks of this communicator.
template <collective What, bool MustMeet, class Comm>
std::vector<priced_candidate> price_all(const Comm& comm, std::size_t bytes,
                                        const machine_cost& costs) {
  const bool shares = detail::shares_memory(comm);
  std::vector<int> nodes;
  if constexpr (requires { comm.nodes(); }) nodes.assign(comm.nodes().begin(), comm.nodes().end());
  std::vector<priced_candidate> all;
  std::apply(
      [&](const auto&... candidate) {
        const auto add = [&]<class T>(const named_topology<T>& c) {
          all.push_back({c.name, shares && works_in_shared_memory<T>
                                     ? price_in_shared_memory(What, comm.size(), bytes, costs)
                                     : tutti::price(c.topology, What, 0, comm.size(), bytes, 1,
                                                    costs, nodes)});
        };
        (add(candidate), ...);
      },
      detail::candidates<What, MustMeet>());
  return all;
}

inline std::size_t cheapest(const std::vector<priced_candidate>& all) {
  std::size_t best = 0;
  for (std::size_t k = 1; k < all.size(); ++k)
    if (all[k].microseconds < all[best].microseconds) best = k;
  return best;
}

} // namespace detail

/// Chooses the candidate that tutti::price finds cheapest, with numbers that the caller supplies:
/// the same on every rank. Sizes between two powers of two are priced as the smaller one. The price
/// of a choice is that of visiting every candidate's schedule on all ranks, once for each power of
/// two. Determinism: run_to_run, for the numbers are part of the program. Copies share what they
/// have found.
class priced {
public:
  using part = topology_part;
  static constexpr bool chooses = true;
  static constexpr determinism repeats = determinism::run_to_run;

  explicit priced(const machine_cost& costs = {}) : costs_{costs} {}

  const machine_cost& costs() const noexcept { return costs_; }

  /// Calls use(topology) with the cheapest. Called by the collectives.
  template <collective What, bool MustMeet, class Comm, class Use>
  decltype(auto) choose(const Comm& comm, std::size_t bytes, Use&& use) const {
    return detail::with_candidate(detail::candidates<What, MustMeet>(),
                                  index<What, MustMeet>(comm, bytes),
                                  [&](const auto& c) -> decltype(auto) { return use(c.topology); });
  }

  /// The prices of all candidates for a collective of `bytes`, cheapest first, a line each.
  template <class Comm>
  std::string explain(collective what, const Comm& comm, std::size_t bytes) const {
    std::vector<detail::priced_candidate> all;
    const auto price = [&]<collective What>() {
      if (what == What) all = detail::price_all<What, false>(comm, std::bit_floor(bytes), costs_);
    };
    price.template operator()<collective::all_reduce>();
    price.template operator()<collective::reduce_scatter>();
    price.template operator()<collective::all_gather>();
    price.template operator()<collective::broadcast>();
    price.template operator()<collective::reduce>();
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.microseconds < b.microseconds; });
    std::string text = std::string{name(what)} + " of " + std::to_string(bytes) + " bytes on " +
                       std::to_string(comm.size()) + " ranks:\n";
    for (const auto& c : all) {
      char line[96];
      std::snprintf(line, sizeof line, "  %-24s %12.1f us%s\n", c.name, c.microseconds,
                    &c == all.data() ? "  <- chosen" : "");
      text += line;
    }
    return text;
  }

  /// The shortest power of two, from 64 KiB, for which a byte of an all_reduce costs at most a tenth more than in 32 MiB:
  /// what a gradient is cut into, so that it travels early and costs little more. Prices 10 lengths.
  template <class Comm>
  std::size_t bucket_bytes(const Comm& comm) const {
    constexpr std::size_t shortest = std::size_t{1} << 16, longest = std::size_t{1} << 25;
    return detail::exactly([&] {
      const auto per_byte = [&](std::size_t bytes) {
        const auto all = detail::price_all<collective::all_reduce, false>(comm, bytes, costs_);
        return all[detail::cheapest(all)].microseconds / double(bytes);
      };
      const double most = 1.1 * per_byte(longest);
      std::size_t bytes = shortest;
      while (bytes < longest && per_byte(bytes) > most) bytes *= 2;
      return bytes;
    });
  }

private:
  template <collective What, bool MustMeet, class Comm>
  std::size_t index(const Comm& comm, std::size_t bytes) const {
    if constexpr (std::tuple_size_v<decltype(detail::candidates<What, MustMeet>())> == 1) {
      return 0;
    } else {
      const key wanted{What, comm.size(), std::bit_width(bytes), detail::shares_memory(comm),
                       detail::hash_of_nodes(detail::layout_of(comm))};
      std::scoped_lock lock{found_->guard};
      const auto [at, fresh] = found_->indices.try_emplace(wanted, 0);
      if (fresh)
        at->second = detail::exactly([&] { // the same choice on every rank
          return detail::cheapest(
              detail::price_all<What, MustMeet>(comm, std::bit_floor(bytes), costs_));
        });
      return at->second;
    }
  }

  /// All that a price depends on: copies are used on several communicators.
  using key = std::tuple<collective, int, int, bool, std::uint64_t>;
  struct findings {
    std::mutex guard;
    std::map<key, std::size_t> indices;
  };

  machine_cost costs_;
  std::shared_ptr<findings> found_ = std::make_shared<findings>();
};

namespace detail {

/// The median of several times by the clock now(), in microseconds; before each of them, but not in it,
/// prepare().
template <class Now, class Prepare, class Call>
double usual(int repetitions, Now&& now, Prepare&& prepare, Call&& call) {
  std::vector<double> times;
  for (int k = 0; k < repetitions; ++k) {
    prepare();
    const deadline begin = now();
    call();
    times.push_back(std::chrono::duration<double, std::micro>(now() - begin).count());
  }
  const auto middle = times.begin() + repetitions / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// What a round of most schedules does: rank 0 and `partner` send each other `bytes` at the same time,
/// which they have just written. Its time on rank 0. (One way alone, of data that rests in the caches, is
/// much cheaper: two ranks of a node, 256 KiB, halving_doubling was priced at 19 us that way, and
/// takes 50. Trees, whose messages go one way at a time, may be priced too high.)
template <class Comm>
double exchange_of(Comm& comm, int partner, std::size_t bytes, int repetitions, const options& how) {
  const channel on = comm.in_flight().next_channel();
  if (comm.rank() != 0 && comm.rank() != partner) return 0;
  std::vector<std::byte> there(bytes), here(bytes);
  const auto exchange = [&](std::size_t length) {
    const int peer = comm.rank() == 0 ? partner : 0;
    const outgoing out{peer, {there.data(), length}};
    const incoming in{peer, {here.data(), length}};
    auto handle = comm.exchange(host_execution{}, on, exchange_round{{&out, 1}, {&in, 1}});
    detail::complete(comm, handle, "automatic", how.until(tutti::now_of(comm)));
  };
  std::size_t turn = 0;
  const auto write_and_meet = [&] {
    std::fill(there.begin(), there.end(), std::byte(++turn));
    exchange(1);
  };
  return detail::usual(repetitions, [&] { return tutti::now_of(comm); }, write_and_meet, [&] { exchange(bytes); });
}

template <class Comm> link_cost measured_link(Comm& comm, int partner, const options& how) {
  constexpr std::size_t long_bytes = std::size_t{1} << 20;
  const double short_us = detail::exchange_of(comm, partner, 8, 51, how);
  const double long_us = detail::exchange_of(comm, partner, long_bytes, 7, how);
  return {.latency = short_us * 0.8,
          .overhead = short_us * 0.2,
          .per_byte = (std::max)(long_us - short_us, 0.0) / double(long_bytes)};
}

} // namespace detail

/// The numbers of the machine that this communicator is on, taken between rank 0, a rank of its
/// node and a rank of another node, and told to all. Collective; takes milliseconds. Not
/// run_to_run: two runs may measure, and so choose, differently.
template <communicator Comm> machine_cost measure(Comm& comm, const options& how = {}) {
  machine_cost costs;
  const auto partner = [&](bool same_node) {
    const auto where = detail::layout_of(comm);
    for (int r = 1; r < comm.size(); ++r)
      if ((where.group_of.empty() || where.group_of[std::size_t(r)] == where.group_of[0]) ==
          same_node)
        return r;
    return -1;
  };
  if (const int near = partner(true); near >= 0)
    costs.within = detail::measured_link(comm, near, how);
  if (const int far = partner(false); far >= 0)
    costs.between = detail::measured_link(comm, far, how);

  constexpr std::size_t n = std::size_t{1} << 18;
  std::vector<float> a(n, 1.0f), b(n, 2.0f);
  costs.per_folded_byte = detail::usual(
                              7, clock::now, [] {}, // the real clock: only there folding takes time
                              [&] { detail::fold_into<true>(sum{}, a.data(), b.data(), n); }) /
                          double(n * sizeof(float));
  if constexpr (direct_access_communicator<Comm>)
    if (comm.shared() && comm.size() > 1) {
      std::vector<float> few(2), many(n);
      const auto time_of = [&](auto& data, int repetitions) {
        const auto write_and_meet = [&] {
          std::fill(data.begin(), data.end(), 1.0f);
          tutti::barrier(comm, options{.timeout = how.timeout});
        };
        return detail::usual(repetitions, [&] { return tutti::now_of(comm); }, write_and_meet, [&] {
          tutti::all_reduce(comm, data, direct{}, options{.timeout = how.timeout});
        });
      };
      costs.shared_epoch = time_of(few, 51);
      costs.per_shared_byte = (std::max)(time_of(many, 7) - 2 * costs.shared_epoch, 0.0) /
                              (2.0 * double(n * sizeof(float)));
    }
  tutti::broadcast(comm, std::span{&costs, 1}, 0, binomial_tree{}, options{.timeout = how.timeout});
  return costs;
}

/// `priced` with numbers that are measured when it is made, which is collective. Determinism: none;
/// give priced{costs()} to later runs for run_to_run.
class automatic : public priced {
public:
  static constexpr determinism repeats = determinism::none;

  template <communicator Comm>
  explicit automatic(Comm& comm, const options& how = {}) : priced{tutti::measure(comm, how)} {}
};

/// One line that machine_cost_from reads.
inline std::string text(const machine_cost& c) {
  char line[240];
  std::snprintf(line, sizeof line, "%a %a %a %a %a %a %a %a %a", c.within.latency,
                c.within.overhead, c.within.per_byte, c.between.latency, c.between.overhead,
                c.between.per_byte, c.per_folded_byte, c.shared_epoch, c.per_shared_byte);
  return line;
}
/// Throws bad_data for anything else than what text() writes.
inline machine_cost machine_cost_from(const std::string& line) {
  machine_cost c;
  char behind = 0;
  const int read = std::sscanf(line.c_str(), "%la %la %la %la %la %la %la %la %la %c",
                               &c.within.latency, &c.within.overhead, &c.within.per_byte,
                               &c.between.latency, &c.between.overhead, &c.between.per_byte,
                               &c.per_folded_byte, &c.shared_epoch, &c.per_shared_byte, &behind);
  if (read != 9)
    throw error{{.code = error_code::bad_data,
                 .call = "machine_cost_from",
                 .detail = "these are no nine numbers - give a line that tutti::text wrote"}};
  return c;
}

} // namespace tutti
