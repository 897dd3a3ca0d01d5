// traced: how long a rank spends communicating.
#pragma once

#include <tutti/communicators/decorator.hpp>

namespace tutti {

namespace detail {

/// Adds the time of a scope, on a communicator's clock, to a total.
template <class Comm>
class stopwatch {
public:
  stopwatch(const Comm& comm, clock::duration& total) : comm_{comm}, total_{total} {}
  stopwatch(const stopwatch&) = delete;
  ~stopwatch() { total_ += tutti::now_of(comm_) - begin_; }

private:
  const Comm& comm_;
  clock::duration& total_;
  const deadline begin_ = tutti::now_of(comm_);
};

/// An exchange whose tests are timed.
template <class Comm, class Handle>
class timed_handle {
public:
  timed_handle(Handle&& inner, const Comm& comm, clock::duration& total)
      : inner_{std::move(inner)}, comm_{&comm}, total_{&total} {}
  bool test() {
    const stopwatch timing{*comm_, *total_};
    return inner_.test();
  }
  bool take_back() { return detail::take_back(inner_); }
  int waiting_for() const { return inner_.waiting_for(); }

private:
  Handle inner_;
  const Comm* comm_;
  clock::duration* total_;
};

} // namespace detail

/// Time inside the communicator, by its clock: posting, testing and waiting. Computation between a non-blocking
/// collective's start and its wait is not in it, so overlapped communication costs what it really
/// costs. Two clock readings a call.
template <class Inner>
class traced : public transparent_decorator<Inner> {
public:
  using typename transparent_decorator<Inner>::inner_type;
  explicit traced(Inner&& inner) : transparent_decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    const detail::stopwatch timing{this->inner_, spent_};
    auto handle = this->inner_.exchange(execution, on, round);
    return detail::timed_handle<inner_type, decltype(handle)>{std::move(handle), this->inner_, spent_};
  }
  /// Collectives without messages are timed as a whole: they copy and combine in the others' memory.
  detail::stopwatch<inner_type> timed() { return {this->inner_, spent_}; }
  std::uint64_t progress() {
    const detail::stopwatch timing{this->inner_, spent_};
    return this->inner_.progress();
  }
  void idle(std::uint64_t seen, deadline until) {
    const detail::stopwatch timing{this->inner_, spent_};
    this->inner_.idle(seen, until);
  }

  /// Since construction. The communicator must stay where it is while exchanges are in flight.
  double seconds() const noexcept { return std::chrono::duration<double>(spent_).count(); }

private:
  clock::duration spent_{};
};
template <class Inner>
traced(Inner&&) -> traced<Inner>;

} // namespace tutti
