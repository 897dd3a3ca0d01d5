// Codecs of contributions that travel from device to device: what a plan on device memory encodes and decodes by.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/collect.cuh>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/reducers/elementary.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

namespace tutti::cuda::detail {

/// The codecs that a strategy on device memory has kernels for, both ways: casts to four bytes or fewer, and codecs of
/// blocks of 128 or 256 values, with error feedback or without. Any other codec encodes on the host.
template <class C> inline constexpr bool codes_both_ways = codes_in_kernels<C>;
template <class W> inline constexpr bool codes_both_ways<cast<W>> = real_element<W> && sizeof(W) <= 4;
template <class C> inline constexpr bool codes_on_device = codes_both_ways<C>;
template <class C> inline constexpr bool codes_on_device<error_feedback<C>> = codes_both_ways<C>;
template <class C> inline constexpr bool codes_on_device<unsafe_biased<C>> = codes_both_ways<C>;

template <class C> constexpr const C& bare_codec(const C& c) noexcept { return c; }
template <class C> constexpr const C& bare_codec(const error_feedback<C>& c) noexcept { return c.inner; }
template <class C> constexpr const C& bare_codec(const unsafe_biased<C>& c) noexcept { return c; }
template <class C> using bare_codec_t = std::remove_cvref_t<decltype(detail::bare_codec(std::declval<const C&>()))>;

/// tutti::detail::two_generations in device memory: one number of each value of a place, as the last exchange that
/// counted left it and as this one does. Zeros at first. The stream outlives it.
template <class A> class generations_on_device {
public:
  bool empty() const noexcept { return all_[0].size() == 0; }
  place covered() const noexcept { return where_; }
  device_span<A> now() const noexcept { return all_[now_].span(); }

  void cover(const stream& on, place where) {
    for (device_buffer<A>& one : all_) {
      one = device_buffer<A>{on, where.size()};
      if (where.empty()) continue;
      const current_device held{on.device()};
      cuda::check(cudaMemsetAsync(one.span().data(), 0, where.size() * sizeof(A), on.handle()), "cudaMemsetAsync");
    }
    where_ = where;
  }
  remembered_on_device<A> at(std::size_t first, std::size_t n) {
    touched_ = true;
    const std::size_t begin = first - where_.begin;
    return {all_[now_].span().subspan(begin, n), all_[1 - now_].span().subspan(begin, n)};
  }
  void commit() noexcept {
    if (std::exchange(touched_, false)) now_ = 1 - now_;
  }
  void forget() noexcept { touched_ = false; }

private:
  device_buffer<A> all_[2];
  place where_{};
  std::size_t now_ = 0;
  bool touched_ = false;
};

/// Values travel as they are.
template <class T> struct exact_coder {
  static constexpr bool exact = true, remembers = false;
  void describe(tutti::detail::arithmetic&) const noexcept {}
  void begin() const noexcept {}
  void finishes(place) const noexcept {}
};

/// A codec of n values of device memory, and what it remembers of them: its bytes, what arrives and what is remembered
/// are those of the codec on the host, as the executor there calls it (collectives/executor.hpp). `first` is the place
/// of values among the n. Everything is enqueued on the stream, which outlives it, as the codec does.
template <class Built, class C, class T> class device_coder {
  using code = bare_codec_t<C>;

public:
  static constexpr bool exact = false, remembers = tutti::detail::remembers<C>;
  static constexpr bool rounds = C::kind == codec_kind::additive;
  /// Of how many values a message may be cut at multiples.
  static constexpr bool elementwise = is_elementwise<code>;

  device_coder(const stream& on, const C& codec, std::size_t n) : on_{on}, codec_{codec} {
    if constexpr (remembers) sent_.cover(on_, {0, n});
  }

  std::size_t bytes(std::size_t n) const { return detail::bare_codec(codec_).template bytes<T>(n); }
  /// As planners read it.
  void describe(tutti::detail::arithmetic& math) const {
    math.codec = &codec_;
    math.exact = false;
    math.elementwise = elementwise;
    math.rounds = rounds;
    math.contributions.bytes = math.results.bytes = [](const tutti::detail::arithmetic& a, std::size_t n) {
      return detail::bare_codec(*static_cast<const C*>(a.codec)).template bytes<T>(n);
    };
  }

  /// Which results this rank finishes, of which something is remembered where they lose something.
  void finishes(place where) noexcept { finishes_ = where; }
  /// Before each exchange.
  void begin() noexcept {
    sent_.forget();
    published_.forget();
  }
  /// It counts.
  void commit() noexcept {
    sent_.commit();
    published_.commit();
  }

  /// A contribution becomes a message; with a memory what is sent takes its place.
  void contribute(device_span<T> values, device_span<std::byte> wire, std::size_t first) {
    if constexpr (remembers) cuda::encode<code, T, Built>(on_, codec_, sent_.at(first, values.size()), values, wire);
    else encode(values, wire, false);
  }
  /// What is sent of a contribution takes its place; `wire` is room.
  void keep(device_span<T> values, device_span<std::byte> wire, std::size_t first) {
    contribute(values, wire, first);
    if constexpr (!remembers) decode(wire, values);
  }
  /// A result is rounded to what travels, once; `wire` is room.
  void finish(device_span<T> values, device_span<std::byte> wire, std::size_t first) {
    if constexpr (remembers) publish_remembering(values, wire, first);
    else keep(values, wire, first);
  }
  /// A finished result becomes a message, and what arrives of it takes its place.
  void publish(device_span<T> values, device_span<std::byte> wire, std::size_t first) {
    if constexpr (remembers && !rounds) publish_remembering(values, wire, first);
    else encode(values, wire, !rounds);
  }

  void decode(device_span<const std::byte> wire, device_span<T> values) const {
    const device_span<const std::byte> one[] = {wire};
    reduce(tutti::sum{}, std::span<const device_span<const std::byte>>{one}, values);
  }
  /// Up to tuning::static_contributions messages are decoded and reduced in one pass.
  template <class R>
  void reduce(const R& reducer, std::span<const device_span<const std::byte>> wires, device_span<T> out) const {
    cuda::decode_and_reduce<code, R, T, Built>(on_, detail::bare_codec(codec_), reducer, wires, out);
  }

  generations_on_device<T>& sent() noexcept { return sent_; }
  /// What is remembered of results; `begin` where it was not yet and there is something to remember.
  generations_on_device<T>& published(bool begin = false) {
    if (begin && published_.empty()) published_.cover(on_, finishes_);
    return published_;
  }

private:
  void publish_remembering(device_span<T> values, device_span<std::byte> wire, std::size_t first) {
    cuda::encode<code, T, Built>(on_, codec_, published(true).at(first, values.size()), values, wire);
  }
  /// With nothing remembered; a cast leaves values as they are, which are those that arrive.
  void encode(device_span<T> values, device_span<std::byte> wire, bool keeps) const {
    if constexpr (is_cast<code>)
      detail::cast_values<Built>(on_, detail::bare_codec(codec_), device_span<const T>{values}, wire);
    else
      detail::encode_blocks<Built, code, T>(
          on_, {values.data(), keeps ? values.data() : nullptr, wire.data(), values.size(), nullptr, nullptr, 0});
  }

  const stream& on_;
  const C& codec_;
  place finishes_{};
  generations_on_device<T> sent_, published_;
};

} // namespace tutti::cuda::detail
