// Every decoder by its name, for messages of whatever bytes: it decodes them, the same each time and the same in blocks, or
// it refuses them by an error that says so; and it touches nothing else.
#pragma once

#include "federated/round_message_decoder.hpp"

#include <tutti/tutti.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace decoders {

/// What decodes n values at `at` of a message, exactly as long as it must be; whether it was taken.
template <class T, class C>
bool decoded(const C& codec, std::span<const std::byte> message, std::span<T> out, const tutti::coding& at) {
  try {
    tutti::detail::decode<T>(codec, message.data(), out, at);
    return true;
  } catch (const tutti::error& e) {
    if (e.details().code == tutti::error_code::bad_data) return false;
    throw;
  }
}

/// The first bytes say how many values there are, and where; the others are the message, repeated as often as it takes.
/// Whether it was taken.
template <class T, class C>
bool try_message(const C& codec, std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return true;
  std::array<std::uint16_t, 2> head;
  std::memcpy(head.data(), bytes.data(), sizeof head);
  const std::size_t n = head[0] % 1500;
  const tutti::coding at{.exchange = head[1], .first = std::size_t{256} * (head[1] % 5)};
  // Of their own, so that a sanitizer sees what is read or written behind them.
  std::vector<std::byte> message(codec.template bytes<T>(n));
  message.shrink_to_fit();
  for (std::size_t i = 0; i < message.size() && bytes.size() > 4; ++i) message[i] = bytes[4 + i % (bytes.size() - 4)];

  const auto out = std::make_unique<T[]>(n), again = std::make_unique<T[]>(n);
  std::memset(static_cast<void*>(again.get()), 0x55, n * sizeof(T));
  const bool taken = decoded<T>(codec, message, {out.get(), n}, at);
  if (decoded<T>(codec, message, {again.get(), n}, at) != taken) throw std::logic_error{"a message is taken at times"};
  if (!taken) return false;
  if (n > 0 && std::memcmp(out.get(), again.get(), n * sizeof(T)) != 0)
    throw std::logic_error{"what is decoded depends on what was there"};
  if constexpr (tutti::codec_block<C> > 0) {
    constexpr std::size_t block = tutti::codec_block<C>;
    for (std::size_t begin = 0; begin < n; begin += block) {
      tutti::coding here = at;
      here.first += begin;
      const std::size_t length = (std::min)(block, n - begin);
      (void)decoded<T>(codec, std::span{message}.subspan(codec.template bytes<T>(begin)), {again.get() + begin, length}, here);
    }
    if (n > 0 && std::memcmp(out.get(), again.get(), n * sizeof(T)) != 0)
      throw std::logic_error{"blocks are decoded to something else than all of them"};
  }
  return true;
}

struct one {
  std::string_view name;
  bool (*try_message)(std::span<const std::byte>);
};
template <class C>
constexpr one of(std::string_view name) {
  return {name, [](std::span<const std::byte> bytes) {
            const bool taken = try_message<float>(C{}, bytes);
            return try_message<tutti::bfloat16>(C{}, bytes) && taken;
          }};
}

inline constexpr std::array all{
    of<tutti::cast<tutti::bfloat16>>("cast_bfloat16"),
    of<tutti::cast<tutti::half>>("cast_half"),
    of<tutti::int8_block>("int8_block"),
    of<tutti::int4_block>("int4_block"),
    of<tutti::fp8_block<tutti::fp8::e4m3>>("fp8_e4m3"),
    of<tutti::fp8_block<tutti::fp8::e5m2>>("fp8_e5m2"),
    of<tutti::sign_block>("sign_block"),
    of<tutti::qsgd>("qsgd"),
    of<tutti::terngrad>("terngrad"),
    of<tutti::top_k>("top_k"),
    of<tutti::random_k>("random_k"),
    one{"round_messages", try_round_message},
};

} // namespace decoders
