// reducing: contributions are reduced over a schedule.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/core/aligned_values.hpp>

#include <algorithm>
#include <array>
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

/// A mean of unlike weights is the mean of contributions of which each is scaled by its own: use(factor) with this rank's,
/// where they are unlike.
template <class T, class Use>
void with_share_of_mean(std::span<const double> weights, int rank, Use&& use) {
  if (std::equal(weights.begin() + 1, weights.end(), weights.begin())) return;
  std::vector<double> scaled(weights.begin(), weights.end());
  detail::scale_weights(scaled);
  double total = 0;
  for (const double w : scaled) total += w;
  const double own = scaled[std::size_t(rank)];
  use(static_cast<T>(own * double(scaled.size()) / total));
}

template <class T>
void scale_for_mean(std::span<T> values, std::span<const double> weights, int rank) {
  detail::with_share_of_mean<T>(weights, rank, [&](T factor) { detail::scale_contribution(values, factor); });
}

/// How many exchanges have counted: one is what is offered until some of it is kept, in steps of gradients a step however
/// many parts it has.
class counted_exchanges {
public:
  /// Of the exchange of what is offered now.
  std::uint64_t before() noexcept {
    all_ += std::exchange(kept_, false);
    return std::uint64_t(all_);
  }
  void keep() noexcept { kept_ = true; }
  void state(archive& to) {
    before();
    to.number("exchanges of the codec", all_);
  }

private:
  std::int64_t all_ = 0;
  bool kept_ = false; ///< something of the last one
};

/// What this rank is the owner of, of a part.
template <class Comm>
place owned_shard(place part, const Comm& comm) {
  const shard mine = shard_of(part.size(), comm.rank(), comm.size());
  return {part.begin + mine.begin, part.begin + mine.end};
}

} // namespace detail

/// A codec's memory of each part is kept here, in coordinates of the flat model; where it draws, draws are named by
/// them too. An all_reduce of each part, in place; with owners a reduce_scatter, of which rank r keeps its shard. What is
/// exempt from the codec - of the model all from some place on - travels as it is: of a part that has both, in a call of
/// its own; with owners no part has. So does a part for which the codec does not pay, and one that is not coded() when
/// it is offered. Where a codec changes, the call of a part is prepared anew.
/// Cost of a part: that of the collective; where ranks reach each other's memory the room is memory that
/// all of them reach.
template <class T, class Comm, class Topology, class Reducer, class Codec, bool Owners>
class reducing final : public carrier<T> {
public:
  /// Collective.
  reducing(const carrying_parts<Comm, Topology, Reducer, Codec>& with, std::span<const place> parts,
           std::size_t exempt_from)
      : with_{with} {
    with_.how.weight = 1; // weights come with each offer
    pieces_.reserve(parts.size());
    for (const place where : parts) {
      pieces_.push_back({where, coded_of(where, exempt_from), detail::shared_values<T>(with_.comm, where.size()),
                         detail::codec_at(with_.codec, 0), detail::stage_of(with_.codec, 0)});
      if constexpr (remembers) {
        pieces_.back().memory.state().origin = where.begin;
        pieces_.back().memory.state().holds_back = true;
      }
      prepare(pieces_.back());
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
    if constexpr (remembers) p.memory.state().exchanges = exchanges_.before();
    if constexpr (changes) change(p);
    if constexpr (!weighted && !agrees) scale(p, weights);
    each_way(p, [&](way& by, auto& values, const auto&... coded) {
      if constexpr (weighted)
        by.once = weighed(values, weights, coded...);
      else if constexpr (!agrees)
        by.often.start();
      else if constexpr (Owners)
        tutti::reduce_scatter(with_.comm, values, with_.topology, with_.reducer, coded..., with_.how);
      else
        tutti::all_reduce(with_.comm, values, with_.topology, with_.reducer, coded..., with_.how);
    });
  }
  void settle(std::size_t part) override {
    each_way(pieces_[part], [](way& by, auto&, const auto&...) { weighted ? by.once.wait() : by.often.wait(); });
  }
  void keep(std::size_t part) override {
    if constexpr (remembers) {
      pieces_[part].memory.state().commit();
      exchanges_.keep();
    }
  }
  void coded(std::size_t part, bool through) override {
    if constexpr (encodes) {
      piece& p = pieces_[part];
      p.through = through;
      if (!through && !std::exchange(p.goes_whole, true)) prepare(p);
    }
  }
  void state(archive& to) override {
    if constexpr (remembers) {
      exchanges_.state(to);
      for (piece& p : pieces_) { // of what is exempt nothing is remembered: zeros
        detail::visit(to, p.memory.state(), p.where, codec_slots<codec_type>);
        if constexpr (detail::follows<codec_type>) detail::visit(to, "agreed on", p.memory.state().agreed, p.where);
        p.memory.state().cover(p.coded.size(), codec_slots<codec_type>.size());
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
  using codec_type = detail::codec_of_tensors_t<Codec>;
  static constexpr bool encodes = !std::is_same_v<codec_type, identity>;
  static constexpr bool exempts = (encodes && !agrees) || detail::chooses_parts<Codec>;
  static constexpr bool changes = detail::changes<Codec>;
  static constexpr bool remembers = detail::uses_memory<codec_type, T>;
  using memory_type = std::conditional_t<remembers, codec_memory<T>, detail::no_codec_memory>;
  using values_type = decltype(detail::shared_values<T>(std::declval<Comm&>(), std::size_t{}));

  /// A call of a part, again in every step, or once where weights are part of it.
  struct way {
    persistent_request often = {};
    request once = {};
  };
  struct piece {
    place where, coded; ///< and what of it goes through the codec
    values_type values;
    codec_type codec;
    int stage = 0; ///< of the codec
    bool through = true;     ///< the codec goes what of it does; otherwise all of it as it is
    bool goes_whole = false; ///< the latter is prepared
    std::array<way, exempts ? 3 : 1> ways = {}; ///< what is coded, what is not beside it, and all as it is
    [[no_unique_address]] memory_type memory = {};
  };

  /// The calls of a part as it travels now, where they are made again in every step.
  void prepare(piece& p) {
    if constexpr (!weighted && !agrees)
      each_way(p, [&](way& by, auto& values, const auto&... coded) {
        if constexpr (Owners)
          by.often = tutti::persistent_reduce_scatter(with_.comm, values, with_.topology, with_.reducer, coded...,
                                                      with_.how);
        else
          by.often = tutti::persistent_all_reduce(with_.comm, values, with_.topology, with_.reducer, coded...,
                                                  with_.how);
      });
  }
  /// To the codec of this exchange.
  void change(piece& p) {
    const int stage = detail::stage_of(with_.codec, exchanges_.before());
    if (stage == std::exchange(p.stage, stage)) return;
    p.codec = detail::codec_at(with_.codec, exchanges_.before());
    prepare(p);
  }

  /// What of a part goes through the codec, if that pays.
  place coded_of(place where, std::size_t exempt_from) const {
    const place coded = common(where, {0, exempt_from});
    constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
    const bool pays = detail::pays(with_.codec, [&](const auto& codec) {
      return codec.template pays<what, T>(with_.comm, with_.topology, coded.size());
    });
    return pays ? coded : place{coded.begin, coded.begin};
  }
  /// use(way, values, codec, memory) of what goes through the codec, then use(way, values) of what travels as it is.
  template <class Use>
  void each_way(piece& p, Use&& use) {
    const auto coded = [&](auto& values) {
      if constexpr (remembers)
        use(p.ways[0], values, p.codec, p.memory);
      else
        use(p.ways[0], values, p.codec);
    };
    if constexpr (exempts) {
      if (!p.through) return use(p.ways[2], p.values);
      if (p.coded.size() == p.where.size()) return coded(p.values);
      std::span<T> through = p.values.span().first(p.coded.size()), other = p.values.span().subspan(p.coded.size());
      if (!through.empty()) coded(through);
      if (!other.empty()) use(p.ways[1], other);
    } else {
      coded(p.values);
    }
  }
  void scale(piece& p, std::span<const double> weights) {
    detail::scale_for_mean(p.values.span(), weights, with_.comm.rank());
  }
  template <class Values, class By = identity, class Memory = detail::no_codec_memory>
  request weighed(Values& values, std::span<const double> weights, const By& codec = detail::default_part<By>,
                  const Memory& memory = detail::default_part<Memory>) {
    constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
    const detail::reduction<what, Comm, T, Reducer, Topology, By, Memory> given{
        {name(what).data(), with_.comm}, detail::buffer_of(values), with_.reducer,
        with_.topology, codec, with_.how, memory};
    return {detail::weighed_reduction(given, weights), with_.comm.in_flight()};
  }

  carrying_parts<Comm, Topology, Reducer, Codec> with_;
  std::vector<piece> pieces_;
  detail::counted_exchanges exchanges_;
};

} // namespace tutti
