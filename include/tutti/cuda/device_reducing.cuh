// Contributions in the memory of a device are reduced over a schedule where they are: a carrier whose messages name it.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/cuda/device_execution.cuh>
#include <tutti/cuda/host_messages.cuh>
#include <tutti/training/memory.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

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

/// The bits of tutti::reducing over the same topology, and what it remembers, under the same names. Codecs that kernels
/// know (codes_on_device) encode where contributions are, so that encoded bytes alone travel; what is exempt from the
/// codec travels as it is. Messages that cannot name the device's memory are staged. What travels has a stream of its
/// own beside the trainer's: it leaves behind all that the trainer's was given before, and that waits for what comes. A
/// communicator that enqueues is given a part when it is offered; one of the host when the next is offered, when
/// nothing more is, or when one is settled, which waits until it is written. Who settles waits until the part is there,
/// with the deadline of a call - but not while the trainer's stream is captured, when all that is done is in its order.
/// Cost of a part: that of the topology; rooms, and what arrives, are had once.
template <class T, class Comm, class Topology, class R, class Codec, bool Owners, class Built>
class device_reducing final : public carrier<T> {
  static constexpr bool in_order = enqueues<Comm>;
  template <class X> using buffer = std::conditional_t<in_order, device_buffer<X>, plain_buffer<X>>;
  using codec_type = tutti::detail::codec_of_tensors_t<Codec>;
  static constexpr bool encodes = !std::same_as<codec_type, identity>;
  using coder_type = device_coder<Built, codec_type, T>;
  static constexpr bool remembers = encodes && tutti::detail::remembers<codec_type>;
  template <class Math>
  using plan_type = std::conditional_t<in_order, device_plan<T, Math, buffer>,
                                       host_messages<device_plan<T, Math, buffer>>>;
  using copied = plan_type<no_device_arithmetic<T>>;

public:
  /// Collective.
  device_reducing(tutti::detail::memory<T>& in, const stream& on,
                  const carrying_parts<Comm, Topology, R, Codec>& with, std::span<const place> parts,
                  std::size_t exempt_from, bool through_host)
      : in_{in}, on_{on}, through_host_{through_host}, travels_{on.device()}, with_{with},
        codec_{tutti::detail::codec_of_tensors(with.codec)}, comm_{tutti::detail::stationary(with.comm)} {
    with_.how.weight = 1; // weights come with each offer
    tutti::detail::made(comm_, [&] {
      for (const place where : parts) pieces_.emplace_back(*this, where, exempt_from);
    });
    on_.wait_for(travels_);
  }
  /// What is on its way, and what uses it, is over before its memory is given back.
  ~device_reducing() override {
    for (piece& p : pieces_) {
      each_way(p, [](auto& one) { static_cast<void>(one.reduces = {}); });
      static_cast<void>(p.gathers = {});
    }
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
    if constexpr (remembers) {
      detail::refuse_capture(on_, "step", "what its codec remembers is another in every step; capture steps without "
                                          "error_feedback");
      static_cast<void>(exchanges_.before());
    }
    piece& p = pieces_[part];
    if constexpr (is_weighted<R>)
      each_way(p, [&](auto& one) { tutti::detail::take_weights<R>(one.work, weights, comm_.rank()); });
    else scale(p, weights);
    travels_.wait_for(on_);
    if constexpr (in_order) each_way(p, [&](auto& one) { reduce(one); });
    else next_.emplace(leaving{&p, event{on_}});
  }
  void send_off() override {
    if (!next_) return;
    const leaving first = *std::exchange(next_, std::nullopt);
    first.written.wait();
    each_way(*first.which, [](auto& one) { one.reduces.start(); });
  }
  void settle(std::size_t part) override {
    send_off();
    if constexpr (!in_order) each_way(pieces_[part], [](auto& one) { one.reduces.wait(); });
    arrive();
  }
  void keep(std::size_t part) override {
    if constexpr (remembers) {
      if (pieces_[part].through) pieces_[part].through->coder.commit();
      exchanges_.keep();
    }
  }
  void state(archive& to) override {
    if constexpr (remembers) {
      exchanges_.state(to);
      on_.wait_for(travels_);
      for (piece& p : pieces_) { // of what is exempt nothing is remembered: zeros
        visit(to, codec_slots<codec_type>[0], p, [&](bool) -> auto& { return p.through->coder.sent(); });
        visit(to, "unpublished", p, [&](bool begin) -> auto& { return p.through->coder.published(begin); });
      }
      travels_.wait_for(on_);
    }
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
  /// What of a part travels by one call, coded or as it is.
  template <class Coder> struct way {
    using math_type = device_arithmetic<Built, R, T, Coder>;
    using reduced = plan_type<math_type>;
    static constexpr bool natively = !Owners && Coder::exact && reduces_natively<Comm, Topology, R, T>;

    template <class... Codecs>
    way(device_reducing& of, device_span<T> what, const Codecs&... codec)
        : values{what}, coder(made_coder(of, what, codec...)), math{of.travels_, of.with_.reducer, work, coder} {
      work.math = math_type::sizes();
      coder.describe(work.math);
      work.total = double(of.comm_.size());
      constexpr collective what_for = Owners ? collective::reduce_scatter : collective::all_reduce;
      if constexpr (!natively) {
        of.template plan<what_for, needs_every_contribution<R, T> || !Coder::exact>(
            work, values, [&](const auto& schedule, const auto& call) {
              of.make(planned,
                      tutti::detail::plan_for(call, schedule, std::remove_cvref_t<decltype(schedule)>::gathers), values,
                      math);
            });
        if constexpr (!in_order) reduces = of.started_later(*planned);
      }
    }
    static Coder made_coder(const device_reducing&, device_span<T>) { return {}; }
    template <class C> static Coder made_coder(const device_reducing& of, device_span<T> what, const C& codec) {
      return {of.travels_, codec, what.size()};
    }

    device_span<T> values;
    tutti::detail::task work{"step"};
    Coder coder;
    math_type math;
    std::optional<reduced> planned;
    persistent_request reduces;
  };
  struct piece {
    piece(device_reducing& of, place at, std::size_t exempt_from) : where{at}, values{of.travels_, at.size()} {
      const device_span<T> all = values.span();
      if (!at.empty()) {
        const current_device held{of.travels_.device()};
        cuda::check(cudaMemsetAsync(all.data(), 0, at.size() * sizeof(T), of.travels_.handle()), "cudaMemsetAsync");
      }
      const std::size_t coded = encodes ? common(at, {0, exempt_from}).size() : 0;
      if constexpr (encodes)
        if (coded > 0) through.emplace(of, all.first(coded), of.codec_);
      if (coded < at.size() || at.empty()) as_it_is.emplace(of, all.subspan(coded, at.size() - coded));
      if constexpr (Owners) {
        tutti::detail::task handing{"step"};
        handing.math = no_device_arithmetic<T>::sizes();
        of.template plan<collective::all_gather, false>(handing, all, [&](const auto& schedule, const auto&) {
          of.make(handed,
                  detail::plan_of_copies(of.comm_, collective::all_gather, all, schedule, "all_gather", of.with_.how),
                  all, nothing);
        });
        if constexpr (!in_order) gathers = of.started_later(*handed);
      }
    }

    place where;
    buffer<T> values;
    std::optional<way<coder_type>> through;        ///< the codec
    std::optional<way<exact_coder<T>>> as_it_is;   ///< what is exempt from it
    std::optional<copied> handed;
    no_device_arithmetic<T> nothing;
    persistent_request gathers;
  };
  template <class Use> static void each_way(piece& p, Use&& use) {
    if constexpr (encodes)
      if (p.through) use(*p.through);
    if (p.as_it_is) use(*p.as_it_is);
  }

  /// use(schedule, call) with the topology of a collective of this part.
  template <collective What, bool MustMeet, class Use>
  void plan(tutti::detail::task& work, device_span<T> values, Use&& use) {
    using body = std::remove_reference_t<decltype(comm_)>;
    const auto wrong = [&](const tutti::detail::objection& why) {
      if (!why.empty())
        throw error{
            {.code = error_code::invalid_argument, .call = "bind", .rank = comm_.rank(), .detail = why.in_words()}};
    };
    wrong(tutti::detail::reducer_objection(with_.reducer, comm_.size()));
    wrong(tutti::detail::topology_objection(comm_, with_.topology));
    const tutti::detail::collective_call<body> call{comm_, What, 0, detail::data_of(comm_, values), work, with_.how};
    tutti::detail::with_topology<What, MustMeet>(with_.topology, comm_, call.data.bytes,
                                                 [&](const auto& schedule) { use(schedule, call); });
  }
  template <class Plan, class... Arguments> void make(std::optional<Plan>& to, Arguments&&... of) {
    if constexpr (in_order) to.emplace(travels_, std::forward<Arguments>(of)...);
    else to.emplace(through_host_, travels_, std::forward<Arguments>(of)...);
  }
  template <class Plan> persistent_request started_later(Plan& what) {
    using body = std::remove_reference_t<decltype(comm_)>;
    return {std::make_unique<device_execution<body, Plan>>(comm_, what, "step", with_.how), comm_.in_flight()};
  }
  void scale(piece& p, std::span<const double> weights) {
    tutti::detail::with_share_of_mean<T>(weights, comm_.rank(),
                                         [&](T factor) { in_.scale(room_of(p), factor); });
  }
  template <class Way> void reduce(Way& one) {
    if constexpr (Way::natively)
      static_cast<void>(comm_.native_all_reduce(travels_, with_.reducer, one.values, with_.how));
    else detail::enqueue_all(comm_, *one.planned, with_.how);
  }
  /// What is remembered of a part, which may cover a place of it, or nothing yet (codecs/memory.hpp).
  template <class Memory> void visit(archive& to, std::string_view name, piece& p, Memory&& memory) {
    std::vector<T> whole(p.where.size());
    const auto copy = [&](bool out, std::span<T> kept, place where) {
      const auto here = std::span{whole}.subspan(where.begin, where.size());
      out ? std::ranges::copy(kept, here.begin()) : std::ranges::copy(here, kept.begin());
    };
    const auto on_host = [&](auto& kept, auto&& use) {
      const device_span<T> values = kept.now();
      in_.on_host(std::span<T>{values.data(), values.size()}, [&](std::span<T> here) { use(here, kept.covered()); });
    };
    if (!p.through) return to.values(name, std::span<T>{whole}, p.where, held_by::worker);
    auto& kept = memory(false);
    const bool was_empty = kept.empty();
    on_host(kept, [&](std::span<T> values, place where) {
      copy(true, values, where);
      to.values(name, std::span<T>{whole}, p.where, held_by::worker);
      copy(false, values, where);
    });
    if (!was_empty || std::ranges::all_of(whole, [](T v) { return v == 0; })) return;
    travels_.wait_for(on_);
    auto& made = memory(true);
    on_.wait_for(travels_);
    on_host(made, [&](std::span<T> values, place where) { copy(false, values, where); });
  }
  void arrive() {
    if constexpr (in_order)
      if (!on_.is_captured()) comm_.wait(travels_, with_.how);
    on_.wait_for(travels_);
  }
  static std::span<T> room_of(piece& p) { return {p.values.span().data(), p.values.size()}; }

  tutti::detail::memory<T>& in_;
  const stream& on_;
  bool through_host_;
  stream travels_;
  carrying_parts<Comm, Topology, R, Codec> with_;
  const codec_type& codec_;
  tutti::detail::stationary_type<Comm>& comm_;
  std::deque<piece> pieces_; ///< which do not move
  struct leaving {
    piece* which;
    event written;
  };
  std::optional<leaving> next_;
  tutti::detail::counted_exchanges exchanges_; ///< of what the codec remembers
};

/// Whether contributions of T go through a strategy's codec on the device, and are exact where there is none.
template <class Codec, class T>
inline constexpr bool travels_coded = [] {
  using codec_type = tutti::detail::codec_of_tensors_t<Codec>;
  if constexpr (std::same_as<codec_type, identity>) return true;
  return std::floating_point<T> && codes_on_device<codec_type> && !tutti::detail::chooses_parts<Codec> &&
         !tutti::detail::changes<Codec>;
}();

/// That carrier, where the parts and the communicator allow it, or there is something to encode before it is staged;
/// null where contributions go through the host as they are. Collective.
template <class T, bool Owners, class Built, class Parts>
std::unique_ptr<carrier<T>> carried_on_device(tutti::detail::memory<T>& in, const stream& on, const Parts& parts,
                                              std::span<const place> pieces, std::size_t exempt_from) {
  return [&]<class Comm, class Topology, class R, class Codec>(
             const carrying_parts<Comm, Topology, R, Codec>& with) -> std::unique_ptr<carrier<T>> {
    constexpr bool encodes = !std::same_as<tutti::detail::codec_of_tensors_t<Codec>, identity>;
    if constexpr (travels_coded<Codec, T> && (encodes || may_move_device_memory<Comm>))
      if constexpr (is_enqueued<R, T>) {
        const bool moves = enqueues<Comm> || detail::moves_device_memory(with.comm, on, with.how);
        if (moves || encodes)
          return std::make_unique<device_reducing<T, Comm, Topology, R, Codec, Owners, Built>>(in, on, with, pieces,
                                                                                               exempt_from, !moves);
      }
    return {};
  }(parts);
}

} // namespace tutti::cuda::detail
