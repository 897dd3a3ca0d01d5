// where_it_pays: a codec for the parts of a model for which it saves more time than it takes, by the numbers of this machine.
//
//   tutti::strategy strategy{world, tutti::where_it_pays{world, tutti::int8_block{}}};
//   std::puts(strategy.codec().explain(world, strategy.topology(), n).c_str());
//
// Not in <tutti/tutti.hpp>, as priced topologies are not.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/collectives/priced.hpp>
#include <tutti/core/random.hpp>

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace tutti {

/// What a codec takes for a value, in microseconds. A codec that remembers decodes what it encodes: that is in `encode`.
struct coding_cost {
  double encode = 0, decode = 0;
};

/// In a strategy whose contributions are reduced over a schedule: each bucket, or fragment, travels through `inner` where
/// messages and coding together are priced lower than what it takes as it is, and otherwise as it is. All of a part or
/// nothing, decided when a model is bound: from the topology, the length of the part, nodes and whether ranks reach each
/// other's memory, which are the same on all ranks, and from prices, which bind() compares. Parts that travel as they are
/// have no memory. Not for codecs of stages.
///
/// The price of a part is that of topologies/cost.hpp; of a codec whose partial results travel as accumulators half of
/// the messages count as they are. A rank encodes n (1 + 1/p) values and decodes 2 n. Determinism: run_to_run with
/// numbers that are given; none where they are measured, as two runs may decide differently.
template <codec C>
struct where_it_pays {
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;
  static constexpr bool prices = true;

  C inner{};
  machine_cost machine{};
  coding_cost coding{};

  where_it_pays(const C& codec, const machine_cost& on, const coding_cost& takes)
      : inner{codec}, machine{on}, coding{takes} {}
  /// Measures both. Collective; takes milliseconds.
  template <communicator Comm>
  where_it_pays(Comm& comm, const C& codec, const options& how = {})
      : inner{codec}, machine{tutti::measure(comm, how)}, coding{measured(codec)} {
    tutti::broadcast(comm, std::span{&coding, 1}, 0, binomial_tree{}, options{.timeout = how.timeout});
  }

  /// Microseconds of n values: as they are, and through the codec.
  template <collective What, element T, class Comm, class Topology>
  std::pair<double, double> price(const Comm& comm, const Topology& topology, std::size_t n) const {
    return detail::exactly([&] { // the same on every rank
      const auto where = detail::layout_of(comm);
      const auto of = [&](const auto& t, std::size_t bytes) {
        return tutti::price(t, What, 0, comm.size(), bytes, 1, machine, where.group_of);
      };
      const std::size_t bytes = n * sizeof(T);
      const double plain = detail::with_topology<What, false>(topology, comm, bytes, [&]<class Used>(const Used& t) {
        return detail::shares_memory(comm) && detail::works_in_shared_memory<Used>
                   ? price_in_shared_memory(What, comm.size(), bytes, machine)
                   : of(t, bytes);
      });
      const std::size_t coded = detail::messages_of(detail::codec_of_tensors(inner)).template bytes<T>(n);
      const double sent = detail::with_topology<What, true>(topology, comm, bytes, [&]<class Used>(const Used& t) {
        return of(t, Used::gathers ? coded : (coded + bytes) / 2);
      });
      const double values = double(n), ranks = comm.size();
      return std::pair{plain, sent + values * ((1 + 1 / ranks) * coding.encode + 2 * coding.decode)};
    });
  }
  /// Called by carriers.
  template <collective What, element T, class Comm, class Topology>
  bool pays(const Comm& comm, const Topology& topology, std::size_t n) const {
    const auto [plain, coded] = price<What, T>(comm, topology, n);
    return coded < plain;
  }
  /// Both prices of an all_reduce of n floats, and what is chosen.
  template <class Comm, class Topology>
  std::string explain(const Comm& comm, const Topology& topology, std::size_t n) const {
    const auto [plain, coded] = price<collective::all_reduce, float>(comm, topology, n);
    char line[160];
    std::snprintf(line, sizeof line, "%zu values on %d ranks: as they are %.1f us%s, through the codec %.1f us%s\n", n,
                  comm.size(), plain, coded < plain ? "" : "  <- chosen", coded, coded < plain ? "  <- chosen" : "");
    return line;
  }

  const char* objection() const noexcept {
    if constexpr (requires { inner.objection(); }) return inner.objection();
    return nullptr;
  }
  auto compared() const {
    return std::tie(inner, machine.within.latency, machine.within.overhead, machine.within.per_byte,
                    machine.between.latency, machine.between.overhead, machine.between.per_byte, machine.per_folded_byte,
                    machine.shared_epoch, machine.per_shared_byte, coding.encode, coding.decode);
  }

private:
  static coding_cost measured(const C& codec) {
    constexpr std::size_t n = std::size_t{1} << 18;
    const auto& by = detail::messages_of(detail::codec_of_tensors(codec));
    std::vector<float> values(n), out(n);
    random_stream draw{1};
    for (float& x : values) x = draw.uniform() - .5f;
    std::vector<std::byte> wire(by.template bytes<float>(n));
    const auto of = [&](auto&& work) {
      return detail::usual(7, clock::now, [] {}, work) / double(n); // the real clock: only there coding takes time
    };
    coding_cost takes{.encode = of([&] { detail::encode<float>(by, std::span<const float>{values}, wire.data(), {}); }),
                      .decode = of([&] { detail::decode<float>(by, wire.data(), std::span{out}, {}); })};
    if constexpr (detail::remembers<detail::codec_of_tensors_t<C>>) takes.encode += takes.decode;
    return takes;
  }
};
template <codec C>
where_it_pays(C, machine_cost, coding_cost) -> where_it_pays<C>;
template <communicator Comm, codec C>
where_it_pays(Comm&, C) -> where_it_pays<C>;
template <communicator Comm, codec C>
where_it_pays(Comm&, C, options) -> where_it_pays<C>;

} // namespace tutti
