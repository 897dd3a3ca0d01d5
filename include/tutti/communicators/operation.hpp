// What is in flight on a communicator, and the request by which its caller holds on to it.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace tutti {

/// One collective under way: a state machine that is pushed along by whoever waits.
class operation {
public:
  operation() = default;
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;
  virtual ~operation() = default;

  /// Goes as far as it can without blocking; true once complete. Throws its failure.
  virtual bool advance() = 0;
  /// Lets the transport work; the number of events so far.
  virtual std::uint64_t progress() = 0;
  /// Sleeps until more than `seen` events have happened, or until the operation's own deadline.
  virtual void idle(std::uint64_t seen) = 0;
  /// Throws the timeout of this operation when its deadline has passed.
  virtual void check_deadline() = 0;
  /// Tells all ranks that it will not be completed.
  virtual void abandon() noexcept = 0;

  bool done() const noexcept { return done_; }
  std::exception_ptr fault() const noexcept { return fault_; }

  /// Advances and keeps the outcome; never throws.
  void step() noexcept {
    if (done_) return;
    try {
      done_ = advance();
      if (!done_) check_deadline();
    } catch (...) {
      fault_ = std::current_exception();
      done_ = true;
    }
  }

private:
  bool done_ = false;
  std::exception_ptr fault_;
};

/// The operations in flight on one communicator, and the numbering of their channels. All of them
/// advance whenever one is waited for, so the order in which ranks wait cannot deadlock them.
class operations {
public:
  /// Whatever collectives keep between calls on this communicator (collectives/kept_plans.hpp).
  struct kept {
    virtual ~kept() = default;
  };
  std::unique_ptr<kept> kept_between_calls;

  /// A channel for the next operation; equal on all ranks that start operations in the same order.
  std::uint32_t next_channel() noexcept { return next_++ & 0x3fffu; }
  /// A channel for longer than one operation, apart from all that next_channel() returns. Below 2^15, as
  /// are the tags that every MPI has; after 16,384 of them they repeat.
  std::uint32_t reserve_channel() noexcept { return 0x4000u | (reserved_++ & 0x3fffu); }

  void enter(operation& o) { active_.push_back(&o); }
  void leave(operation& o) noexcept {
    for (std::size_t k = 0; k < active_.size(); ++k)
      if (active_[k] == &o) active_[k] = active_.back(), active_.pop_back();
  }
  std::size_t count() const noexcept { return active_.size(); }

  /// Advances every operation as far as it goes now. One that ends may let another begin, so they are
  /// gone through until none has ended: after that only an event can move them on.
  void step() noexcept {
    for (bool ended = true; ended;) {
      ended = false;
      for (std::size_t k = 0; k < active_.size(); ++k) {
        if (active_[k]->done()) continue;
        active_[k]->step();
        ended = ended || active_[k]->done();
      }
    }
  }

  /// Advances all until `o` is done; throws its failure.
  void wait(operation& o) {
    for (o.step(); !o.done();) {
      const auto seen = o.progress();
      step();
      if (!o.done()) o.idle(seen);
    }
    if (o.fault()) std::rethrow_exception(o.fault());
  }

private:
  std::vector<operation*> active_;
  std::uint32_t next_ = 0;
  std::uint32_t reserved_ = 0;
};

/// Holds an operation in flight, and what it uses. Move-only; empty is the same as complete.
/// The caller's buffers are its own again when wait() has returned, or test() has returned true.
/// Dropping a request waits for it; dropping it while an exception is under way abandons it, and every
/// rank's call fails with `peer_lost` naming this rank.
class [[nodiscard]] request {
public:
  request() = default;
  request(std::unique_ptr<operation> o, operations& all) : operation_{std::move(o)}, all_{&all} {
    all_->enter(*operation_);
    operation_->step();
  }
  request(request&& other) noexcept
      : operation_{std::move(other.operation_)}, all_{std::exchange(other.all_, nullptr)} {}
  request& operator=(request&& other) noexcept {
    request{std::move(*this)}.drop();
    operation_ = std::move(other.operation_);
    all_ = std::exchange(other.all_, nullptr);
    return *this;
  }
  ~request() { drop(); }

  /// True once complete; throws the failure, once. Never blocks.
  bool test() {
    if (!operation_) return true;
    operation_->progress();
    all_->step();
    if (!operation_->done()) return false;
    finish();
    return true;
  }

  /// Blocks until complete, at most until the operation's deadline; throws its failure.
  void wait() {
    if (!operation_) return;
    try {
      all_->wait(*operation_);
    } catch (...) {
      release();
      throw;
    }
    release();
  }

private:
  void finish() {
    const auto fault = operation_->fault();
    release();
    if (fault) std::rethrow_exception(fault);
  }
  void release() noexcept {
    all_->leave(*operation_);
    operation_.reset();
  }
  void drop() noexcept {
    if (!operation_) return;
    if (std::uncaught_exceptions() > 0 && !operation_->done()) {
      operation_->abandon();
      release();
      return;
    }
    try {
      wait();
    } catch (...) {
    }
  }

  std::unique_ptr<operation> operation_;
  operations* all_ = nullptr;
};

} // namespace tutti
