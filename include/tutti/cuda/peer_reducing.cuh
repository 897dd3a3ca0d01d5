// Contributions in device memory that all ranks reach are reduced where they are: a carrier without messages of data.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/cuda/device_execution.cuh>
#include <tutti/cuda/peer_plan.cuh>
#include <tutti/topologies/direct.hpp>
#include <tutti/training/memory.hpp>

#include <concepts>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace tutti::cuda::detail {

/// The bits of tutti::reducing over tutti::direct: ranks that are threads, or processes of one machine, have the rooms
/// of all parts in one peer_buffer, and each makes its shards of everyone's by the kernel of a reduction. As in
/// device_reducing what is reduced has a stream of its own beside the trainer's. A part starts when it is offered, and
/// goes on with what else is in flight; streams wait for each other, and the host for words of the other ranks alone.
/// Cost of a part: that of peer_plan. Making and ending it is collective.
template <class T, class Comm, class Topology, class R, bool Owners, class Built>
class peer_reducing final : public carrier<T> {
  using math_type = device_arithmetic<Built, R, T>;
  using plan_type = peer_plan<T, math_type>;
  static constexpr std::size_t moments = Owners ? 4 : 3; ///< of a part
  static constexpr std::size_t aligned = 256;            ///< bytes, where each part begins

public:
  peer_reducing(tutti::detail::memory<T>& in, const stream& on,
                const carrying_parts<Comm, Topology, R, identity>& with, std::span<const place> parts)
      : in_{in}, on_{on}, travels_{on.device()}, with_{with},
        values_{with.comm, travels_, end_of(parts), with.how, moments * parts.size()} {
    if (!reaches()) return;
    tutti::detail::made(with_.comm, [&] {
      std::size_t begin = 0;
      for (const place where : parts) {
        pieces_.emplace_back(*this, where, begin, moments * pieces_.size());
        begin += room_for(where);
      }
      const current_device held{travels_.device()};
      if (begin > 0)
        cuda::check(cudaMemsetAsync(values_.span().data(), 0, begin * sizeof(T), travels_.handle()), "cudaMemsetAsync");
      on_.wait_for(travels_);
    });
  }
  /// What is on its way, and what uses it, is over before its memory is given back.
  ~peer_reducing() override {
    for (piece& p : pieces_) static_cast<void>(p.reduces = {}), static_cast<void>(p.gathers = {});
    try {
      travels_.wait_for(on_);
    } catch (...) { // the runtime may have ended before
    }
  }

  /// Whether ranks reach each other's memory; otherwise it is of no use. The same on all ranks.
  bool reaches() const noexcept { return values_.reaches(); }

  place owned(std::size_t part) const override {
    const place where = pieces_[part].where;
    return Owners ? tutti::detail::owned_shard(where, with_.comm) : where;
  }
  std::span<T> room(std::size_t part) override {
    const piece& p = pieces_[part];
    return {values_.span().data() + p.at.begin, p.at.size()};
  }
  bool weighs() const override { return is_weighted<R> || std::derived_from<R, mean>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    detail::refuse_capture(on_, "step", "ranks tell each other on the host how far they are");
    piece& p = pieces_[part];
    if constexpr (is_weighted<R>)
      tutti::detail::take_weights<R>(p.work, weights, with_.comm.rank());
    else
      tutti::detail::with_share_of_mean<T>(weights, with_.comm.rank(),
                                           [&](T factor) { in_.scale(room(part), factor); });
    travels_.wait_for(on_);
    p.reduces.start();
  }
  void settle(std::size_t part) override {
    pieces_[part].reduces.wait();
    on_.wait_for(travels_);
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) {
      travels_.wait_for(on_);
      pieces_[part].gathers.start();
      pieces_[part].gathers.wait();
      on_.wait_for(travels_);
    }
  }

private:
  struct piece {
    piece(peer_reducing& of, place part, std::size_t begin, std::size_t first)
        : where{part}, at{begin, begin + part.size()}, math{of.travels_, of.with_.reducer, work, coder},
          reducing{of.values_, at, first, math, {.reduces = true, .hands_out = !Owners}}, reduces{of.later(reducing)} {
      work.total = double(of.with_.comm.size());
      if constexpr (Owners)
        static_cast<void>(gathers = of.later(handing.emplace(of.values_, at, first + reducing.rounds(), math,
                                                             peer_steps{.reduces = false, .hands_out = true})));
    }

    place where, at; ///< in the model, and in the buffer
    tutti::detail::task work{"step"};
    exact_coder<T> coder;
    math_type math;
    plan_type reducing;
    std::optional<plan_type> handing;
    persistent_request reduces, gathers;
  };

  static std::size_t room_for(place part) noexcept {
    constexpr std::size_t each = aligned / sizeof(T);
    return (part.size() + each - 1) / each * each;
  }
  static std::size_t end_of(std::span<const place> parts) noexcept {
    std::size_t n = 0;
    for (const place where : parts) n += room_for(where);
    return n;
  }
  persistent_request later(plan_type& what) {
    return {std::make_unique<device_execution<Comm, plan_type>>(with_.comm, what, "step", with_.how),
            with_.comm.in_flight()};
  }

  tutti::detail::memory<T>& in_;
  const stream& on_;
  stream travels_;
  carrying_parts<Comm, Topology, R, identity> with_;
  peer_buffer<T> values_;
  std::deque<piece> pieces_; ///< which do not move
};

/// Whether what all ranks contribute to these parts meets at the owner of each shard in one go.
template <class T, bool Owners, class R, class Comm, class Topology>
bool meets_at_once(const Comm& comm, const Topology& topology, std::span<const place> parts) {
  constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
  bool all = true;
  for (const place where : parts)
    tutti::detail::with_topology<what, needs_every_contribution<R, T>>(
        topology, comm, where.size() * sizeof(T),
        [&]<class Used>(const Used&) { all = all && std::same_as<Used, direct>; });
  return all;
}

/// That carrier, where ranks share memory, contributions meet at once, kernels know the reducer and ranks reach each
/// other; null otherwise. Collective.
template <class T, bool Owners, class Built, class Parts>
std::unique_ptr<carrier<T>> carried_by_peers(tutti::detail::memory<T>& in, const stream& on, const Parts& parts,
                                             std::span<const place> pieces) {
  return [&]<class Comm, class Topology, class R, class Codec>(
             const carrying_parts<Comm, Topology, R, Codec>& with) -> std::unique_ptr<carrier<T>> {
    if constexpr (std::same_as<Codec, identity> && direct_access_communicator<Comm> && is_enqueued<R, T>) {
      constexpr std::size_t most = folding_reducer<R, T> ? tuning::most_contributions : most_in_column;
      if (!with.comm.shared() || std::size_t(with.comm.size()) > most ||
          !tutti::detail::reducer_objection(with.reducer, with.comm.size()).empty() ||
          !detail::meets_at_once<T, Owners, R>(with.comm, with.topology, pieces))
        return {};
      auto by = std::make_unique<peer_reducing<T, Comm, Topology, R, Owners, Built>>(in, on, with, pieces);
      if (by->reaches()) return by;
    }
    return {};
  }(parts);
}

} // namespace tutti::cuda::detail
