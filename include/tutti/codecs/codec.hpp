// Codecs: what goes on the wire.
//
// A codec turns n values into bytes and back:
//
//   kind                         exact, additive or opaque, see below
//   bytes<T>(n)                  how many bytes n values become: a function of n alone
//   encode(span<const T>, out)   writes bytes<T>(n) bytes
//   decode(in, span<T>)          reads them
//
// `static constexpr bool elementwise = true` says that each value is encoded by itself, in as many bytes
// as every other; then parts of a message are decoded alone. `static constexpr std::size_t block = B` says that each B
// values are, beginning with the first, so that bytes(n) of a multiple of B is where the next begin; with a B that
// divides 256 a message is decoded and reduced in one pass. Otherwise a message is decoded whole.
//
// `static constexpr bool biased = true` says that what is not sent may lead astray: there are directions in which a
// contribution never arrives, as the small values beside large ones that a top-k leaves out. A strategy takes such
// a codec inside of error_feedback or ef21, which send later what was left out, or inside of unsafe_biased{...}.
//
// A codec that remembers (error feedback) also names `state<T>`, default-constructible, one value per
// rank and bucket, saved with the checkpoint; then encode takes it first: encode(state, values, out).
//
// Two rules keep the bits of all ranks equal however lossy the codec is. A rank keeps what it sent: its
// own contribution is replaced by decode(encode(x)), and so is a finished result when it is published.
// Results may be published on by whoever received them, so decode(encode(y)) must be y for every y that
// decode returns; an opaque codec need not promise that, since its results travel one hop.
//
//   exact     decode(encode(x)) is x
//   additive  partial results travel as accumulators and may be combined anywhere: any topology
//   opaque    encodings can only be decoded and folded where all of them meet: direct, star
//
// A codec of several stages (PowerSGD) is a sequence of additive ones: stage(k, ...) yields float
// values whose mean over the ranks is handed to stage k + 1; see `staged_codec`.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/part.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti {

enum class codec_kind : std::uint8_t { exact, additive, opaque };

template <class C>
concept codec = std::copy_constructible<C> && detail::part_is<C, codec_part> && requires {
  { C::kind } -> std::convertible_to<codec_kind>;
};

template <class C, class T>
concept stateless_codec_of =
    codec<C> && element<T> &&
    requires(const C c, std::size_t n, std::span<const T> values, std::span<T> out,
             std::byte* wire, const std::byte* received) {
      { c.template bytes<T>(n) } -> std::same_as<std::size_t>;
      c.encode(values, wire);
      c.decode(received, out);
    };

template <class C, class T>
concept stateful_codec_of =
    codec<C> && element<T> && std::default_initializable<typename C::template state<T>> &&
    requires(const C c, typename C::template state<T>& memory, std::size_t n,
             std::span<const T> values, std::span<T> out, std::byte* wire,
             const std::byte* received) {
      { c.template bytes<T>(n) } -> std::same_as<std::size_t>;
      c.encode(memory, values, wire);
      c.decode(received, out);
    };

template <class C>
inline constexpr bool is_elementwise = C::kind == codec_kind::exact;
template <class C>
  requires requires { C::elementwise; }
inline constexpr bool is_elementwise<C> = C::elementwise;

/// Of how many values an encoding may be cut at multiples; 0 where it is decoded whole.
template <class C>
inline constexpr std::size_t codec_block = is_elementwise<C> ? 1 : 0;
template <class C>
  requires requires { std::size_t{C::block}; }
inline constexpr std::size_t codec_block<C> = C::block;

/// Whether it needs error feedback.
template <class C>
inline constexpr bool is_biased = false;
template <class C>
  requires requires { bool{C::biased}; }
inline constexpr bool is_biased<C> = C::biased;

template <class C, class T>
concept codec_of = stateless_codec_of<C, T> || stateful_codec_of<C, T>;

/// stages(): how many; stage(memory, k, values, agreed) -> the floats that all ranks average next,
/// `agreed` being the average of the previous stage's; finish(memory, agreed, out) writes the result.
template <class C, class T>
concept staged_codec =
    codec<C> && element<T> &&
    requires(const C c, typename C::template state<T>& memory, int k, std::span<const T> values,
             std::span<const float> agreed, std::span<T> out) {
      { c.stages() } -> std::convertible_to<int>;
      { c.stage(memory, k, values, agreed) } -> std::same_as<std::vector<float>>;
      c.finish(memory, agreed, out);
    };

} // namespace tutti
