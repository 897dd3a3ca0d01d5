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
// A codec that draws random numbers takes a third argument, `coding`: encode(values, out, at), decode(in, values, at).
// It says where and when, so that draws are named by it and not by who draws first; what decides which values are sent
// must not depend on `rank` and `result`, which only encode knows.
//
// `results(ranks)` is the codec that finished results travel by, where that is another: of a top-k one that keeps all
// that the contributions of so many ranks may have left.
//
// A codec that remembers (error feedback) says `static constexpr bool remembers = true`, has the codec without memory
// that its messages are of as its member `inner`, and encodes by encode(memory, values, out, at): `memory` is what the
// last exchange that counted left, and room for what this one leaves; what is sent takes the place of `values`. So a
// step that is skipped leaves no trace. The memory belongs to who calls (codecs/memory.hpp). One that sends how far values
// have moved (ef21) says `static constexpr bool follows = true` as well: follow(memory, values) is called with the
// result, on every rank that has it, and with a memory of results.
// Who keeps more than one number of each value (dgc) names them, as optimizers do: `static constexpr std::array slots`, of
// texts; then `memory` is an array of as many.
//
// `static constexpr bool sparse = true` says that few values arrive, and all others as zeros.
//
// A codec whose numbers change while training goes on (warmed_up) has what it comes to as its member `inner`, and at(exchange),
// which encodes an exchange that so many counted before; stage(exchange) is the same number as long as that is the same codec.
// It belongs to a strategy, which knows how far training is.
//
// A codec of some parts of a model only (where_it_pays) says `static constexpr bool prices = true`, has
// pays<What, T>(comm, topology, n) and what encodes those as its member `inner`; exempt may stand around it.
//
// A codec of some tensors of a model only (exempt) has those that are not for it as `rule.exempts(name, shape)`, and what
// encodes the others as its member `inner`. It belongs to a strategy, which knows tensors.
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
// `static constexpr tutti::execution runs` says where there is code for it (core/execution.hpp): of `both` CUDA kernels write
// the same bytes, and host is meant where it says nothing.
//
// A codec of several stages (PowerSGD) encodes a part of a model - tensors, whose shapes count - by several reductions, of
// which each is made of what came of the one before it: `stages<T>(part)` is what does so for one part, and
// what it remembers of it; see `staged_codec`. A trainer runs it (carriers/staged.hpp).
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/execution.hpp>
#include <tutti/core/part.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti {

enum class codec_kind : std::uint8_t { exact, additive, opaque };

template <class C>
concept codec = std::copy_constructible<C> && detail::part_is<C, codec_part> && requires {
  { C::kind } -> std::convertible_to<codec_kind>;
};

/// Where and when values are encoded.
struct coding {
  std::uint64_t exchange = 0; ///< how many counted before with the same memory; 0 where there is none
  std::size_t first = 0;      ///< place of the first value: in the data of a call, of a trainer in the flat model
  int rank = 0;               ///< whose contribution it is
  bool result = false;        ///< what is encoded is a finished result
};

/// What a codec remembers of values, one number each: as the last exchange that counted left it, and as this one does.
template <class A>
struct remembered {
  std::span<const A> before;
  std::span<A> after;
};

/// The names of what a codec remembers of each value.
template <class C>
inline constexpr std::array<std::string_view, 1> codec_slots{"unsent"};
template <class C>
  requires requires { C::slots.size(); }
inline constexpr auto codec_slots<C> = C::slots;

/// What it is handed of that: of one number of each value, or of several.
template <class C, class A>
using remembered_by =
    std::conditional_t<codec_slots<C>.size() == 1, remembered<A>, std::array<remembered<A>, codec_slots<C>.size()>>;

namespace detail {

template <class C, class T>
concept has_bytes_of = codec<C> && element<T> && requires(const C c, std::size_t n) {
  { c.template bytes<T>(n) } -> std::same_as<std::size_t>;
};
template <class C, class T>
concept codes_values = has_bytes_of<C, T> && requires(const C c, std::span<const T> values, std::span<T> out,
                                                      std::byte* wire, const std::byte* received) {
  c.encode(values, wire);
  c.decode(received, out);
};
template <class C, class T>
concept codes_by_place = has_bytes_of<C, T> && requires(const C c, std::span<const T> values, std::span<T> out,
                                                        std::byte* wire, const std::byte* received, coding at) {
  c.encode(values, wire, at);
  c.decode(received, out, at);
};

} // namespace detail

template <class C, class T>
concept stateless_codec_of = detail::codes_values<C, T> || detail::codes_by_place<C, T>;

template <class C, class T>
concept stateful_codec_of =
    codec<C> && element<T> && requires { requires bool{C::remembers}; } &&
    requires(const C c, remembered_by<C, accumulator_t<T>> memory, std::span<T> values, std::byte* wire, coding at) {
      requires stateless_codec_of<std::remove_cvref_t<decltype(c.inner)>, T>;
      c.encode(memory, values, wire, at);
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

/// Whether few values arrive, and all others as zeros.
template <class C>
inline constexpr bool is_sparse = false;
template <class C>
  requires requires { bool{C::sparse}; }
inline constexpr bool is_sparse<C> = C::sparse;

template <class C, class T>
concept codec_of = stateless_codec_of<C, T> || stateful_codec_of<C, T>;

namespace detail {

template <class C>
inline constexpr bool remembers = false;
template <class C>
  requires requires { bool{C::remembers}; }
inline constexpr bool remembers<C> = C::remembers;

/// Whether results are what contributions have moved by.
template <class C>
inline constexpr bool follows = false;
template <class C>
  requires requires { bool{C::follows}; }
inline constexpr bool follows<C> = C::follows;

/// Whether it keeps the momentum of contributions (dgc), which then nothing else does.
template <class C>
inline constexpr bool keeps_momentum = false;
template <class C>
  requires requires { bool{C::keeps_momentum}; }
inline constexpr bool keeps_momentum<C> = C::keeps_momentum;

/// The codec without memory that a codec's messages are of.
template <class C>
constexpr const auto& messages_of(const C& c) noexcept {
  if constexpr (remembers<C>)
    return c.inner;
  else
    return c;
}
template <class C>
using messages_t = std::remove_cvref_t<decltype(detail::messages_of(std::declval<const C&>()))>;

/// The codec of finished results.
template <class C>
constexpr auto results_of(const C& c, [[maybe_unused]] int ranks) {
  if constexpr (requires { c.results(ranks); })
    return c.results(ranks);
  else
    return c;
}
template <class C>
using results_t = decltype(detail::results_of(std::declval<const C&>(), 1));

template <class T, class C>
constexpr void encode(const C& c, std::span<const T> values, std::byte* out, const coding& at) {
  if constexpr (codes_values<C, T>)
    c.template encode<T>(values, out);
  else
    c.template encode<T>(values, out, at);
}
template <class T, class C>
constexpr void decode(const C& c, const std::byte* in, std::span<T> out, const coding& at) {
  if constexpr (codes_values<C, T>)
    c.template decode<T>(in, out);
  else
    c.template decode<T>(in, out, at);
}

/// Whether a whole encoding is decoded piece by piece: reader<T>(in, n) gives what reads n values, by read(begin, out).
template <class C, class T>
concept reads_in_order = requires(const C c, const std::byte* in) { c.template reader<T>(in, std::size_t{}); };
template <class C, class T>
concept reads_by_place = requires(const C c, const std::byte* in) { c.template reader<T>(in, std::size_t{}, coding{}); };

/// A codec where it is known what it encodes.
template <class C>
struct placed_codec {
  static constexpr codec_kind kind = C::kind;
  static constexpr bool elementwise = is_elementwise<C>;
  static constexpr std::size_t block = codec_block<C>;

  template <class T>
  std::size_t bytes(std::size_t n) const {
    return codec.template bytes<T>(n);
  }
  /// In blocks it is decoded from its first on.
  template <class T>
  void decode(const std::byte* in, std::span<T> out, std::size_t begin = 0) const {
    coding here = at;
    here.first += begin;
    detail::decode<T>(codec, in, out, here);
  }
  template <class T>
    requires(reads_in_order<C, T> || reads_by_place<C, T>)
  auto reader(const std::byte* in, std::size_t n) const {
    if constexpr (reads_in_order<C, T>) return codec.template reader<T>(in, n);
    else return codec.template reader<T>(in, n, at);
  }

  const C& codec;
  coding at;
};

template <class C>
concept exempts_tensors = codec<C> && requires(const C c, std::string_view name, std::span<const std::int64_t> shape) {
  { c.rule.exempts(name, shape) } -> std::same_as<bool>;
  requires codec<std::remove_cvref_t<decltype(c.inner)>>;
};

template <class C>
concept prices_parts = codec<C> && requires(const C c) {
  requires bool{C::prices};
  requires codec<std::remove_cvref_t<decltype(c.inner)>>;
};

template <class C>
concept changes_in_training = codec<C> && requires(const C c, std::uint64_t exchange) {
  { c.stage(exchange) } -> std::same_as<int>;
  { c.at(exchange) } -> std::same_as<std::remove_cvref_t<decltype(c.inner)>>;
  requires codec<std::remove_cvref_t<decltype(c.inner)>>;
};

/// What encodes tensors that are not exempt, where it pays, in the end.
template <class C>
constexpr const auto& codec_of_tensors(const C& c) noexcept {
  if constexpr (exempts_tensors<C> || prices_parts<C> || changes_in_training<C>)
    return detail::codec_of_tensors(c.inner);
  else
    return c;
}
/// Whether calls(codec) say that a part travels through it: asked of the one that prices parts, if there is one.
template <class C, class Calls>
constexpr bool pays(const C& c, Calls&& calls) {
  if constexpr (prices_parts<C>)
    return calls(c);
  else if constexpr (exempts_tensors<C>)
    return detail::pays(c.inner, calls);
  else
    return true;
}
template <class C>
inline constexpr bool chooses_parts = prices_parts<C>;
template <class C>
  requires exempts_tensors<C>
inline constexpr bool chooses_parts<C> = chooses_parts<std::remove_cvref_t<decltype(std::declval<const C&>().inner)>>;
template <class C>
using codec_of_tensors_t = std::remove_cvref_t<decltype(detail::codec_of_tensors(std::declval<const C&>()))>;

/// The one that does so in an exchange that so many counted before; and a number that is the same as long as it is.
template <class C>
constexpr codec_of_tensors_t<C> codec_at(const C& c, std::uint64_t exchange) {
  if constexpr (changes_in_training<C>)
    return detail::codec_at(c.at(exchange), exchange);
  else if constexpr (exempts_tensors<C> || prices_parts<C>)
    return detail::codec_at(c.inner, exchange);
  else
    return c;
}
template <class C>
inline constexpr bool changes = changes_in_training<C>;
template <class C>
  requires exempts_tensors<C> || prices_parts<C>
inline constexpr bool changes<C> = changes<std::remove_cvref_t<decltype(std::declval<const C&>().inner)>>;
template <class C>
constexpr int stage_of(const C& c, std::uint64_t exchange) {
  if constexpr (changes_in_training<C>)
    return c.stage(exchange);
  else if constexpr (exempts_tensors<C> || prices_parts<C>)
    return detail::stage_of(c.inner, exchange);
  else
    return 0;
}

} // namespace detail

/// A tensor of a part of a model: where it stands in the part, and how long it is in each dimension. Without a shape
/// it is a vector, or only a piece of a tensor.
struct coded_tensor {
  place where;
  std::span<const std::int64_t> shape;
};

/// A part of a model that travels in stages, and who encodes it.
struct staged_part {
  place where = {}; ///< in the flat model
  std::span<const coded_tensor> tensors = {};
  int rank = 0, ranks = 1;
  bool means = true; ///< the result is the mean of what ranks contribute, otherwise the sum
};
/// How the messages of all ranks become one: as contributions do, by a sum or a mean; or by what a stage needs.
enum class stage_reduction : std::uint8_t { contributions, sum, maximum };
/// What a stage sends: values of this type.
template <element T, stage_reduction How = stage_reduction::contributions>
struct stage_message {
  using value_type = T;
  static constexpr stage_reduction reduction = How;
};

/// What encodes a staged_part, again and again. Its `messages` are a tuple of a stage_message for each stage, of length(k)
/// values. begin(exchange) is called first, of which so many have counted. Before stage k, encode<k>(values, agreed, out)
/// writes its message: `values` are the contribution, in a room that is handed on from call to call, and `agreed` is what
/// came of stage k - 1. decode(values, agreed) makes the result of what came of the last. What is remembered changes at
/// commit(), so that a step that is skipped leaves no trace; state() visits it.
template <class S>
concept coding_stages = requires(S s, int k, archive& to) {
  typename S::messages;
  { s.length(k) } -> std::same_as<std::size_t>;
  s.begin(std::uint64_t{});
  s.commit();
  s.state(to);
};
/// It may say of how many ranks it cannot work: `wrong(ranks)` is a sentence, or null.
template <class C, class T>
concept staged_codec = codec<C> && real_element<T> && requires(const C c, const staged_part& part) {
  { c.template stages<T>(part) } -> coding_stages;
};

} // namespace tutti
