// What every decorator of a communicator shares: it forwards everything it does not change.
#pragma once

#include <tutti/communicators/forwarding.hpp>

#include <utility>

namespace tutti {

/// Holds the decorated communicator: an lvalue is referred to, an rvalue owned. Operations refer to the
/// decorator, so it is moved only while nothing is in flight: otherwise that throws invalid_argument.
template <class Inner>
class decorator : public forwarding<decorator<Inner>, std::remove_reference_t<Inner>> {
public:
  using inner_type = std::remove_reference_t<Inner>;

  explicit decorator(Inner&& inner) : inner_(std::forward<Inner>(inner)) {}
  decorator(decorator&& other) : inner_(std::forward<Inner>(other.at_rest().inner_)) {}
  decorator& operator=(decorator&&) = delete;

  inner_type& inner() noexcept { return inner_; }
  const inner_type& inner() const noexcept { return inner_; }

protected:
  Inner inner_;

private:
  decorator& at_rest() {
    if (inner_.in_flight().count() == 0) return *this;
    throw error{{.code = error_code::invalid_argument,
                 .call = "move",
                 .rank = inner_.rank(),
                 .detail = "a decorated communicator is moved while calls on it are in flight - wait for "
                           "them first, or decorate it where it stays"}};
  }
};

} // namespace tutti
