// warmed_up: a sparse codec that sends more values while training begins.
#pragma once

#include <tutti/codecs/codec.hpp>

#include <cstdint>

namespace tutti {

namespace detail {

/// What part of the values a sparse codec sends, or the one inside of it: of top_k and random_k `fraction`, of
/// chunked_top_k `kept` of 4,096.
template <class C>
constexpr double share_sent(const C& c) noexcept {
  if constexpr (requires { c.fraction; })
    return c.fraction;
  else if constexpr (requires { c.kept_of(C::chunk); })
    return double(c.kept) / double(C::chunk);
  else
    return detail::share_sent(c.inner);
}
template <class C>
constexpr C sending(C c, double share) noexcept {
  if constexpr (requires { c.fraction; })
    c.fraction = share;
  else if constexpr (requires { c.kept_of(C::chunk); })
    c.kept = int(share * double(C::chunk));
  else
    c.inner = detail::sending(c.inner, share);
  return c;
}
template <class C>
constexpr bool sends_a_share() {
  if constexpr (requires(const C c) { c.fraction; } || requires(const C c) { c.kept_of(C::chunk); })
    return true;
  else if constexpr (requires(const C c) { c.inner; })
    return detail::sends_a_share<decltype(C::inner)>();
  else
    return false;
}

} // namespace detail

/// In a strategy: what `inner` sends is a part `from` of the values at first, then a quarter of that, and so on in stages
/// of one length, until after `steps` exchanges it is what `inner` says (Lin et al., "Deep gradient compression", ICLR
/// 2018, section 3.3, "Warm-up training": 25, 6.25, 1.5625, .4 and then .1 percent; there a stage is an epoch). An
/// exchange is a step in which gradients were agreed on: it is counted where the codec's memory is kept, and in the
/// checkpoint, so every rank has the same, a step that is skipped is not one, and training that is resumed goes on where
/// it was. Around error_feedback, ef21 or dgc over top_k, random_k or chunked_top_k; other codecs have no part that could
/// be more. A call by hand takes what at(exchange) returns. Cost: messages of every stage are prepared once, in its first
/// step.
template <codec C>
struct warmed_up {
  static_assert(detail::sends_a_share<C>() && detail::remembers<C>,
                "tutti: warmed_up raises what part of the values a sparse codec sends, by exchanges that a memory counts - "
                "give it tutti::dgc, tutti::error_feedback or tutti::ef21 over tutti::top_k, tutti::random_k or "
                "tutti::chunked_top_k");
  using part = codec_part;
  static constexpr codec_kind kind = C::kind;

  C inner{};
  int steps = 0;
  double from = .25;

  /// Which part of the values is sent, counted in quarterings; after the last one what `inner` says.
  constexpr int stage(std::uint64_t exchange) const noexcept {
    const int all = stages();
    return exchange >= std::uint64_t(steps) ? all : int(exchange * std::uint64_t(all) / std::uint64_t(steps));
  }
  constexpr C at(std::uint64_t exchange) const noexcept {
    const int now = stage(exchange);
    return now == stages() ? inner : detail::sending(inner, sent_in(now));
  }
  const char* objection() const noexcept {
    if (steps < 0) return "warmed_up::steps is negative - give how many exchanges it takes, or 0";
    if (!(from > 0 && from <= 1)) return "warmed_up::from is not in (0, 1] - give what part of the values is sent first";
    if constexpr (requires { inner.objection(); }) return inner.objection();
    return nullptr;
  }

private:
  /// Quarters are exact, so all ranks have the same.
  constexpr double sent_in(int stage) const noexcept {
    double share = from;
    for (int k = 0; k < stage; ++k) share /= 4;
    return share;
  }
  /// In which more is sent than in the end; of numbers that are refused not many either.
  constexpr int stages() const noexcept {
    const double last = detail::share_sent(inner);
    int all = 0;
    for (double share = from; share > last && all < 64; share /= 4) ++all;
    return all;
  }
};
template <codec C>
warmed_up(C, int) -> warmed_up<C>;
template <codec C>
warmed_up(C, int, double) -> warmed_up<C>;

} // namespace tutti
