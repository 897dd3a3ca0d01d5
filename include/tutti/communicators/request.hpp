// Requests: what a caller holds of an operation in flight.
#pragma once

#include <tutti/communicators/operation.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

namespace tutti {

/// A collective that is made once and started any number of times, on the same data with the same parts:
/// what a start does not do again is plan and allocate. Move-only; empty is the same as complete.
/// The caller's buffers are its own between wait() and start(). Starts count in the order of calls: every
/// rank starts the same collectives in the same order. Made by persistent_all_reduce and its kin; the
/// data outlives it. Dropping one in flight is like dropping a request. When its communicator ends, which
/// waits for what is in flight, it keeps the outcome and cannot be started again.
class [[nodiscard]] persistent_request {
public:
  persistent_request() = default;
  persistent_request(std::unique_ptr<operation> o, operations& all)
      : operation_{std::move(o)}, all_{all.place()} {}
  persistent_request(persistent_request&& other) noexcept
      : operation_{std::move(other.operation_)}, all_{std::move(other.all_)},
        started_{std::exchange(other.started_, false)} {}
  persistent_request& operator=(persistent_request&& other) noexcept {
    if (this == &other) return *this;
    drop();
    operation_ = std::move(other.operation_);
    all_ = std::move(other.all_);
    started_ = std::exchange(other.started_, false);
    return *this;
  }
  ~persistent_request() { drop(); }

  /// Throws invalid_argument when it is empty, or in flight already, or its communicator has ended.
  void start() {
    if (!operation_) refuse("the persistent request is empty: it was moved from, or never made");
    if (started_) refuse("the collective is in flight already - wait for it first");
    if (!*all_) refuse("its communicator has ended - make the request on one that outlives it");
    operations& all = **all_;
    const operations::visit now{all, "start"};
    const auto held = all.hold();
    all.start(*operation_);
    all.enter(*operation_);
    started_ = true;
    all.step(*operation_);
  }

  /// Started, and not yet known to be complete.
  bool in_flight() const noexcept { return started_; }

  /// True once complete, or when it is not started; throws the failure, once. Never blocks.
  bool test() {
    if (!started_) return true;
    if (*all_) {
      operations& all = **all_;
      const operations::visit now{all, "test"};
      const auto held = all.hold();
      const std::uint64_t seen = operation_->progress();
      if (!operation_->done() && !all.step(*operation_)) all.step(seen);
      if (!operation_->done()) return false;
    }
    started_ = false;
    if (const auto fault = operation_->fault()) std::rethrow_exception(fault);
    return true;
  }

  /// Blocks until complete, at most until the operation's deadline; throws its failure.
  void wait() {
    if (!started_) return;
    if (*all_) {
      const operations::visit now{**all_, "wait"};
      finish();
    }
    started_ = false;
    if (const auto fault = operation_->fault()) std::rethrow_exception(fault);
  }

private:
  [[noreturn]] static void refuse(const char* why) {
    throw error{{.code = error_code::invalid_argument, .call = "start", .detail = why}};
  }
  /// A transport that throws while it waits has not ended the operation.
  void finish() {
    try {
      (*all_)->wait(*operation_);
    } catch (...) {
      if (operation_->done()) return;
      give_up();
      throw;
    }
  }
  void give_up() noexcept {
    const auto held = (*all_)->hold();
    if (!operation_->done()) operation_->abandon();
    (*all_)->leave(*operation_);
    started_ = false;
  }
  void drop() noexcept {
    if (!started_) return;
    if (!*all_) {
      started_ = false;
      return;
    }
    const operations::visit now{**all_};
    if (std::uncaught_exceptions() > 0) return give_up();
    try {
      finish();
    } catch (...) {
    }
    started_ = false;
  }

  std::unique_ptr<operation> operation_;
  std::shared_ptr<operations*> all_; ///< what it points to is null once the communicator has ended
  bool started_ = false;
};

/// Holds an operation in flight, and what it uses. Move-only; empty is the same as complete.
/// The caller's buffers are its own again when wait() has returned, or test() has returned true.
/// Dropping a request waits for it; dropping it while an exception is under way abandons it, and every
/// rank's call fails with `peer_lost` naming this rank.
class [[nodiscard]] request {
public:
  request() = default;
  request(std::unique_ptr<operation> o, operations& all) : once_{std::move(o), all} {
    once_.start();
  }
  request(request&&) = default;
  request& operator=(request&&) = default;

  /// True once complete; throws the failure, once. Never blocks.
  bool test() {
    if (!emptied([&] { return once_.test(); })) return false;
    (void)(once_ = {});
    return true;
  }

  /// Blocks until complete, at most until the operation's deadline; throws its failure.
  void wait() {
    emptied([&] { return once_.wait(), true; });
    (void)(once_ = {});
  }

private:
  /// A failure ends it, too; a refusal does not.
  template <class Use>
  bool emptied(Use&& use) {
    try {
      return use();
    } catch (...) {
      if (!once_.in_flight()) (void)(once_ = {});
      throw;
    }
  }

  persistent_request once_;
};

} // namespace tutti
