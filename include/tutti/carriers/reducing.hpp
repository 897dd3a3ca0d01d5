// reducing: contributions are reduced over a schedule.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <cstddef>
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

/// By what a reducer reduces where all ranks count alike, and where they do not; void where it cannot. A
/// mean of equal weights is a mean, with the same bits.
template <class R>
struct ways_of_counting {
  using alike = std::conditional_t<is_weighted<working_reducer_t<R>>, void, R>;
  using weighed = std::conditional_t<is_weighted<R>, R, void>;
};
template <class R>
  requires(std::is_same_v<R, mean> || std::is_same_v<R, weighted_mean>)
struct ways_of_counting<R> {
  using alike = mean;
  using weighed = weighted_mean;
};

} // namespace detail

/// An all_reduce of each part, in place; with owners a reduce_scatter, of which rank r keeps its shard.
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
      pieces_.push_back({where, detail::shared_values<T>(with_.comm, where.size()), {}, {}, false});
      if constexpr (counts_alike && !agrees)
        pieces_.back().often = call(pieces_.back(), [](auto&&... all) {
          if constexpr (Owners)
            return tutti::persistent_reduce_scatter(all...);
          else
            return tutti::persistent_all_reduce(all...);
        });
    }
  }

  place owned(std::size_t part) const override {
    const place all = pieces_[part].where;
    if (!Owners) return all;
    const shard mine = shard_of(all.size(), with_.comm.rank(), with_.comm.size());
    return {all.begin + mine.begin, all.begin + mine.end};
  }
  std::span<T> room(std::size_t part) override { return pieces_[part].values.span(); }
  bool waits() const override { return agrees; }
  bool weighs() const override { return !std::is_void_v<typename ways::weighed>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    piece& p = pieces_[part];
    p.weighed = !counts_alike || !std::equal(weights.begin() + 1, weights.end(), weights.begin());
    if (p.weighed)
      offer_weighed(p, weights);
    else if constexpr (!agrees)
      p.often.start();
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
    p.weighed ? p.once.wait() : p.often.wait();
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) tutti::all_gather(with_.comm, pieces_[part].values, with_.topology, with_.how);
  }

private:
  /// These agree on something in the data, some of them while it is on its way.
  static constexpr bool agrees = agreeing_reducer<Reducer>;
  using ways = detail::ways_of_counting<Reducer>;
  static constexpr bool counts_alike = !std::is_void_v<typename ways::alike>;
  using values_type = decltype(detail::shared_values<T>(std::declval<Comm&>(), std::size_t{}));

  struct piece {
    place where;
    values_type values;
    persistent_request often; ///< where all count alike
    request once;             ///< where they do not
    bool weighed;
  };

  auto call(piece& p, auto&& collective) {
    if constexpr (std::is_same_v<typename ways::alike, Reducer>) {
      return collective(with_.comm, p.values, with_.topology, with_.reducer, with_.codec, with_.how);
    } else {
      static constexpr typename ways::alike alike{};
      return collective(with_.comm, p.values, with_.topology, alike, with_.codec, with_.how);
    }
  }
  void offer_weighed(piece& p, std::span<const double> weights) {
    using R = typename ways::weighed;
    if constexpr (std::is_same_v<R, Reducer>)
      p.once = weighed(p, with_.reducer, weights);
    else if constexpr (!std::is_void_v<R>)
      p.once = weighed(p, detail::default_part<R>, weights);
  }
  template <class R>
  request weighed(piece& p, const R& reducer, std::span<const double> weights) {
    constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
    return {detail::weighed_reduction<what, R>(with_.comm, p.values, reducer, with_.topology,
                                               with_.codec, with_.how, weights),
            with_.comm.in_flight()};
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  std::vector<piece> pieces_;
};

} // namespace tutti
