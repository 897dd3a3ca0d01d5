// What every decorator of a communicator shares: it forwards everything it does not change.
#pragma once

#include <tutti/communicators/forwarding.hpp>

#include <utility>

namespace tutti {

/// Holds the decorated communicator: an lvalue is referred to, an rvalue owned. Operations refer to the
/// decorator, so it is moved only while nothing is in flight: otherwise that throws invalid_argument. When
/// it ends, what is in flight through it is waited for, as when a communicator does; persistent requests
/// made through it are not started after that, nor after a move.
///
/// Everything goes through exchange(): where ranks share memory, too, collectives are messages.
///
/// A decorator with members that have destructors calls end() first in its own.
template <class Inner>
class decorator : public forwarding<decorator<Inner>, std::remove_reference_t<Inner>> {
public:
  using inner_type = std::remove_reference_t<Inner>;

  explicit decorator(Inner&& inner) : inner_(std::forward<Inner>(inner)) {}
  decorator(decorator&& other) : inner_(std::forward<Inner>(other.at_rest().inner_)) {
    other.is_here_ = false;
  }
  decorator& operator=(decorator&&) = delete;
  ~decorator() { end(); }

  inner_type& inner() noexcept { return inner_; }
  const inner_type& inner() const noexcept { return inner_; }

protected:
  void end() noexcept {
    if (std::exchange(is_here_, false)) inner_.in_flight().end_those_on(this);
  }

  Inner inner_;

private:
  bool is_here_ = true; ///< not moved from, and not ended

  decorator& at_rest() {
    if (inner_.in_flight().count() == 0) return *this;
    throw error{{.code = error_code::invalid_argument,
                 .call = "move",
                 .rank = inner_.rank(),
                 .detail = "a decorated communicator is moved while calls on it are in flight - wait for "
                           "them first, or decorate it where it stays"}};
  }
};

/// A decorator under which ranks that share memory go on to use it: collectives without messages do not come
/// through exchange(), so what it adds there has to be added to them as well - see counted and traced.
template <class Inner>
class transparent_decorator
    : public decorator<Inner>,
      public forwarding_access<transparent_decorator<Inner>, std::remove_reference_t<Inner>> {
public:
  using decorator<Inner>::decorator;
};

} // namespace tutti
