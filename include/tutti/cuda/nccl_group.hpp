// One rank's place among the ranks of an NCCL communicator, with an end to every wait.
//
// NCCL reports a peer that is gone late or not at all, and its own calls may block (NVIDIA/nccl#279, #829). So
// communicators are made non-blocking, every call is settled before anything else enters its stream, and whoever waits
// looks at the stream, at NCCL's own error, at the other ranks' revocation and at the clock.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/core/function_ref.hpp>
#include <tutti/cuda/stream_execution.hpp>

#include <nccl.h>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace tutti::cuda {

namespace detail {

/// What an answer of NCCL means. `of` may be null.
inline failure nccl_failure(ncclResult_t status, const char* call, ncclComm_t of) {
  failure all{.code = error_code::transport, .call = call, .native = ncclGetErrorString(status)};
  if (const char* more = ncclGetLastError(of); more && *more) all.native += std::string{": "} + more;
  if (status == ncclRemoteError) {
    all.code = error_code::peer_lost;
    all.detail = "NCCL has lost a rank - look for the first failure among the others";
  } else if (status == ncclInvalidUsage) {
    all.code = error_code::unsupported;
    all.detail = "NCCL refuses this use of it - give each rank a GPU of its own: before version 2.30 two ranks on one "
                 "are refused";
  } else if (status == ncclInvalidArgument) {
    all.code = error_code::invalid_argument;
  }
  return all;
}

/// Between two looks at what goes on elsewhere.
class nccl_pause {
public:
  void operator()() {
    if (++looks_ < 256) return std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds{50});
  }

private:
  int looks_ = 0;
};

/// The last work of all communicators that were split from one another: it is done in the order in which it was
/// enqueued, whatever the streams, because kernels that wait for each other need not fit on a GPU together
/// (NVIDIA/nccl#592).
struct nccl_order {
  std::shared_ptr<event> last;
};

class nccl_group {
public:
  /// Called while this rank waits: throws when the ranks have failed otherwise.
  using watch = function_ref<void()>;

  nccl_group(int rank, int size, int device, const ncclUniqueId& id, std::shared_ptr<nccl_order> order, deadline until,
             watch look)
      : rank_{rank}, device_{device}, order_{std::move(order)} {
    const current_device held{device};
    ncclConfig_t how = NCCL_CONFIG_INITIALIZER;
    how.blocking = 0;
    try {
      settle(ncclCommInitRankConfig(&comm_, size, id, rank, &how), "ncclCommInitRankConfig", until, look);
    } catch (...) {
      abort();
      throw;
    }
  }
  nccl_group(const nccl_group&) = delete;
  nccl_group& operator=(const nccl_group&) = delete;
  /// Waits for what was enqueued, at most for `patience`; then it is aborted.
  ~nccl_group() {
    if (std::uncaught_exceptions() > 0) abort();
    if (!comm_) return;
    try {
      const current_device held{device_};
      const auto nothing = [] {};
      settle(ncclCommFinalize(comm_), "ncclCommFinalize", clock::now() + patience, nothing);
      static_cast<void>(ncclCommDestroy(std::exchange(comm_, nullptr)));
    } catch (...) {
      abort();
    }
  }
  static constexpr std::chrono::seconds patience{20};

  int device() const noexcept { return device_; }

  /// What call() gives NCCL, all of it in one group, on `on`; returns when it has entered the stream. Null where the
  /// stream is captured.
  template <class Call>
  std::shared_ptr<event> enqueue(const char* name, const stream& on, deadline until, watch look, Call&& call) {
    require_usable(name);
    const current_device held{device_};
    const bool captured = on.is_captured();
    if (!captured && order_->last) on.wait_for(*order_->last);
    ncclResult_t status = ncclGroupStart();
    if (status == ncclSuccess) {
      status = call(comm_);
      const ncclResult_t ended = ncclGroupEnd(); // also after a failure: a group that stays open holds the next one
      if (status == ncclSuccess || status == ncclInProgress) status = ended;
    }
    settle(status, name, until, look);
    if (captured) return nullptr;
    return order_->last = std::make_shared<event>(on);
  }

  /// Until `moment` has come; whatever the others have said so far is heard in any case.
  void wait(const event& moment, const char* name, deadline until, watch look) {
    nccl_pause pause;
    look();
    while (!moment.is_over()) {
      require_usable(name);
      require_no_error(name);
      look();
      require_time(name, until);
      pause();
    }
  }

  /// Throws where this rank, or NCCL of its own, has given up.
  void require_usable(const char* name) const {
    if (!comm_)
      throw error{{.code = error_code::transport,
                   .call = name,
                   .rank = rank_,
                   .detail = "this communicator has failed before - make a new one of the ranks that are left"}};
  }
  void require_no_error(const char* name) const {
    ncclResult_t state = ncclSuccess;
    ncclResult_t status = ncclCommGetAsyncError(comm_, &state);
    if (status == ncclSuccess) status = state;
    if (status != ncclSuccess && status != ncclInProgress) throw error{with_rank(nccl_failure(status, name, comm_))};
  }

  /// Ends what is in flight, on this rank. NCCL may wait in it for kernels that wait for others: a thread of its own
  /// calls it, and is left alone when it takes long.
  void abort() noexcept {
    const ncclComm_t gone = std::exchange(comm_, nullptr);
    if (!gone) return;
    try {
      auto ended = std::make_shared<std::promise<void>>();
      const auto over = ended->get_future();
      std::thread{[gone, ended] {
        static_cast<void>(ncclCommAbort(gone));
        ended->set_value();
      }}.detach();
      static_cast<void>(over.wait_for(std::chrono::seconds{1}));
    } catch (...) { // no thread to be had: what is left is left
    }
  }

private:
  /// `status` is what a call answered: until NCCL has done what it was asked for, nothing may follow it.
  void settle(ncclResult_t status, const char* name, deadline until, watch look) {
    nccl_pause pause;
    for (;;) {
      if (status == ncclSuccess && comm_) {
        ncclResult_t state = ncclSuccess;
        status = ncclCommGetAsyncError(comm_, &state);
        if (status == ncclSuccess) status = state;
      }
      if (status == ncclSuccess) return;
      if (status != ncclInProgress) throw error{with_rank(nccl_failure(status, name, comm_))};
      look();
      require_time(name, until);
      pause();
      status = ncclSuccess;
    }
  }
  void require_time(const char* name, deadline until) const {
    if (clock::now() < until) return;
    throw error{{.code = error_code::timeout,
                 .call = name,
                 .rank = rank_,
                 .detail = "NCCL has not done this in time, and does not say whom it waits for - make the same calls "
                           "on every rank, or raise tutti::options::timeout if the others are only slow"}};
  }
  failure with_rank(failure of) const {
    of.rank = rank_;
    return of;
  }

  int rank_, device_;
  ncclComm_t comm_ = nullptr; ///< null after a failure
  std::shared_ptr<nccl_order> order_;
};

} // namespace detail
} // namespace tutti::cuda
