// rank_mail: messages of any length between ranks, taken from whoever has sent one.
#pragma once

#include <tutti/carriers/awaiting.hpp>
#include <tutti/carriers/leaving.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/core/options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// A message that may go to many ranks; it is in memory until all of them have it.
using shared_message = std::shared_ptr<const std::vector<std::byte>>;

/// Of how many messages longer than rank_mail::short_bytes there may be memory at a time.
enum class long_messages : std::uint8_t {
  one_at_a_time, ///< none is taken in while another one is on its way; who is slow keeps the others waiting
  side_by_side,  ///< one of each rank, and what is on its way to it
};

/// Made by all ranks in the same order; each sends to and hears of those that it names. A message is its length and its
/// bytes. Messages of one rank arrive in the order in which they were sent, and each rank is asked in turn for one at a
/// time, so none keeps the others from being heard, but where long ones are taken one at a time. Not thread-safe; moves
/// only within wait(). Memory: that of messages on their way.
template <class Comm>
class rank_mail {
public:
  static constexpr std::size_t short_bytes = 1 << 16;

  /// Longer messages than `most` bytes are not taken: who announces one is not heard any more.
  rank_mail(Comm& comm, const options& how, std::size_t most, long_messages at_once = long_messages::side_by_side)
      : comm_{comm}, most_{most}, at_once_{at_once}, awaiting_{comm, how, false, {"serve()", "round"}},
        channel_{comm.in_flight()}, seats_(std::size_t(comm.size())) {}
  ~rank_mail() {
    for (seat& s : seats_)
      for (auto* one : {&s.head, &s.body})
        if (*one) detail::take_back(**one);
  }
  rank_mail(const rank_mail&) = delete;
  rank_mail& operator=(const rank_mail&) = delete;

  /// Heard of from now on.
  void listen(int peer) {
    seat& s = seats_[std::size_t(peer)];
    if (s.head || s.body || s.is_announced || s.gone) return;
    const incoming from[] = {{peer, std::as_writable_bytes(std::span{&s.length, 1})}};
    s.head.emplace(comm_.exchange(host_execution{}, channel_, {{}, from}));
  }
  void send(int peer, std::vector<std::byte> message) {
    share(peer, std::make_shared<const std::vector<std::byte>>(std::move(message)));
  }
  void share(int peer, shared_message message) {
    seats_[std::size_t(peer)].waiting.push_back(std::move(message));
    tell(peer);
  }
  /// Whether everything that was sent to it has left, or it has.
  bool has_told(int peer) const {
    const seat& s = seats_[std::size_t(peer)];
    return s.gone || (s.waiting.empty() && !s.telling);
  }
  /// It has left, or has announced what is too long: nothing more is sent to it or heard of it.
  bool is_gone(int peer) const { return seats_[std::size_t(peer)].gone; }

  /// Gives messages to take(peer, bytes) until is_over(), which is asked after each, and where there is none. Throws
  /// timeout naming peer() when nothing is heard for options::timeout, or returns false at `latest`.
  template <class Take, class Over, class Peer>
  bool wait(const char* call, Take&& take, Over&& is_over, Peer&& peer, deadline latest = (deadline::max)()) {
    bool over = false, in_time = true;
    awaiting_.until(
        call,
        [&] {
          over = look(take, is_over) || is_over();
          if (!over && tutti::now_of(comm_) >= latest) in_time = false;
          return over || !in_time;
        },
        [&] { return heard_; }, peer, latest);
    return over;
  }

private:
  using handle = exchange_handle_of<Comm>;

  struct seat {
    std::uint64_t length = 0, told_length = 0;
    std::vector<std::byte> in;
    shared_message out;
    std::optional<handle> head, body, telling;
    std::deque<shared_message> waiting;
    bool is_announced = false; ///< what is `length` long, and not yet listened to
    bool gone = false;

    bool has_long_one() const {
      const auto is_long = [](const shared_message& one) { return one && one->size() > short_bytes; };
      return !gone && (in.size() > short_bytes || is_long(out) || std::ranges::any_of(waiting, is_long));
    }
  };

  /// Everyone's turn, beginning behind the last one that was heard of. True as soon as is_over().
  template <class Take, class Over>
  bool look(Take&& take, Over&& is_over) {
    const int size = comm_.size(), first = next_;
    for (int k = 0; k < size; ++k) {
      const int peer = (first + k) % size;
      tell(peer);
      if (!hear(peer)) continue;
      next_ = (peer + 1) % size;
      ++heard_;
      seat& s = seats_[std::size_t(peer)];
      take(peer, std::span<const std::byte>{s.in});
      s.in = std::vector<std::byte>{}; // its memory as well
      listen(peer);
      if (is_over()) return true;
    }
    return false;
  }
  /// Whether a message is there.
  bool hear(int peer) {
    seat& s = seats_[std::size_t(peer)];
    if (is_through(s, s.head, peer)) {
      if (s.length > most_) return leave(s);
      s.is_announced = true;
    }
    if (s.is_announced) {
      if (!has_room(s.length)) return false;
      s.is_announced = false;
      s.in.resize(s.length);
      if (s.in.empty()) return true;
      const incoming from[] = {{peer, s.in}};
      s.body.emplace(comm_.exchange(host_execution{}, channel_, {{}, from}));
    }
    return is_through(s, s.body, peer);
  }
  bool has_room(std::uint64_t length) const {
    return at_once_ == long_messages::side_by_side || length <= short_bytes ||
           std::ranges::none_of(seats_, [](const seat& s) { return s.has_long_one(); });
  }
  void tell(int peer) {
    seat& s = seats_[std::size_t(peer)];
    if (s.telling && is_through(s, s.telling, peer)) s.out.reset();
    if (s.telling || s.waiting.empty() || s.gone) return;
    s.out = std::move(s.waiting.front());
    s.waiting.pop_front();
    s.told_length = s.out->size();
    const outgoing to[] = {{peer, std::as_bytes(std::span{&s.told_length, 1})}, {peer, *s.out}};
    s.telling.emplace(comm_.exchange(host_execution{}, channel_, {std::span{to, s.out->empty() ? 1u : 2u}, {}}));
  }
  bool is_through(seat& s, std::optional<handle>& exchange, int peer) {
    if (!exchange) return false;
    const reached met = detail::test_with(comm_, *exchange, peer);
    if (met == reached::nothing_yet) return false;
    if (met == reached::its_end) {
      exchange.reset();
      return true;
    }
    for (auto* one : {&s.head, &s.body})
      if (*one) detail::take_back(**one);
    s.telling.reset();
    return leave(s);
  }
  bool leave(seat& s) {
    s.gone = true;
    s.head.reset();
    s.body.reset();
    s.waiting.clear();
    ++heard_;
    return false;
  }

  Comm& comm_;
  std::size_t most_;
  long_messages at_once_;
  awaiting<Comm> awaiting_;
  reserved_channel channel_;
  std::vector<seat> seats_; ///< where messages are written to and read from while they are on their way
  int next_ = 0;
  std::uint64_t heard_ = 0;
};

} // namespace tutti::detail
