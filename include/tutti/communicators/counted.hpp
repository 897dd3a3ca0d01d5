// counted: what a rank sends, counted, so that claims about cost can be tested and shown.
#pragma once

#include <tutti/communicators/decorator.hpp>

namespace tutti {

/// Messages and bytes that were handed to the communicator to be sent.
struct sent_traffic {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t exchanges = 0;
};

template <class Inner>
class counted : public transparent_decorator<Inner> {
public:
  explicit counted(Inner&& inner) : transparent_decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    sent_.messages += round.sends.size();
    for (const outgoing& m : round.sends) sent_.bytes += m.bytes.size();
    ++sent_.exchanges;
    return this->inner_.exchange(execution, on, round);
  }
  /// Of a call without messages, what it would have sent: its topology's traffic, in one exchange.
  void carried(std::uint64_t messages, std::uint64_t bytes) noexcept {
    sent_.messages += messages;
    sent_.bytes += bytes;
    ++sent_.exchanges;
  }
  auto split(int color, int key)
    requires splitting_communicator<typename decorator<Inner>::inner_type>
  {
    using child = decltype(this->inner_.split(color, key));
    return counted<child>{this->inner_.split(color, key)};
  }

  const sent_traffic& sent() const noexcept { return sent_; }
  void reset() noexcept { sent_ = {}; }

private:
  sent_traffic sent_;
};
template <class Inner>
counted(Inner&&) -> counted<Inner>;

} // namespace tutti
