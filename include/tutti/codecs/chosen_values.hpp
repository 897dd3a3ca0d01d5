// The values of a sparse message: those that were chosen, one behind the other, encoded by another codec.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti::detail {

/// Of how many values chosen ones are encoded at once.
inline constexpr std::size_t chosen_at_once = 256;

/// What may encode chosen values: it has no numbers of its own, no memory and no draws, and encodings are cut where the
/// library cuts them.
template <class Values>
inline constexpr bool encodes_chosen = [] {
  if constexpr (codes_values<Values, float> && std::is_empty_v<Values>)
    return codec_block<Values> > 0 && chosen_at_once % codec_block<Values> == 0;
  else
    return false;
}();
template <class Values>
struct chosen_values_sentence {
  static_assert(encodes_chosen<Values>,
                "tutti: this codec cannot encode the values of a sparse one, which are encoded in blocks that divide "
                "256, without a memory, draws and numbers - use tutti::identity, tutti::cast, tutti::int8_block or "
                "tutti::two_bit_block");
};

/// Encodes what is put, behind each other from `to` on.
template <element T, class Values>
class chosen_writer {
public:
  explicit chosen_writer(std::byte* to) noexcept : to_{to} {}
  void put(T x) {
    waiting_[count_++] = x;
    if (count_ == chosen_at_once) flush();
  }
  void zeros(std::size_t n) {
    for (; n > 0; --n) put(T{});
  }
  /// After the last one.
  void flush() {
    if (count_ == 0) return;
    Values{}.template encode<T>(std::span<const T>{waiting_.data(), count_}, to_);
    to_ += Values{}.template bytes<T>(count_);
    count_ = 0;
  }

private:
  std::array<T, chosen_at_once> waiting_;
  std::size_t count_ = 0;
  std::byte* to_;
};

/// Decodes `left` of them, one after the other.
template <element T, class Values>
class chosen_reader {
public:
  chosen_reader(const std::byte* from, std::size_t left) noexcept : from_{from}, left_{left} {}
  T next() {
    if (at_ == count_) {
      count_ = (std::min)(left_, chosen_at_once);
      Values{}.template decode<T>(from_, std::span<T>{decoded_.data(), count_});
      from_ += Values{}.template bytes<T>(count_);
      left_ -= count_;
      at_ = 0;
    }
    return decoded_[at_++];
  }

private:
  std::array<T, chosen_at_once> decoded_;
  const std::byte* from_;
  std::size_t left_, count_ = 0, at_ = 0;
};
/// Those that travel as they are are read where they lie.
template <element T, class Values>
  requires(Values::kind == codec_kind::exact)
class chosen_reader<T, Values> {
public:
  chosen_reader(const std::byte* from, std::size_t) noexcept : from_{from} {}
  T next() {
    T value;
    Values{}.template decode<T>(std::exchange(from_, from_ + sizeof(T)), std::span<T>{&value, 1});
    return value;
  }

private:
  const std::byte* from_;
};

/// Decodes a sparse message piece by piece: `places.next()` is where the next of `chosen` values stands, and rises. Of one
/// in which all values travel there are no places.
template <element T, class Values, class Places>
class sparse_reader {
public:
  sparse_reader(Places places, const std::byte* values, std::size_t chosen)
      : places_{places}, chosen_{values, chosen}, left_{chosen} {
    advance();
  }
  explicit sparse_reader(const std::byte* all) : places_{}, all_{all}, chosen_{all, 0} {}

  /// Values from `begin` on, which is a multiple of 256 and not before what was read.
  void read(std::size_t begin, std::span<T> out) {
    if (all_ != nullptr) return Values{}.template decode<T>(all_ + Values{}.template bytes<T>(begin), out);
    std::fill(out.begin(), out.end(), T{});
    for (; place_ < begin; advance()) (void)chosen_.next();
    for (const std::size_t end = begin + out.size(); place_ < end; advance()) out[place_ - begin] = chosen_.next();
  }

private:
  void advance() { place_ = left_ > 0 ? (--left_, places_.next()) : no_place; }

  static constexpr auto no_place = (std::numeric_limits<std::size_t>::max)();
  Places places_;
  const std::byte* all_ = nullptr;
  chosen_reader<T, Values> chosen_;
  std::size_t left_ = 0, place_ = no_place;
};

/// Not a part of the loops that are compiled for wider vectors (core/widely.hpp).
[[noreturn, gnu::noinline]] inline void refuse_message(const char* why) {
  throw error{{.code = error_code::bad_data, .detail = std::string{"a message of a codec is corrupted: "} + why}};
}

} // namespace tutti::detail
