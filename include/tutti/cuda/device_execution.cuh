// A plan on device memory by a communicator of the host that takes addresses of a device, as CUDA-aware MPI does.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/enqueued_plan.cuh>
#include <tutti/cuda/plain_buffer.hpp>
#include <tutti/topologies/ring.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cuda {

/// A communicator of the host that says at run time whether its messages may name memory of a device; the same on all
/// of its ranks (mpi::communicator).
template <class Comm>
concept device_aware_communicator = communicator<Comm> && requires(const Comm& c) {
  { c.takes_device_memory() } -> std::same_as<bool>;
};

namespace detail {

/// Whether messages of a plan name no memory of a device, and streams wait for each other by events (peer_plan).
template <class Plan> inline constexpr bool ordered_by_events = false;
template <class Plan>
  requires requires { Plan::orders_by_events; }
inline constexpr bool ordered_by_events<Plan> = Plan::orders_by_events;

/// Runs a device_plan: the host waits for what the stream was given before a round, which is this rank's work alone,
/// then messages name the device's memory, and what follows them is enqueued. Reductions are kernels: what an MPI does
/// with device memory beyond moving it is not relied on (open-mpi/ompi#12620). When it is complete the last kernels are
/// enqueued, and nothing else is on its way.
template <class Comm, class Plan> class device_execution final : public operation {
public:
  device_execution(Comm& comm, Plan& what, const char* call, const options& how)
      : comm_{comm}, plan_{what}, call_{call}, timeout_{how.timeout} {}

  bool advance() override {
    try {
      return run();
    } catch (const error& e) {
      fail(e.details());
    } catch (...) {
      abandon();
      throw;
    }
  }
  std::uint64_t progress() override { return comm_.progress(); }
  void idle(std::uint64_t seen) override { comm_.idle(seen, deadline_); }
  deadline until() override { return deadline_; }
  bool refers_to(const void* communicator) const noexcept override { return communicator == &comm_; }
  void check_deadline() override {
    if (tutti::now_of(comm_) < deadline_) return;
    fail({.code = error_code::timeout,
          .peer = pending_ ? pending_->waiting_for() : -1,
          .detail = "no answer within " + std::to_string(timeout_.count()) +
                    " ms - raise tutti::options::timeout if the peer is only slow"});
  }
  void abandon() noexcept override {
    tutti::detail::give_up_call(comm_, call_, "the rank dropped a request in flight while unwinding",
                                [&] { pending_.reset(); });
  }

private:
  using handle = tutti::detail::exchange_handle_of<Comm>;

  void begin() override {
    deadline_ = options{.timeout = timeout_}.until(tutti::now_of(comm_));
    channel_ = comm_.in_flight().next_channel();
    pending_.reset();
    begun_ = false;
    round_ = 0;
  }
  bool run() {
    if (!std::exchange(begun_, true)) plan_.begin();
    for (;;) {
      if (pending_) {
        if (!pending_->test()) return false;
        pending_.reset();
        plan_.absorb(round_++);
      }
      if (round_ == plan_.rounds()) break;
      plan_.prepare(round_);
      if constexpr (!ordered_by_events<Plan>) event{plan_.on()}.wait();
      pending_.emplace(comm_.exchange(host_execution{}, channel_, plan_.messages(round_)));
    }
    plan_.end();
    return true;
  }
  [[noreturn]] void fail(failure why) {
    tutti::detail::fail_call(comm_, call_, std::move(why), [&] { pending_.reset(); });
  }

  Comm& comm_;
  Plan& plan_;
  const char* call_;
  std::chrono::milliseconds timeout_;
  deadline deadline_{};
  channel channel_ = 0;
  bool begun_ = false;
  std::size_t round_ = 0;
  std::optional<handle> pending_;
};

/// An all_reduce of device memory in messages of the host, to its end but for the last kernels.
template <class Built, class Comm, class T, class R, class Topology>
void run_reduction(const char* name, Comm& comm, const stream& on, device_span<T> data, const R& r,
                   const Topology& schedule, const options& how) {
  detail::with_reduction<Built>(name, comm, on, data, r, how, [&](auto& call, const auto& math) {
    using plan_type = device_plan<T, std::remove_cvref_t<decltype(math)>, plain_buffer>;
    auto all = tutti::detail::made(comm, [&] {
      return std::make_unique<plan_type>(on, tutti::detail::plan_for(call, schedule, Topology::gathers), data, math);
    });
    tutti::detail::runs_now{comm}([&] { return device_execution<Comm, plan_type>{comm, *all, name, how}; });
  });
}

/// The plan of a collective without arithmetic in memory that others may be given.
template <class Comm, class T, class Topology>
std::shared_ptr<const tutti::detail::plan> plan_of_copies(Comm& comm, collective what, device_span<T> data,
                                                          const Topology& schedule, const char* name,
                                                          const options& how) {
  tutti::detail::task work{name};
  work.math = no_device_arithmetic<T>::sizes();
  const tutti::detail::collective_call<Comm> call{comm, what, 0, detail::data_of(comm, data), work, how};
  return tutti::detail::plan_for(call, schedule, false);
}

/// Whether messages of `comm` do move memory of the device of `on`: it says so, and what all ranks gather is what they
/// gave (open-mpi/ompi#7963). Collective; the same answer on all ranks.
template <class Comm> bool moves_device_memory(Comm& of, const stream& on, const options& how = {}) {
  if constexpr (!device_aware_communicator<Comm>) return false;
  else {
    if (!of.takes_device_memory()) return false;
    auto& comm = tutti::detail::stationary(of);
    using body = std::remove_reference_t<decltype(comm)>;
    using word = std::uint32_t;
    const char* const call = "cuda: what messages move";
    std::vector<word> right(16 * std::size_t(comm.size())), mine(right.size()), got(right.size());
    for (std::size_t i = 0; i < right.size(); ++i) right[i] = word(i + 1) * 2654435761u;
    const shard own = shard_of(right.size(), comm.rank(), comm.size());
    std::copy(right.begin() + std::ptrdiff_t(own.begin), right.begin() + std::ptrdiff_t(own.end),
              mine.begin() + std::ptrdiff_t(own.begin));
    const auto data = tutti::detail::made(comm, [&] { return plain_buffer<word>{on, right.size()}; });
    const auto copy = [&](void* to, const void* from, cudaMemcpyKind kind) {
      const current_device held{on.device()};
      cuda::check(cudaMemcpyAsync(to, from, right.size() * sizeof(word), kind, on.handle()), "cudaMemcpyAsync");
      on.wait();
    };
    copy(data.span().data(), mine.data(), cudaMemcpyHostToDevice);
    const no_device_arithmetic<word> nothing;
    device_plan<word, no_device_arithmetic<word>, plain_buffer> all{
        on, detail::plan_of_copies(comm, collective::all_gather, data.span(), ring{}, call, how), data.span(), nothing};
    tutti::detail::runs_now{comm}([&] { return device_execution<body, decltype(all)>{comm, all, call, how}; });
    copy(got.data(), data.span().data(), cudaMemcpyDeviceToHost);
    std::uint64_t agreed[] = {got == right};
    tutti::all_reduce(tutti::control_of(of), agreed, tutti::min{}, how);
    return agreed[0] != 0;
  }
}

} // namespace detail
} // namespace tutti::cuda
