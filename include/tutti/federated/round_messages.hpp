// What a server of rounds and the ranks of its clients tell each other (federated/round_server.hpp). What comes in
// is looked at before it is believed: a message that is too short, too long, of another kind, with a number that
// cannot be or a byte too many is no message, and nothing of it is used.
#pragma once

#include <tutti/core/tensor.hpp>
#include <tutti/federated/kept_by_clients.hpp>
#include <tutti/federated/trained.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Clients send enter, depart and update; the server sends over, and work, which asks some clients of a rank to train
/// from the model that was sent before it.
enum class round_message : std::uint32_t { enter = 0x74666401, depart, update, model, work, over };

/// A client as it enters.
struct entered_client {
  std::int32_t client = 0;
  double examples = 0;
};
/// To a rank: these of its clients train.
struct round_work {
  std::uint32_t round = 0; ///< in which they are asked; from 1
  std::int64_t model = 0;  ///< after how many steps of the server; the one that was sent last
  std::uint64_t seed = 0;
  std::int32_t epochs = 1;
  double proximal = 0;
  keeping keeps; ///< what clients do from round to round
  std::vector<std::int32_t> clients;
  std::vector<std::uint32_t> counted; ///< the last round in which each of them did; of none where nothing is kept
};
/// What one of them has come to; values are sent out minus trained, none where it wrote nothing.
struct round_update {
  std::uint32_t round = 0;
  std::int32_t client = 0;
  trained said;
};

template <class T>
std::size_t values_in(std::span<const tensor<T>> model) {
  std::size_t n = 0;
  for (const tensor<T>& t : model) n += t.values.size();
  return n;
}
/// More bytes than any message about a model of n values has, in which there are as many for what clients keep.
template <class T>
std::size_t most_of_a_message(std::size_t n) {
  return 2 * n * sizeof(T) + (std::size_t{1} << 20);
}

class message_writer {
public:
  /// Begins anew, in the memory there is.
  explicit message_writer(std::vector<std::byte>& to, round_message what) : to_{to} {
    to_.clear();
    put(what);
  }
  template <class V>
    requires std::is_trivially_copyable_v<V>
  message_writer& put(const V& value) {
    return put_bytes(&value, sizeof value);
  }
  template <class V>
  message_writer& put_all(std::span<const V> values) {
    return put(std::uint64_t(values.size())).put_more(values);
  }
  /// Without their count.
  template <class V>
  message_writer& put_more(std::span<const V> values) {
    return put_bytes(values.data(), values.size_bytes());
  }
  message_writer& put_text(std::string_view text) { return put_all(std::span{text.data(), text.size()}); }

private:
  message_writer& put_bytes(const void* from, std::size_t n) {
    const std::size_t at = to_.size();
    to_.resize(at + n);
    if (n > 0) std::memcpy(to_.data() + at, from, n);
    return *this;
  }
  std::vector<std::byte>& to_;
};

/// Once it has asked for more than there is, it gives zeros, and is not sound.
class message_reader {
public:
  explicit message_reader(std::span<const std::byte> from) : left_{from} {}

  template <class V>
    requires std::is_trivially_copyable_v<V>
  V take() {
    V value{};
    take_bytes(&value, sizeof value);
    return value;
  }
  /// A count of at most `most`, and as many values, which it refers to as bytes.
  template <class V>
  std::span<const std::byte> take_all(std::uint64_t most) {
    const auto n = take<std::uint64_t>();
    if (n > most || n > left_.size() / sizeof(V)) {
      sound_ = false;
      return {};
    }
    return std::exchange(left_, left_.subspan(n * sizeof(V))).first(n * sizeof(V));
  }
  bool sound() const noexcept { return sound_; }
  /// Sound, and nothing is left.
  bool is_whole() const noexcept { return sound_ && left_.empty(); }

private:
  void take_bytes(void* to, std::size_t n) {
    if (n > left_.size()) {
      sound_ = false;
      left_ = {};
      return;
    }
    std::memcpy(to, left_.data(), n);
    left_ = left_.subspan(n);
  }
  std::span<const std::byte> left_;
  bool sound_ = true;
};

inline std::optional<round_message> message_kind(std::span<const std::byte> message) {
  const auto kind = message_reader{message}.take<round_message>();
  if (kind < round_message::enter || kind > round_message::over) return std::nullopt;
  return kind;
}

template <class V>
void copy_values(std::span<const std::byte> from, std::span<V> to) {
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

inline void encode_enter(std::vector<std::byte>& to, std::span<const entered_client> clients) {
  message_writer message{to, round_message::enter};
  message.put(std::uint64_t(clients.size()));
  for (const entered_client& one : clients) message.put(one.client).put(one.examples);
}
/// Clients that count from 0, with a number of examples.
inline std::optional<std::vector<entered_client>> decode_enter(std::span<const std::byte> from) {
  message_reader in{from};
  const bool right = in.take<round_message>() == round_message::enter;
  const auto n = in.take<std::uint64_t>();
  if (!right || !in.sound() || n > from.size() / (sizeof(std::int32_t) + sizeof(double))) return std::nullopt;
  std::vector<entered_client> all(n);
  for (entered_client& one : all) {
    one.client = in.take<std::int32_t>();
    one.examples = in.take<double>();
    if (one.client < 0 || !(one.examples >= 0) || !(one.examples <= 1e300)) return std::nullopt;
  }
  return in.is_whole() ? std::optional{std::move(all)} : std::nullopt;
}

/// After how many steps it is, the values of its tensors, one behind the other, and as many that all clients know of
/// what they keep, or none.
template <class T>
void encode_model(std::vector<std::byte>& to, std::int64_t steps, std::span<const tensor<T>> model,
                  std::span<const T> common) {
  const std::size_t n = detail::values_in(model);
  to.reserve((n + common.size()) * sizeof(T) + 64);
  message_writer message{to, round_message::model};
  message.put(steps).put(std::uint64_t(n));
  for (const tensor<T>& t : model) message.put_more(std::span<const T>{t.values});
  message.put_all(common);
}
/// Fills a model of that length, and `common`, which becomes as long or empty; after how many steps it is.
template <class T>
std::optional<std::int64_t> decode_model(std::span<const std::byte> from, std::span<T> model, std::vector<T>& common) {
  message_reader in{from};
  const bool right = in.take<round_message>() == round_message::model;
  const auto steps = in.take<std::int64_t>();
  const auto values = in.take_all<T>(model.size()), shared = in.take_all<T>(model.size());
  if (!right || !in.is_whole() || values.size() != model.size_bytes() || steps < 0) return std::nullopt;
  if (!shared.empty() && shared.size() != values.size()) return std::nullopt;
  detail::copy_values(values, model);
  common.resize(shared.size() / sizeof(T));
  detail::copy_values<T>(shared, common);
  return steps;
}

inline void encode_work(std::vector<std::byte>& to, const round_work& work) {
  message_writer{to, round_message::work}
      .put(work.round)
      .put(work.model)
      .put(work.seed)
      .put(work.epochs)
      .put(work.proximal)
      .put(std::uint32_t(work.keeps.what))
      .put(std::uint32_t(work.keeps.at_start))
      .put(work.keeps.alpha)
      .put_all(std::span<const std::int32_t>{work.clients})
      .put_all(std::span<const std::uint32_t>{work.counted});
}
inline std::optional<round_work> decode_work(std::span<const std::byte> from) {
  message_reader in{from};
  const bool right = in.take<round_message>() == round_message::work;
  round_work work;
  work.round = in.take<std::uint32_t>();
  work.model = in.take<std::int64_t>();
  work.seed = in.take<std::uint64_t>();
  work.epochs = in.take<std::int32_t>();
  work.proximal = in.take<double>();
  const auto keeps = in.take<std::uint32_t>(), at_start = in.take<std::uint32_t>();
  work.keeps.alpha = in.take<double>();
  const auto clients = in.take_all<std::int32_t>(from.size());
  const auto counted = in.take_all<std::uint32_t>(from.size());
  if (!right || !in.is_whole() || work.epochs < 0 || work.model < 0) return std::nullopt;
  if (keeps > std::uint32_t(client_keeps::duals) || at_start > 1 || counted.size() != (keeps > 0 ? clients.size() : 0))
    return std::nullopt;
  work.keeps.what = client_keeps(keeps);
  work.keeps.at_start = at_start == 1;
  work.counted.resize(counted.size() / sizeof(std::uint32_t));
  detail::copy_values<std::uint32_t>(counted, work.counted);
  work.clients.resize(clients.size() / sizeof(std::int32_t));
  detail::copy_values<std::int32_t>(clients, work.clients);
  return work;
}

/// And old minus new of what it keeps, of none or as many. Values stand at a multiple of their alignment, before what
/// is of any length.
template <class T>
void encode_update(std::vector<std::byte>& to, const round_update& update, std::span<const T> values,
                   std::span<const T> change = {}) {
  to.reserve(values.size_bytes() + change.size_bytes() + 4096);
  message_writer message{to, round_message::update};
  message.put(update.round)
      .put(update.client)
      .put(std::uint32_t(update.said.examples.has_value()))
      .put(update.said.examples.value_or(0))
      .put_all(values)
      .put_all(change)
      .put(std::uint32_t(update.said.metrics.all().size()));
  for (const client_metric& one : update.said.metrics.all()) message.put_text(one.name).put(one.value);
}
/// What it holds of a model of n values. Names and values refer to the message.
template <class T>
struct decoded_update {
  round_update told;
  std::span<const std::byte> values; ///< of none, or of n
  std::span<const std::byte> change; ///< of none, or of n

  /// In place, of a message in memory that any object may be in.
  std::span<const T> differences() const { return in_place(values); }
  std::span<const T> changes() const { return in_place(change); }

private:
  static std::span<const T> in_place(std::span<const std::byte> of) {
    return {reinterpret_cast<const T*>(of.data()), of.size() / sizeof(T)};
  }
};
template <class T>
std::optional<decoded_update<T>> decode_update(std::span<const std::byte> from, std::size_t n) {
  message_reader in{from};
  const bool right = in.take<round_message>() == round_message::update;
  decoded_update<T> out;
  out.told.round = in.take<std::uint32_t>();
  out.told.client = in.take<std::int32_t>();
  const auto says = in.take<std::uint32_t>();
  const auto examples = in.take<double>();
  if (says == 1) out.told.said.examples = examples;
  out.values = in.take_all<T>(n);
  out.change = in.take_all<T>(n);
  const auto metrics = in.take<std::uint32_t>();
  const bool says_nothing = std::bit_cast<std::uint64_t>(examples) == 0;
  if (!right || !in.sound() || says > 1 || (says == 0 && !says_nothing) || metrics > client_metrics::most)
    return std::nullopt;
  for (std::uint32_t k = 0; k < metrics; ++k) {
    const auto name = in.take_all<char>(256);
    const auto value = in.take<double>();
    if (!in.sound()) return std::nullopt;
    out.told.said.metrics.add({{reinterpret_cast<const char*>(name.data()), name.size()}, value});
  }
  const auto is_right = [&](std::span<const std::byte> of) { return of.empty() || of.size() == n * sizeof(T); };
  if (!in.is_whole() || !is_right(out.values) || !is_right(out.change)) return std::nullopt;
  return out;
}

} // namespace tutti::detail
