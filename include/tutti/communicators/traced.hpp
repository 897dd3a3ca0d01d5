// traced: how long a rank spends communicating, and in a file what it did when.
#pragma once

#include <tutti/communicators/decorator.hpp>
#include <tutti/communicators/trace_file.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace tutti {

namespace detail {

/// Where the times of one traced communicator go: into a total, and perhaps into a file.
struct time_log {
  clock::duration spent{};
  std::optional<rank_trace> trace;
};

/// What a scope in a communicator is.
enum class traced_scope : std::uint8_t { call, wait, combine, shared };

/// Adds the time of a scope, on a communicator's clock, to the total.
template <class Comm>
class stopwatch {
public:
  stopwatch(const Comm& comm, time_log& log, traced_scope what = traced_scope::call)
      : comm_{comm}, log_{log}, what_{what} {
    if (log_.trace) log_.trace->enter(begin_);
  }
  stopwatch(const stopwatch&) = delete;
  ~stopwatch() {
    const deadline end = tutti::now_of(comm_);
    if (what_ != traced_scope::combine) log_.spent += end - begin_;
    if (!log_.trace) return;
    if (what_ == traced_scope::wait) log_.trace->add(rank_trace::waits, "waits", begin_, end);
    if (what_ == traced_scope::combine) log_.trace->add(rank_trace::combines, "combines", begin_, end, false);
    if (what_ == traced_scope::shared) log_.trace->add(rank_trace::combines, "in shared memory", begin_, end);
    log_.trace->leave(end);
  }

private:
  const Comm& comm_;
  time_log& log_;
  const traced_scope what_;
  const deadline begin_ = tutti::now_of(comm_);
};

/// Lets the communicator below do what it does about combining, within a span.
template <class Comm>
struct traced_combining {
  stopwatch<Comm> watch;
  int below;
};

/// An exchange whose tests are timed.
template <class Comm, class Handle>
class timed_handle {
public:
  timed_handle(Handle&& inner, const Comm& comm, time_log& log, const exchange_round& round, deadline begin)
      : inner_{std::move(inner)}, comm_{&comm}, log_{&log} {
    if (!log.trace || (round.sends.empty() && round.receives.empty())) return;
    log.trace->wait_ends();
    flight_ = {.on = log.trace->take_off(), .begin = begin};
    const auto& ends = round.sends;
    flight_.name = ends.empty() ? "receive from " + std::to_string(round.receives.front().peer)
                                : "send to " + std::to_string(ends.front().peer);
    if (const std::size_t more = (ends.empty() ? round.receives.size() : ends.size()) - 1; more > 0)
      flight_.name += " and " + std::to_string(more) + " more";
    for (const outgoing& s : round.sends) flight_.bytes += s.bytes.size();
    if (ends.empty())
      for (const incoming& r : round.receives) flight_.bytes += r.bytes.size();
  }
  timed_handle(timed_handle&& other) noexcept
      : inner_{std::move(other.inner_)}, comm_{other.comm_}, log_{other.log_},
        flight_{std::exchange(other.flight_, {})} {}
  timed_handle& operator=(timed_handle&& other) noexcept {
    land();
    inner_ = std::move(other.inner_);
    comm_ = other.comm_;
    log_ = other.log_;
    flight_ = std::exchange(other.flight_, {});
    return *this;
  }
  ~timed_handle() { land(); }

  bool test() {
    const stopwatch timing{*comm_, *log_};
    const bool done = inner_.test();
    if (done) land();
    return done;
  }
  bool take_back() {
    const bool taken = detail::take_back(inner_);
    if (taken) land();
    return taken;
  }
  int waiting_for() const { return inner_.waiting_for(); }

private:
  struct flight {
    int on = 0; ///< 0 when it is not traced, or over
    deadline begin{};
    std::string name = {};
    std::size_t bytes = 0;
  };
  void land() noexcept {
    if (flight_.on == 0) return;
    log_->trace->wait_ends();
    log_->trace->land(flight_.on, flight_.name, flight_.bytes, flight_.begin, tutti::now_of(*comm_));
    flight_.on = 0;
  }

  Handle inner_;
  const Comm* comm_;
  time_log* log_;
  flight flight_;
};

} // namespace detail

/// Time inside the communicator, by its clock: posting, testing and waiting. Computation between a non-blocking
/// collective's start and its wait is not in it, so overlapped communication costs what it really
/// costs. Two clock readings a call.
///
/// With a trace_file, what the rank does when is written to it: what it computes (where time is virtual what it says,
/// elsewhere whatever lies between two calls on this communicator), combines, waits for, and has in flight. It costs a
/// microsecond or so a span.
template <class Inner>
class traced : public transparent_decorator<Inner> {
public:
  using typename transparent_decorator<Inner>::inner_type;

  explicit traced(Inner&& inner, trace_file* file = nullptr)
      : transparent_decorator<Inner>{std::forward<Inner>(inner)} {
    if (file) log_->trace.emplace(*file, this->rank(), tutti::now_of(this->inner_));
  }
  traced(Inner&& inner, trace_file& file) : traced{std::forward<Inner>(inner), &file} {}
  traced(traced&&) = default;
  ~traced() {
    this->end();
    if (!log_ || !log_->trace) return;
    const deadline now = tutti::now_of(this->inner_);
    log_->trace->enter(now);
  }

  template <class Execution>
  auto exchange(Execution execution, channel on, const exchange_round& round) {
    const detail::stopwatch timing{this->inner_, *log_};
    const deadline begin = log_->trace ? tutti::now_of(this->inner_) : deadline{};
    auto handle = this->inner_.exchange(execution, on, round);
    return detail::timed_handle<inner_type, decltype(handle)>{std::move(handle), this->inner_, *log_, round, begin};
  }
  /// Collectives without messages are timed as a whole: they copy and combine in the others' memory.
  detail::stopwatch<inner_type> timed() { return {this->inner_, *log_, detail::traced_scope::shared}; }
  std::uint64_t progress() {
    const detail::stopwatch timing{this->inner_, *log_};
    return this->inner_.progress();
  }
  void idle(std::uint64_t seen, deadline until) {
    const detail::stopwatch timing{this->inner_, *log_, detail::traced_scope::wait};
    this->inner_.idle(seen, until);
  }
  void compute(double seconds)
    requires requires(inner_type& c) { c.compute(seconds); }
  {
    const deadline begin = tutti::now_of(this->inner_);
    if (log_->trace) log_->trace->enter(begin);
    this->inner_.compute(seconds);
    if (!log_->trace) return;
    const deadline end = tutti::now_of(this->inner_);
    log_->trace->add(detail::rank_trace::computes, "computes", begin, end, false);
    log_->trace->leave(end);
  }
  /// A collective is about to combine as many bytes.
  detail::traced_combining<inner_type> combining(std::size_t bytes) {
    return {{this->inner_, *log_, detail::traced_scope::combine}, combine_below(bytes)};
  }

  /// Since construction. The communicator must stay where it is while exchanges are in flight.
  double seconds() const noexcept { return std::chrono::duration<double>(log_->spent).count(); }

private:
  int combine_below(std::size_t bytes) {
    if constexpr (requires { this->inner_.combining(bytes); }) (void)this->inner_.combining(bytes);
    return 0;
  }

  std::unique_ptr<detail::time_log> log_ = std::make_unique<detail::time_log>();
};
template <class Inner>
traced(Inner&&) -> traced<Inner>;
template <class Inner>
traced(Inner&&, trace_file&) -> traced<Inner>;
template <class Inner>
traced(Inner&&, trace_file*) -> traced<Inner>;

} // namespace tutti
