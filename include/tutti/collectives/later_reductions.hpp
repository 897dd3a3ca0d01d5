// async_ and persistent_ all_reduce, reduce_scatter, reduce: the collectives that compute, started
// and waited for. What they promise is in collectives/collectives.hpp.
#pragma once

#include <tutti/collectives/reductions.hpp>

#include <memory>

namespace tutti {

namespace detail {

/// An operation that owns the reducer and codec it computes with, and knows its contribution.
template <class R, class Codec, class In> class owning_operation final : public operation {
public:
  owning_operation(const R& r, const Codec& codec, const In& in, std::byte* out)
      : reducer_{r}, codec_{codec}, in_{in}, out_{out} {}

  /// make(reducer, codec) is the operation; before anything else.
  template <class Make> void hold(Make&& make) { inner_ = make(reducer_, codec_); }

  bool advance() override { return inner_->advance(); }
  std::uint64_t progress() override { return inner_->progress(); }
  void idle(std::uint64_t seen) override { inner_->idle(seen); }
  void check_deadline() override { inner_->check_deadline(); }
  deadline until() override { return inner_->until(); }
  void abandon() noexcept override { inner_->abandon(); }
  bool takes_turns() const noexcept override { return inner_->takes_turns(); }
  bool refers_to(const void* communicator) const noexcept override {
    return inner_->refers_to(communicator);
  }

private:
  void begin() override {
    in_.copy_to(out_);
    inner_->start();
  }

  R reducer_;
  Codec codec_;
  In in_;
  std::byte* out_;
  std::unique_ptr<operation> inner_;
};

/// How often a reduction is started that is made before it is.
enum class starts { once, again };

template <collective What, starts How, class Comm, class In, class Data, class... Parts>
std::unique_ptr<operation> reduce_later(const called<Comm>& call, const In& in, Data& data, const Parts&... parts) {
  detail::explain<known_parts_sentences<Parts...>, call_sentences<Parts...>>();
  using made = reduction_of<What, Comm, Data, Parts...>;
  using T = typename made::element;
  using R = typename made::reducer_type;
  using Codec = typename made::codec_type;
  static_assert(!observes_gathered<R, T>,
                "tutti: this reducer makes an agreement while the data is on its way - call the "
                "blocking form");
  static_assert(How == starts::once || !observes_own<R, T>,
                "tutti: this reducer makes an agreement on the data, which is other data at every "
                "start - call the blocking form, or the async_ one");
  constexpr bool valid = made::valid && (How == starts::once || !observes_own<R, T>);
  if constexpr (!valid) {
    made::explain();
    return {};
  } else if constexpr (!observes_gathered<R, T>) {
    const made given = detail::made_reduction<made>(call, in, data, parts...);
    std::byte* const out = given.data.bytes();
    if constexpr (observes_own<R, T>) in.copy_to(out); // what is agreed on is there
    return detail::after_agreement(
        given, given.reducer, [&](const auto& working) -> std::unique_ptr<operation> {
          using W = std::remove_cvref_t<decltype(working)>;
          auto all = detail::made(call.comm, [&] {
            return std::make_unique<owning_operation<W, Codec, In>>(working, given.codec, in, out);
          });
          all->hold([&](const W& own_reducer, const Codec& own_codec) {
            return detail::prepare(given, own_reducer, own_codec, detail::is_kept(call.comm));
          });
          return all;
        });
  } else {
    return {};
  }
}

/// The same, where what was handed over can be used.
template <collective What, starts How, class Comm, class Data, class... Parts>
std::unique_ptr<operation> reduce_checked_later(const called<Comm>& call, Data&& data, const Parts&... parts) {
  if constexpr (can_use<handed<as::result, Data>>)
    return detail::reduce_later<What, How>(call, in_place{}, data, parts...);
  else detail::explain_data<handed<as::result, Data>>();
  return {};
}

/// By a reducer that weighs, where all ranks know all weights; nobody waits for them. It refers to reducer and
/// codec.
template <class Reduction>
std::unique_ptr<operation> weighed_reduction(const Reduction& given, std::span<const double> weights) {
  static_assert(is_weighted<typename Reduction::reducer_type>);
  detail::check_reduction(given);
  return detail::prepare(given, given.reducer, given.codec, detail::is_kept(given.call.comm), weights);
}

template <starts How, class Comm, class In, class Out, class... Parts>
std::unique_ptr<operation> all_reduce_beside_later(const called<Comm>& call, In&& in, Out&& out,
                                                   const Parts&... parts) {
  if constexpr (can_use<handed<as::kept_input, In>, handed<as::result, Out>>)
    return detail::reduce_later<collective::all_reduce, How>(
        call, beside<element_of<Out>>{detail::input_of(in)}, out, parts...);
  else detail::explain_data<handed<as::kept_input, In>, handed<as::result, Out>>();
  return {};
}
template <starts How, class Comm, class Data, class... Rest>
std::unique_ptr<operation> all_reduce_later(Comm& comm, Data&& data, Rest&&... rest) {
  const called call{"all_reduce", comm};
  if constexpr (data_follows<Data, Rest...>)
    return detail::all_reduce_beside_later<How>(call, std::forward<Data>(data),
                                                std::forward<Rest>(rest)...);
  else
    return detail::reduce_checked_later<collective::all_reduce, How>(call, std::forward<Data>(data), rest...);
}

} // namespace detail

template <communicator Comm, class Data, class... Rest>
request async_all_reduce(Comm& comm, Data&& data, Rest&&... rest) {
  return {detail::all_reduce_later<detail::starts::once>(comm, std::forward<Data>(data),
                                                         std::forward<Rest>(rest)...),
          comm.in_flight()};
}

template <communicator Comm, class Data, class... Rest>
persistent_request persistent_all_reduce(Comm& comm, Data&& data, Rest&&... rest) {
  return {detail::all_reduce_later<detail::starts::again>(comm, std::forward<Data>(data),
                                                          std::forward<Rest>(rest)...),
          comm.in_flight()};
}

/// This rank's shard is `shard_of(data.size(), rank, size)` when the request is complete.
template <communicator Comm, class Data, class... Parts>
request async_reduce_scatter(Comm& comm, Data&& data, Parts&&... parts) {
  return {detail::reduce_checked_later<collective::reduce_scatter, detail::starts::once>(
              detail::called{"reduce_scatter", comm}, std::forward<Data>(data), parts...),
          comm.in_flight()};
}

template <communicator Comm, class Data, class... Parts>
persistent_request persistent_reduce_scatter(Comm& comm, Data&& data, Parts&&... parts) {
  return {detail::reduce_checked_later<collective::reduce_scatter, detail::starts::again>(
              detail::called{"reduce_scatter", comm}, std::forward<Data>(data), parts...),
          comm.in_flight()};
}

template <communicator Comm, class Data, class... Parts>
request async_reduce(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  return {detail::reduce_checked_later<collective::reduce, detail::starts::once>(
              detail::called{"reduce", comm, root}, std::forward<Data>(data), parts...),
          comm.in_flight()};
}

template <communicator Comm, class Data, class... Parts>
persistent_request persistent_reduce(Comm& comm, Data&& data, int root = 0, Parts&&... parts) {
  return {detail::reduce_checked_later<collective::reduce, detail::starts::again>(
              detail::called{"reduce", comm, root}, std::forward<Data>(data), parts...),
          comm.in_flight()};
}

} // namespace tutti
