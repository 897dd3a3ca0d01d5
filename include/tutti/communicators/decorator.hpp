// What every decorator of a communicator shares: it forwards everything it does not change.
#pragma once

#include <tutti/communicators/communicator.hpp>

#include <utility>

namespace tutti {

/// Holds the decorated communicator: an lvalue is referred to, an rvalue owned.
template <class Inner>
class decorator {
public:
  using part = communicator_part;
  using inner_type = std::remove_reference_t<Inner>;
  static constexpr bool idle_blocks = requires { requires inner_type::idle_blocks; };

  explicit decorator(Inner&& inner) : inner_(std::forward<Inner>(inner)) {}

  int rank() const { return inner_.rank(); }
  int size() const { return inner_.size(); }
  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    return inner_.exchange(execution, on, round);
  }
  std::uint64_t progress() { return inner_.progress(); }
  void idle(std::uint64_t seen, deadline until) { inner_.idle(seen, until); }
  void revoke(failure why) { inner_.revoke(std::move(why)); }
  operations& in_flight() { return inner_.in_flight(); }
  std::optional<arrival> probe(channel on)
    requires selective_communicator<inner_type>
  {
    return inner_.probe(on);
  }
  void verify(const char* call, std::span<const std::uint64_t> numbers, bool valid)
    requires verifying_communicator<inner_type>
  {
    inner_.verify(call, numbers, valid);
  }
  auto nodes() const
    requires requires(const inner_type& c) { c.nodes(); }
  {
    return inner_.nodes();
  }

  inner_type& inner() noexcept { return inner_; }

protected:
  Inner inner_;
};

} // namespace tutti
