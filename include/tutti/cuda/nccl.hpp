// nccl_communicator: ranks that also move device memory, by NCCL.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/decorator.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/nccl_group.hpp>
#include <tutti/cuda/nccl_operators.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace tutti::cuda {

/// A communicator of the host (threads, MPI) whose ranks have a GPU each, and NCCL between them: what is given with a
/// stream_execution travels between devices in the order of that stream, everything else as before. An lvalue is
/// referred to, an rvalue owned. Making and splitting one is collective; it is given to cuda::all_reduce
/// (cuda/nccl_all_reduce.cuh), and to a strategy as any other, whose trainers on tensors of a device
/// (cuda/device_memory.hpp) then reduce without the host.
///
/// Calls enqueue and return; wait() is the way to wait for a stream that communicates: it ends with an error when a
/// rank has failed, and at the deadline, which cudaStreamSynchronize does not. After a failure the communicator is
/// revoked on all ranks, and NCCL aborted. Communicators that were split from one another do their work on a device in
/// the order in which it was enqueued. Cost: an exchange is one group of ncclSend and ncclRecv and an event.
/// Errors: peer_lost, timeout, transport with the text of NCCL, unsupported for ranks that share a GPU before NCCL
/// 2.30, and those of the communicator of the host.
template <class Inner>
class nccl_communicator : public decorator<Inner> {
  using base = decorator<Inner>;

public:
  explicit nccl_communicator(Inner&& inner, int device, const options& how = {})
      : nccl_communicator{std::forward<Inner>(inner), device, std::make_shared<detail::nccl_order>(), how} {}
  nccl_communicator(nccl_communicator&&) = default;
  nccl_communicator& operator=(nccl_communicator&&) = delete;
  ~nccl_communicator() { this->end(); }

  /// A round of device memory, in the order of a stream.
  class handle {
  public:
    handle(handle&&) = default;
    handle& operator=(handle&&) = default;

    bool test() {
      if (!moment_ || moment_->is_over()) return true;
      group_->require_usable("exchange");
      group_->require_no_error("exchange");
      return false;
    }
    /// NCCL does not say.
    int waiting_for() const noexcept { return -1; }

  private:
    friend nccl_communicator;
    handle(std::shared_ptr<detail::nccl_group> group, std::shared_ptr<event> moment)
        : group_{std::move(group)}, moment_{std::move(moment)} {}
    std::shared_ptr<detail::nccl_group> group_;
    std::shared_ptr<event> moment_;
  };

  auto exchange(host_execution by, channel on, const exchange_round& round) {
    return this->inner_.exchange(by, on, round);
  }
  /// Spans of device memory. Messages meet in the order in which rounds are enqueued, whatever their channel.
  handle exchange(stream_execution by, channel, const exchange_round& round) {
    return enqueued("exchange", by.on, by.how, [&](ncclComm_t comm) {
      ncclResult_t status = ncclSuccess;
      const auto good = [&] { return status == ncclSuccess || status == ncclInProgress; };
      for (const incoming& m : round.receives)
        if (good() && !m.bytes.empty())
          status = ncclRecv(m.bytes.data(), m.bytes.size(), ncclUint8, m.peer, comm, by.on.handle());
      for (const outgoing& m : round.sends)
        if (good() && !m.bytes.empty())
          status = ncclSend(m.bytes.data(), m.bytes.size(), ncclUint8, m.peer, comm, by.on.handle());
      return status;
    });
  }

  /// NCCL's own all_reduce, in place; the reducer is one of those that NCCL has an operator for.
  template <class R, class T>
  handle native_all_reduce(const stream& on, const R&, device_span<T> data, const options& how = {}) {
    detail::explain_native<R, T>();
    return enqueued("ncclAllReduce", on, how, [&](ncclComm_t comm) {
      if (data.empty()) return ncclSuccess;
      return ncclAllReduce(data.data(), data.data(), data.size(), *detail::nccl_type<T>(), *detail::nccl_operator_of<R>,
                           comm, on.handle());
    });
  }

  /// Until all that the stream was given is done, at most for options::timeout.
  void wait(const stream& on, const options& how = {}) {
    detail::refuse_capture(on, "wait", "what is captured is waited for when the graph runs");
    const event moment{on};
    guarded([&](const watching& look) { group_->wait(moment, "wait", how.until(clock::now()), look); });
  }

  /// Every pending and later call on any rank fails with this failure.
  void revoke(failure why) {
    group_->abort();
    this->inner_.revoke(std::move(why));
  }

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank), on the same devices.
  auto split(int color, int key, const options& how = {}) {
    auto members = this->inner_.split(color, key);
    return nccl_communicator<decltype(members)>{std::move(members), group_->device(), order_, how};
  }

  int device() const noexcept { return group_->device(); }
  /// Whether native_all_reduce is what the reducer says it is.
  template <class R, class T> static constexpr bool computes = nccl_computes<R, T>;

private:
  template <class> friend class nccl_communicator;

  nccl_communicator(Inner&& inner, int device, std::shared_ptr<detail::nccl_order> order, const options& how)
      : base{std::forward<Inner>(inner)}, order_{std::move(order)} {
    using words = std::array<std::uint64_t, sizeof(ncclUniqueId) / sizeof(std::uint64_t)>;
    auto& host = tutti::control_of(this->inner_);
    ncclUniqueId id{};
    const auto name = [&] {
      if (host.rank() != 0) return;
      if (const ncclResult_t status = ncclGetUniqueId(&id); status != ncclSuccess)
        throw error{detail::nccl_failure(status, "ncclGetUniqueId", nullptr)};
    };
    tutti::detail::made(host, name);
    words all{};
    std::memcpy(all.data(), &id, sizeof id);
    tutti::broadcast(host, all, 0, how);
    std::memcpy(&id, all.data(), sizeof id);
    tutti::detail::made(host, [&] {
      group_ = std::make_shared<detail::nccl_group>(host.rank(), host.size(), device, id, order_,
                                                    how.until(clock::now()), watching{this->inner_});
    });
  }

  /// Throws when the ranks have failed otherwise; what is in flight on the host goes on meanwhile.
  struct watching {
    typename base::inner_type& inner;
    void operator()() const {
      inner.in_flight().step(inner.progress());
      if constexpr (requires { inner.require_usable(); })
        inner.require_usable();
      else
        static_cast<void>(inner.exchange(host_execution{}, channel{}, exchange_round{}));
    }
  };

  /// Whatever fails on this rank fails on all. use(look) may look() while it waits.
  template <class Use>
  decltype(auto) guarded(Use&& use) {
    const watching look{this->inner_};
    try {
      return use(look);
    } catch (const error& e) {
      revoke(e.details());
      throw;
    }
  }
  template <class Call>
  handle enqueued(const char* name, const stream& on, const options& how, Call&& call) {
    if (on.device() != device())
      throw error{{.code = error_code::invalid_argument,
                   .call = name,
                   .rank = this->rank(),
                   .detail = "this communicator is on device " + std::to_string(device()) +
                             " and the stream on device " + std::to_string(on.device()) +
                             " - give a stream of its device"}};
    return guarded([&](const watching& look) {
      return handle{group_, group_->enqueue(name, on, how.until(clock::now()), look, call)};
    });
  }

  std::shared_ptr<detail::nccl_order> order_;
  std::shared_ptr<detail::nccl_group> group_;
};
template <class Inner>
nccl_communicator(Inner&&, int) -> nccl_communicator<Inner>;
template <class Inner>
nccl_communicator(Inner&&, int, options) -> nccl_communicator<Inner>;

} // namespace tutti::cuda
