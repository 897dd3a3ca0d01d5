// faulty: a communicator that fails or dawdles at a chosen rank and round, so that failures are tests.
#pragma once

#include <tutti/communicators/decorator.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace tutti {

/// What goes wrong: on `rank`, the exchange number `round` (from 0, over the life of the communicator)
/// throws rank_leaves, or is held back until `delay` tests of it have been made.
struct fault {
  int rank = 0;
  std::uint64_t round = 0;
  std::uint64_t delay = 0; ///< 0: the rank leaves
};

/// Thrown in the place of an exchange: the rank is to leave without another word.
struct rank_leaves : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

/// An exchange whose completion is reported late.
template <class Handle>
class delayed_handle {
public:
  delayed_handle(Handle&& inner, std::uint64_t tests) : inner_{std::move(inner)}, tests_{tests} {}
  bool test() {
    if (tests_ > 0) {
      --tests_;
      return false;
    }
    return inner_.test();
  }
  bool take_back() { return detail::take_back(inner_); }
  int waiting_for() const { return inner_.waiting_for(); }

private:
  Handle inner_;
  std::uint64_t tests_;
};

} // namespace detail

template <class Inner>
class faulty : public decorator<Inner> {
public:
  /// Held-back exchanges complete without a further event, so nobody may sleep for one.
  static constexpr bool idle_blocks = false;

  faulty(Inner&& inner, fault what) : decorator<Inner>{std::forward<Inner>(inner)}, what_{what} {}

  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    const std::uint64_t now = round_++;
    const bool here = this->rank() == what_.rank && now == what_.round;
    if (here && what_.delay == 0)
      throw rank_leaves{"rank " + std::to_string(this->rank()) + " leaves at exchange " +
                        std::to_string(now)};
    auto handle = this->inner_.exchange(execution, on, round);
    return detail::delayed_handle<decltype(handle)>{std::move(handle), here ? what_.delay : 0};
  }
  void idle(std::uint64_t seen, deadline until) {
    if constexpr (requires { this->inner_.now(); }) // nothing happens there before that rank waits
      this->inner_.idle(seen, (std::min)(until, this->inner_.now() + std::chrono::microseconds{1}));
    else
      std::this_thread::yield();
  }

private:
  fault what_;
  std::uint64_t round_ = 0;
};
template <class Inner>
faulty(Inner&&, fault) -> faulty<Inner>;

} // namespace tutti
