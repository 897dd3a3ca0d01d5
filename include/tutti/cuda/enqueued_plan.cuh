// A plan on device memory: its messages, copies and kernels in the order of one stream.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/partials.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/stream_execution.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace tutti::cuda::detail {

/// Whether a reducer of elements T may be enqueued: it folds in kernels, or is one that kernels know, and looks at
/// values alone.
template <class R, class T>
inline constexpr bool is_enqueued = reduces_in_chunks<R, T> &&
                                    (reduces_in_kernels<R, T> || std::same_as<R, median> ||
                                     std::same_as<R, trimmed_mean>);
template <class R, class T> constexpr void explain_enqueued() {
  static_assert(reduces_in_chunks<R, T>,
                "tutti::cuda::all_reduce: this reducer looks at all values, or at where they stand, which kernels do "
                "not - give a cuda::staging, or copy the values to the host and call tutti::all_reduce");
  if constexpr (reduces_in_chunks<R, T> && !is_enqueued<R, T>) detail::explain_reducer<R, T>();
}

/// The parts that these collectives take; memories and codecs are not among them.
template <class... Parts> constexpr void explain_parts() {
  using tutti::detail::count_parts;
  static_assert(count_parts<codec_part, Parts...> + count_parts<memory_part, Parts...> == 0,
                "tutti::cuda::all_reduce: messages between devices are not encoded - leave the codec out, or give a "
                "cuda::staging, which travels through the host");
}

/// The arithmetic of a plan: what lies in device memory, and kernels for it.
template <class Built, class R, class T> class device_arithmetic {
public:
  using A = reducer_accumulator_t<R, T>;
  static constexpr bool in_place = tutti::detail::plain_lift<R, T> && std::same_as<A, T>;
  static constexpr bool reduces = true, folds = folding_reducer<R, T>; ///< all at once; and in pairs

  device_arithmetic(const stream& on, const R& reducer, const tutti::detail::task& work)
      : on_{on}, reducer_{reducer}, work_{work} {}

  /// As planners read it.
  static tutti::detail::arithmetic sizes() {
    tutti::detail::arithmetic math;
    math.value_bytes = sizeof(T);
    math.accumulator_bytes = sizeof(A);
    math.in_place = in_place;
    return math;
  }

  void lift(device_span<const T> in, device_span<A> out) const {
    detail::lift_contribution<Built>(on_, reducer_, in, work_.weight, out);
  }
  void lower(device_span<const A> in, device_span<T> out) const {
    if constexpr (tutti::detail::plain_lower<R, T>)
      if (static_cast<const void*>(in.data()) == out.data()) return;
    detail::lower_partial<Built>(on_, reducer_, in, work_.total, out);
  }
  void fold(const std::vector<device_span<const A>>& in, device_span<A> out) const {
    const kernels::partial_fold<R, A> folding{reducer_};
    const std::span<const device_span<const A>> all{in};
    if (in.size() == 2) return detail::reduce_static<2, Built>(on_, folding, all, out);
    cuda::reduce_weighted<kernels::partial_fold<R, A>, A, Built>(on_, folding, all, {}, out);
  }
  void unite(const std::vector<device_span<const T>>& in, device_span<T> out) const {
    const std::span<const device_span<const T>> all{in};
    if constexpr (is_weighted<R>) {
      cuda::reduce_weighted<R, T, Built>(on_, reducer_, all, work_.weights, out);
    } else if constexpr (folding_reducer<R, T>) {
      if (in.size() <= tuning::static_contributions) return cuda::reduce<R, T, Built>(on_, reducer_, all, out);
      cuda::reduce_weighted<R, T, Built>(on_, reducer_, all, {}, out);
    } else {
      cuda::reduce<T, Built>(on_, reducer_, all, out);
    }
  }

private:
  const stream& on_;
  const R& reducer_;
  const tutti::detail::task& work_;
};

/// Copies alone: nothing is lifted, folded or lowered.
template <class T> struct no_device_arithmetic {
  using A = T;
  static constexpr bool in_place = true, reduces = false, folds = false;
  static tutti::detail::arithmetic sizes() { return tutti::detail::copying(sizeof(T)); }
};

/// The rounds of a plan on device memory, as the executor of the host runs them (collectives/executor.hpp): what lies
/// between two exchanges is enqueued on a stream, and nothing is waited for. Buffer is what memory beside the data is
/// had as: `device_buffer`, or `plain_buffer` for messages that others read where they are. Math outlives it.
template <class T, class Math, template <class> class Buffer = device_buffer> class device_plan {
  using plan = tutti::detail::plan;
  using piece = tutti::detail::piece;
  using message = tutti::detail::message;
  using A = typename Math::A;

public:
  device_plan(const stream& on, std::shared_ptr<const plan> what, device_span<T> data, const Math& math)
      : on_{on}, kept_{std::move(what)}, plan_{*kept_}, data_{data}, math_{math}, staged_{on, plan_.staging_bytes} {
    if constexpr (lifts)
      if (!plan_.gathers) accumulators_ = Buffer<A>{on, data.size()};
  }

  std::size_t rounds() const noexcept { return plan_.rounds.size(); }

  /// Before the first round.
  void begin() const {
    if constexpr (lifts)
      if (!plan_.gathers) math_.lift(data_, accumulators_.span());
  }
  /// Before the messages of a round are exchanged.
  void prepare(std::size_t r) {
    const auto& round = plan_.rounds[r];
    for (auto k = round.first_lower; k < round.last_lower; ++k) lower(plan_.lowers[k]);
    for (auto k = round.first_send; k < round.last_send; ++k)
      if (plan_.sends[k].staged) move_pieces(plan_.sends[k], true);
  }
  /// Valid until it is called again.
  exchange_round messages(std::size_t r) {
    const auto& round = plan_.rounds[r];
    sends_.clear(), receives_.clear();
    for (auto k = round.first_send; k < round.last_send; ++k)
      sends_.push_back({plan_.sends[k].peer, {place_of(plan_.sends[k]), plan_.sends[k].bytes}});
    for (auto k = round.first_receive; k < round.last_receive; ++k)
      receives_.push_back({plan_.receives[k].peer, {place_of(plan_.receives[k]), plan_.receives[k].bytes}});
    return {sends_, receives_};
  }
  /// Behind them.
  void absorb(std::size_t r) {
    const auto& round = plan_.rounds[r];
    for (auto k = round.first_receive; k < round.last_receive; ++k)
      if (plan_.receives[k].staged && plan_.receives[k].act == action::store) move_pieces(plan_.receives[k], false);
    for (auto k = round.first_fold; k < round.last_fold; ++k) fold(plan_.folds[k]);
  }
  /// Behind the last round.
  void end() {
    for (std::size_t k = plan_.last_lowers; k < plan_.lowers.size(); ++k) lower(plan_.lowers[k]);
  }

  const stream& on() const noexcept { return on_; }

private:
  static constexpr bool lifts = Math::folds && !Math::in_place;

  device_span<T> values(const piece& where) const { return data_.subspan(where.offset, where.count); }
  /// Accumulators stand in the data itself, where they are values.
  device_span<A> partials(const piece& where) const {
    if constexpr (Math::in_place)
      return values(where);
    else
      return accumulators_.span().subspan(where.offset, where.count);
  }
  std::byte* place_of(const message& m) const {
    if (m.staged) return staged_.span().data() + m.at;
    std::byte* const begin = m.partial && !Math::in_place ? reinterpret_cast<std::byte*>(accumulators_.span().data())
                                                          : reinterpret_cast<std::byte*>(data_.data());
    return begin + m.at;
  }

  /// Between a message that is put together and the pieces of the data that it consists of.
  void move_pieces(const message& m, bool out) const {
    std::byte* at = place_of(m);
    const current_device held{on_.device()};
    for (std::uint32_t k = 0; k < m.pieces; ++k) {
      const piece& p = plan_.pieces[m.first_piece + k];
      void* const own = m.partial ? static_cast<void*>(partials(p).data()) : static_cast<void*>(values(p).data());
      const std::size_t bytes = p.count * (m.partial ? sizeof(A) : sizeof(T));
      cuda::check(cudaMemcpyAsync(out ? at : own, out ? own : at, bytes, cudaMemcpyDeviceToDevice, on_.handle()),
                  "cudaMemcpyAsync");
      at += bytes;
    }
  }

  template <class X> std::vector<device_span<const X>> operands(const tutti::detail::fold_step& f, device_span<X> own) {
    std::vector<device_span<const X>> all;
    for (std::uint32_t k = 0; k < f.operands; ++k) {
      const auto& o = plan_.operands[f.first_operand + k];
      if (o.receive == tutti::detail::own_value)
        all.push_back(own);
      else
        all.push_back({reinterpret_cast<const X*>(place_of(plan_.receives[o.receive])) + o.offset, f.where.count,
                       on_.device()});
    }
    return all;
  }
  void fold(const tutti::detail::fold_step& f) {
    if constexpr (Math::reduces)
      if (plan_.gathers) return math_.unite(operands(f, values(f.where)), values(f.where));
    if constexpr (Math::folds) math_.fold(operands(f, partials(f.where)), partials(f.where));
  }
  void lower(const piece& where) {
    if constexpr (Math::reduces)
      if (plan_.gathers) return math_.unite({values(where)}, values(where));
    if constexpr (Math::folds) math_.lower(partials(where), values(where));
  }

  const stream& on_;
  const std::shared_ptr<const plan> kept_;
  const plan& plan_;
  device_span<T> data_;
  const Math& math_;
  Buffer<std::byte> staged_;
  Buffer<A> accumulators_; ///< none where the data itself holds them
  std::vector<outgoing> sends_;
  std::vector<incoming> receives_;
};

/// All of it by a communicator that enqueues, whose messages are in the order of the stream as well.
template <class Comm, class Plan> void enqueue_all(Comm& comm, Plan& all, const options& how) {
  const channel on = comm.in_flight().next_channel();
  all.begin();
  for (std::size_t r = 0; r < all.rounds(); ++r) {
    all.prepare(r);
    static_cast<void>(comm.exchange(stream_execution{all.on(), how}, on, all.messages(r)));
    all.absorb(r);
  }
  all.end();
}

template <class Comm, class T>
tutti::detail::call_data data_of(const Comm&, device_span<T> data) {
  return {reinterpret_cast<std::byte*>(data.data()), data.size(), data.size() * sizeof(T), nullptr};
}

/// What every call does: its plan is made or found and enqueued; what fails here fails on all ranks.
template <class Comm, class T, class Math, class Topology>
void enqueue_plan(tutti::detail::collective_call<Comm>& call, const stream& on, device_span<T> data, const Math& math,
                  const Topology& schedule, bool gathers) {
  try {
    detail::refuse_capture(on, call.work.call, "memory for what arrives is had in every call; capture cuda::native{}");
    device_plan<T, Math> all{on, tutti::detail::plan_for(call, schedule, gathers), data, math};
    detail::enqueue_all(call.comm, all, call.how);
  } catch (const error& e) {
    tutti::detail::fail_call(call.comm, call.work.call, e.details(), [] {});
  }
}

/// An all_reduce that all ranks agree on: use(call, math) carries it out.
template <class Built, class Comm, class T, class R, class Use>
void with_reduction(const char* name, Comm& comm, const stream& on, device_span<T> data, const R& r, const options& how,
                    Use&& use) {
  using math_type = device_arithmetic<Built, R, T>;
  if (const auto wrong = tutti::detail::reducer_objection(r, comm.size()); !wrong.empty())
    throw error{{.code = error_code::invalid_argument, .call = name, .rank = comm.rank(), .detail = wrong.in_words()}};
  tutti::detail::task work{name};
  work.math = math_type::sizes();
  work.total = double(comm.size());
  if constexpr (is_weighted<R>) tutti::detail::agree_on_weights<R>(tutti::control_of(comm), how, work);
  tutti::detail::collective_call<Comm> call{comm, collective::all_reduce, 0, detail::data_of(comm, data), work, how};
  use(call, math_type{on, r, work});
}
template <class Built, class Comm, class T, class R, class Topology>
void enqueue_reduction(const char* name, Comm& comm, const stream& on, device_span<T> data, const R& r,
                       const Topology& schedule, const options& how) {
  detail::with_reduction<Built>(name, comm, on, data, r, how, [&](auto& call, const auto& math) {
    detail::enqueue_plan(call, on, data, math, schedule, Topology::gathers);
  });
}

template <class Comm, class T, class Topology>
void enqueue_copies(const char* name, Comm& comm, const stream& on, device_span<T> data, int root,
                    const Topology& schedule, const options& how) {
  tutti::detail::task work{name};
  work.math = no_device_arithmetic<T>::sizes();
  tutti::detail::collective_call<Comm> call{comm, collective::broadcast, root, detail::data_of(comm, data), work, how};
  detail::enqueue_plan(call, on, data, no_device_arithmetic<T>{}, schedule, false);
}

} // namespace tutti::cuda::detail
