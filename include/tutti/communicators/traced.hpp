// traced: how long a rank spends communicating.
#pragma once

#include <tutti/communicators/decorator.hpp>

namespace tutti {

namespace detail {

/// Adds the time of a scope to a total.
class stopwatch {
public:
  explicit stopwatch(clock::duration& total) : total_{total} {}
  stopwatch(const stopwatch&) = delete;
  ~stopwatch() { total_ += clock::now() - begin_; }

private:
  clock::duration& total_;
  clock::time_point begin_ = clock::now();
};

/// An exchange whose tests are timed.
template <class Handle>
class timed_handle {
public:
  timed_handle(Handle&& inner, clock::duration& total) : inner_{std::move(inner)}, total_{&total} {}
  bool test() {
    const stopwatch timing{*total_};
    return inner_.test();
  }
  bool take_back() { return detail::take_back(inner_); }
  int waiting_for() const { return inner_.waiting_for(); }

private:
  Handle inner_;
  clock::duration* total_;
};

} // namespace detail

/// Wall time inside the communicator: posting, testing and waiting. Computation between a non-blocking
/// collective's start and its wait is not in it, so overlapped communication costs what it really
/// costs. Two clock readings a call.
template <class Inner>
class traced : public transparent_decorator<Inner> {
public:
  explicit traced(Inner&& inner) : transparent_decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    const detail::stopwatch timing{spent_};
    auto handle = this->inner_.exchange(execution, on, round);
    return detail::timed_handle<decltype(handle)>{std::move(handle), spent_};
  }
  /// Collectives without messages are timed as a whole: they copy and combine in the others' memory.
  detail::stopwatch timed() { return detail::stopwatch{spent_}; }
  std::uint64_t progress() {
    const detail::stopwatch timing{spent_};
    return this->inner_.progress();
  }
  void idle(std::uint64_t seen, deadline until) {
    const detail::stopwatch timing{spent_};
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
