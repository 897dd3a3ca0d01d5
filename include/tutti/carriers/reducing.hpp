// reducing: contributions are reduced over a schedule.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

/// The parts of a strategy that carry data; they belong to the strategy.
template <class Comm, class Topology, class Reducer, class Codec>
struct carrying_parts {
  Comm& comm;
  const Topology& topology;
  const Reducer& reducer;
  const Codec& codec;
  options how;
};

namespace detail {

/// n values that all ranks reach, where the communicator has such memory. Collective.
template <class T, class Comm>
auto shared_values(Comm& comm, std::size_t n) {
  if constexpr (requires { comm.template allocate<T>(n); })
    return comm.template allocate<T>(n);
  else
    return aligned_values<T>{n};
}

/// A mean of unlike weights is the mean of contributions of which each is scaled by its own.
template <class T>
void scale_for_mean(std::span<T> values, std::span<const double> weights, int rank) {
  if (std::equal(weights.begin() + 1, weights.end(), weights.begin())) return;
  std::vector<double> scaled(weights.begin(), weights.end());
  detail::scale_weights(scaled);
  double total = 0;
  for (const double w : scaled) total += w;
  const double own = scaled[std::size_t(rank)];
  detail::scale_contribution(values, static_cast<T>(own * double(scaled.size()) / total));
}

/// What this rank is the owner of, of a part.
template <class Comm>
place owned_shard(place part, const Comm& comm) {
  const shard mine = shard_of(part.size(), comm.rank(), comm.size());
  return {part.begin + mine.begin, part.begin + mine.end};
}

} // namespace detail

/// A codec's memory of each part is kept here, in coordinates of the flat model; where it draws, draws are named by
/// them too. An all_reduce of each part, in place; with owners a reduce_scatter, of which rank r keeps its shard.
/// Cost of a part: that of the collective; where ranks reach each other's memory the room is memory that
/// all of them reach.
template <class T, class Comm, class Topology, class Reducer, class Codec, bool Owners>
class reducing final : public carrier<T> {
public:
  /// Collective.
  reducing(const carrying_parts<Comm, Topology, Reducer, Codec>& with, std::span<const place> parts)
      : with_{with} {
    with_.how.weight = 1; // weights come with each offer
    pieces_.reserve(parts.size());
    for (const place where : parts) {
      pieces_.push_back({where, detail::shared_values<T>(with_.comm, where.size())});
      if constexpr (remembers) {
        pieces_.back().memory.state().origin = where.begin;
        pieces_.back().memory.state().holds_back = true;
      }
      if constexpr (!weighted && !agrees)
        pieces_.back().often = call(pieces_.back(), [](auto&&... all) {
          if constexpr (Owners)
            return tutti::persistent_reduce_scatter(all...);
          else
            return tutti::persistent_all_reduce(all...);
        });
    }
  }

  place owned(std::size_t part) const override {
    return Owners ? detail::owned_shard(pieces_[part].where, with_.comm) : pieces_[part].where;
  }
  std::span<T> room(std::size_t part) override { return pieces_[part].values.span(); }
  bool waits() const override { return agrees; }
  bool weighs() const override { return weighted || std::derived_from<Reducer, mean>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    piece& p = pieces_[part];
    if constexpr (remembers) p.memory.state().exchanges = std::uint64_t(exchanges_);
    if constexpr (weighted)
      p.once = weighed(p, weights);
    else if constexpr (!agrees)
      start(p, weights);
    else
      call(p, [](auto&&... all) {
        if constexpr (Owners)
          tutti::reduce_scatter(all...);
        else
          tutti::all_reduce(all...);
      });
  }
  void settle(std::size_t part) override {
    piece& p = pieces_[part];
    weighted ? p.once.wait() : p.often.wait();
  }
  void keep(std::size_t part) override {
    if constexpr (remembers) {
      pieces_[part].memory.state().commit();
      ++exchanges_;
    }
  }
  void state(archive& to) override {
    if constexpr (remembers) {
      to.number("exchanges", exchanges_);
      for (piece& p : pieces_) {
        detail::visit(to, p.memory.state(), p.where);
        if constexpr (detail::follows<Codec>) detail::visit(to, "agreed on", p.memory.state().agreed, p.where);
      }
    }
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) tutti::all_gather(with_.comm, pieces_[part].values, with_.topology, with_.how);
  }

private:
  /// These agree on something in the data, some of them while it is on its way.
  static constexpr bool agrees = agreeing_reducer<Reducer>;
  static constexpr bool weighted = is_weighted<working_reducer_t<Reducer>> && !agrees;
  static constexpr bool remembers = detail::uses_memory<Codec, T>;
  using memory_type = std::conditional_t<remembers, codec_memory<T>, detail::no_codec_memory>;
  using values_type = decltype(detail::shared_values<T>(std::declval<Comm&>(), std::size_t{}));

  struct piece {
    place where;
    values_type values;
    persistent_request often = {};
    request once = {}; ///< where weights are part of the call
    [[no_unique_address]] memory_type memory = {};
  };

  auto call(piece& p, auto&& collective) {
    if constexpr (remembers)
      return collective(with_.comm, p.values, with_.topology, with_.reducer, with_.codec, with_.how, p.memory);
    else
      return collective(with_.comm, p.values, with_.topology, with_.reducer, with_.codec, with_.how);
  }
  void start(piece& p, std::span<const double> weights) {
    detail::scale_for_mean(p.values.span(), weights, with_.comm.rank());
    p.often.start();
  }
  request weighed(piece& p, std::span<const double> weights) {
    constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
    const detail::reduction<what, Comm, T, Reducer, Topology, Codec, memory_type> given{
        {name(what).data(), with_.comm}, detail::buffer_of(p.values), with_.reducer,
        with_.topology, with_.codec, with_.how, p.memory};
    return {detail::weighed_reduction(given, weights), with_.comm.in_flight()};
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  std::vector<piece> pieces_;
  std::int64_t exchanges_ = 0; ///< of all parts that counted
};

} // namespace tutti
