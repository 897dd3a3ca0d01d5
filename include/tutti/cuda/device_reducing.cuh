// Contributions in the memory of a device are reduced over a schedule where they are: a carrier whose messages name it.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/cuda/device_execution.cuh>
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

/// Whether a communicator enqueues messages of device memory (nccl_communicator), or may take it at run time.
template <class Comm>
inline constexpr bool enqueues = communicator<Comm, stream_execution>;
template <class Comm>
inline constexpr bool may_move_device_memory = enqueues<Comm> || device_aware_communicator<Comm>;

/// What a call that names no topology does over NCCL: its own collective, where that computes what the reducer says.
template <class Comm, class Topology, class R, class T>
inline constexpr bool reduces_natively = [] {
  if constexpr (std::same_as<Topology, default_topology> && requires { Comm::template computes<R, T>; })
    return Comm::template computes<R, T>;
  return false;
}();

/// The bits of tutti::reducing over the same topology. What travels has a stream of its own beside the trainer's: it
/// leaves behind all that the trainer's was given before, and that waits for what comes. A communicator that enqueues
/// is given a part when it is offered; one of the host when the next is offered, when nothing more is, or when one is
/// settled, which waits until it is written. Who settles waits until the part is there, with the deadline of a call -
/// but not while the trainer's stream is captured, when all that is done is in its order.
/// Cost of a part: that of the topology; rooms, and what arrives, are had once.
template <class T, class Comm, class Topology, class R, bool Owners, class Built>
class device_reducing final : public carrier<T> {
  static constexpr bool in_order = enqueues<Comm>;
  static constexpr bool natively = !Owners && reduces_natively<Comm, Topology, R, T>;
  template <class X> using buffer = std::conditional_t<in_order, device_buffer<X>, plain_buffer<X>>;
  using math_type = device_arithmetic<Built, R, T>;
  using reduced = device_plan<T, math_type, buffer>;
  using copied = device_plan<T, no_device_arithmetic<T>, buffer>;

public:
  /// Collective.
  device_reducing(tutti::detail::memory<T>& in, const stream& on,
                  const carrying_parts<Comm, Topology, R, identity>& with, std::span<const place> parts)
      : in_{in}, on_{on}, travels_{on.device()}, with_{with}, comm_{tutti::detail::stationary(with.comm)} {
    with_.how.weight = 1; // weights come with each offer
    tutti::detail::made(comm_, [&] {
      for (const place where : parts) pieces_.emplace_back(*this, where);
    });
    on_.wait_for(travels_);
  }
  /// What is on its way, and what uses it, is over before its memory is given back.
  ~device_reducing() override {
    for (piece& p : pieces_) static_cast<void>(p.reduces = {}), static_cast<void>(p.gathers = {});
    try {
      travels_.wait_for(on_);
    } catch (...) { // the runtime may have ended before
    }
  }

  place owned(std::size_t part) const override {
    const place where = pieces_[part].where;
    return Owners ? tutti::detail::owned_shard(where, comm_) : where;
  }
  std::span<T> room(std::size_t part) override {
    const device_span<T> values = pieces_[part].values.span();
    return {values.data(), values.size()};
  }
  bool weighs() const override { return is_weighted<R> || std::derived_from<R, mean>; }

  void offer(std::size_t part, std::span<const double> weights) override {
    send_off();
    if constexpr (!in_order)
      detail::refuse_capture(on_, "step", "messages of the host, which takes part in them, carry what travels");
    piece& p = pieces_[part];
    if constexpr (is_weighted<R>) tutti::detail::take_weights<R>(p.work, weights, comm_.rank());
    else scale(p, weights);
    travels_.wait_for(on_);
    if constexpr (in_order) reduce(p);
    else next_.emplace(leaving{&p, event{on_}});
  }
  void send_off() override {
    if (!next_) return;
    const leaving one = *std::exchange(next_, std::nullopt);
    one.written.wait();
    one.which->reduces.start();
  }
  void settle(std::size_t part) override {
    send_off();
    if constexpr (!in_order) pieces_[part].reduces.wait();
    arrive();
  }
  void hand_out(std::size_t part) override {
    if constexpr (Owners) {
      travels_.wait_for(on_);
      if constexpr (in_order) {
        detail::enqueue_all(comm_, *pieces_[part].handed, with_.how);
      } else {
        event{on_}.wait();
        pieces_[part].gathers.start();
        pieces_[part].gathers.wait();
      }
      arrive();
    }
  }

private:
  struct piece {
    piece(device_reducing& of, place at)
        : where{at}, values{of.travels_, at.size()}, math{of.travels_, of.with_.reducer, work} {
      if (!at.empty()) {
        const current_device held{of.travels_.device()};
        cuda::check(cudaMemsetAsync(values.span().data(), 0, at.size() * sizeof(T), of.travels_.handle()),
                    "cudaMemsetAsync");
      }
      work.math = math_type::sizes();
      work.total = double(of.comm_.size());
      constexpr collective what = Owners ? collective::reduce_scatter : collective::all_reduce;
      if constexpr (!natively) {
        of.template plan<what, needs_every_contribution<R, T>>(*this, [&](const auto& schedule, const auto& call) {
          planned.emplace(of.travels_,
                          tutti::detail::plan_for(call, schedule, std::remove_cvref_t<decltype(schedule)>::gathers),
                          values.span(), math);
        });
        if constexpr (!in_order) reduces = of.started_later(*planned);
      }
      if constexpr (Owners) {
        of.template plan<collective::all_gather, false>(*this, [&](const auto& schedule, const auto&) {
          handed.emplace(of.travels_,
                         detail::plan_of_copies(of.comm_, collective::all_gather, values.span(), schedule, "all_gather",
                                                of.with_.how),
                         values.span(), nothing);
        });
        if constexpr (!in_order) gathers = of.started_later(*handed);
      }
    }

    place where;
    buffer<T> values;
    tutti::detail::task work{"step"};
    math_type math;
    std::optional<reduced> planned;
    std::optional<copied> handed;
    no_device_arithmetic<T> nothing;
    persistent_request reduces, gathers;
  };

  /// use(schedule, call) with the topology of a collective of this part.
  template <collective What, bool MustMeet, class Use> void plan(piece& p, Use&& use) {
    using body = std::remove_reference_t<decltype(comm_)>;
    const auto wrong = [&](const tutti::detail::objection& why) {
      if (!why.empty())
        throw error{
            {.code = error_code::invalid_argument, .call = "bind", .rank = comm_.rank(), .detail = why.in_words()}};
    };
    wrong(tutti::detail::reducer_objection(with_.reducer, comm_.size()));
    wrong(tutti::detail::topology_objection(comm_, with_.topology));
    const tutti::detail::collective_call<body> call{comm_, What, 0, detail::data_of(comm_, p.values.span()), p.work,
                                                    with_.how};
    tutti::detail::with_topology<What, MustMeet>(with_.topology, comm_, call.data.bytes,
                                                 [&](const auto& schedule) { use(schedule, call); });
  }
  template <class Plan> persistent_request started_later(Plan& what) {
    using body = std::remove_reference_t<decltype(comm_)>;
    return {std::make_unique<device_execution<body, Plan>>(comm_, what, "step", with_.how), comm_.in_flight()};
  }
  void scale(piece& p, std::span<const double> weights) {
    tutti::detail::with_share_of_mean<T>(weights, comm_.rank(),
                                         [&](T factor) { in_.scale(room_of(p), factor); });
  }
  void reduce(piece& p) {
    if constexpr (natively)
      static_cast<void>(comm_.native_all_reduce(travels_, with_.reducer, p.values.span(), with_.how));
    else detail::enqueue_all(comm_, *p.planned, with_.how);
  }
  void arrive() {
    if constexpr (in_order)
      if (!on_.is_captured()) comm_.wait(travels_, with_.how);
    on_.wait_for(travels_);
  }
  static std::span<T> room_of(piece& p) { return {p.values.span().data(), p.values.size()}; }

  tutti::detail::memory<T>& in_;
  const stream& on_;
  stream travels_;
  carrying_parts<Comm, Topology, R, identity> with_;
  tutti::detail::stationary_type<Comm>& comm_;
  std::deque<piece> pieces_; ///< which do not move
  struct leaving {
    piece* which;
    event written;
  };
  std::optional<leaving> next_;
};

/// That carrier, where the parts and the communicator allow it; null where what travels goes through the host.
/// Collective.
template <class T, bool Owners, class Built, class Parts>
std::unique_ptr<carrier<T>> carried_on_device(tutti::detail::memory<T>& in, const stream& on, const Parts& parts,
                                              std::span<const place> pieces) {
  return [&]<class Comm, class Topology, class R, class Codec>(
             const carrying_parts<Comm, Topology, R, Codec>& with) -> std::unique_ptr<carrier<T>> {
    if constexpr (std::same_as<Codec, identity> && may_move_device_memory<Comm>)
      if constexpr (is_enqueued<R, T>)
        if (enqueues<Comm> || detail::moves_device_memory(with.comm, on, with.how))
          return std::make_unique<device_reducing<T, Comm, Topology, R, Owners, Built>>(in, on, with, pieces);
    return {};
  }(parts);
}

} // namespace tutti::cuda::detail
