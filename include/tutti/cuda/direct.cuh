// all_reduce among ranks of one process that share a device: each reads what the others have, where they have it.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/peer_plan.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/topologies/schedule.hpp>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tutti::cuda {

namespace detail {

/// What a rank tells the others about its data.
struct device_rank {
  std::int64_t process, device;
  std::uint64_t data, n;
  std::uint64_t moment; ///< the event behind which they may be read
};

/// Every rank's, in rank order.
template <class Comm> std::vector<device_rank> gathered(Comm& comm, const device_rank& mine) {
  std::vector<device_rank> all(std::size_t(comm.size()));
  const auto words = [](device_rank* r, std::size_t n) {
    return std::span<std::uint64_t>{reinterpret_cast<std::uint64_t*>(r),
                                    n * sizeof(device_rank) / sizeof(std::uint64_t)};
  };
  device_rank copy = mine;
  tutti::all_gather(tutti::control_of(comm), std::span<const std::uint64_t>{words(&copy, 1)},
                    words(all.data(), all.size()));
  return all;
}

/// cuda::reduce with kernels of these architectures, whose first template argument is the reducer where it folds.
template <class Built, class R, class T>
void reduce_by(const stream& on, const R& reducer, std::span<const device_span<const T>> in, device_span<T> out) {
  if constexpr (requires { cuda::reduce<T, Built>(on, reducer, in, out); })
    cuda::reduce<T, Built>(on, reducer, in, out);
  else cuda::reduce<R, T, Built>(on, reducer, in, out);
}

inline void check_ranks(const char* call, std::span<const device_rank> all, int rank) {
  const auto refuse = [&](error_code code, std::size_t peer, std::string why) {
    throw error{{.code = code, .call = call, .rank = rank, .peer = int(peer), .detail = std::move(why)}};
  };
  const device_rank& mine = all[std::size_t(rank)];
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (all[r].process != mine.process)
      refuse(error_code::unsupported, r,
             "ranks are processes, whose device memory others do not see - use a cuda::peer_buffer, or cuda::staging");
    if (all[r].device != mine.device)
      refuse(error_code::unsupported, r,
             "ranks are on devices " + std::to_string(mine.device) + " and " + std::to_string(all[r].device) +
                 " - use a cuda::peer_buffer, or cuda::staging");
    if (all[r].n != mine.n)
      refuse(error_code::mismatch, r,
             "this rank gives " + std::to_string(mine.n) + " values, and rank " + std::to_string(r) + " gives " +
                 std::to_string(all[r].n));
  }
}

} // namespace detail

/// In place, for ranks that are threads with streams of one device: every rank reduces its shard out of all ranks'
/// memory by cuda::reduce, and copies the others' shards from where they are. The bits of tutti::all_reduce over
/// tutti::direct. Folding reducers without weights of up to 16 ranks, median and trimmed_mean of up to 64. Collective;
/// returns when the work is enqueued on all ranks. Cost: 2 (p - 1) / p reads of the data from others, one write, three
/// all_gathers of a few words and a barrier on the host. Errors: unsupported for ranks in other processes, on other
/// devices, and while the stream is captured; mismatch; those of cuda::reduce.
template <communicator Comm, class R, class T, class Built = detail::built_for>
void direct_all_reduce(Comm& comm, const stream& on, const R& reducer, device_span<T> data) {
  const char* const call = "cuda::direct_all_reduce";
  detail::require_one_device(on, call, data);
  detail::refuse_capture(on, call, "ranks tell each other on the host where their data is");
  const auto rank = std::size_t(comm.rank()), size = std::size_t(comm.size());
  const auto tell = [&](const event& moment) {
    return detail::gathered(comm, {getpid(), on.device(), reinterpret_cast<std::uint64_t>(data.data()), data.size(),
                                   reinterpret_cast<std::uint64_t>(moment.handle())});
  };
  const auto wait_for = [&](const detail::device_rank& r) {
    const current_device held{on.device()};
    cuda::check(cudaStreamWaitEvent(on.handle(), reinterpret_cast<cudaEvent_t>(r.moment), 0), "cudaStreamWaitEvent");
  };
  const auto part_of = [&](const detail::device_rank& of, std::size_t r) {
    const shard piece = shard_of(data.size(), int(r), int(size));
    return device_span<T>{reinterpret_cast<T*>(of.data) + piece.begin, piece.end - piece.begin, on.device()};
  };

  const event complete{on};
  const auto all = tell(complete);
  detail::check_ranks(call, all, comm.rank());
  std::vector<device_span<const T>> in;
  for (const auto& r : all) {
    wait_for(r);
    in.push_back(part_of(r, rank));
  }
  detail::reduce_by<Built>(on, reducer, std::span<const device_span<const T>>{in},
                           part_of(all[rank], rank)); // nobody else reads it

  const event reduced{on};
  const auto results = tell(reduced);
  for (std::size_t r = 0; r < size; ++r) {
    if (r == rank) continue;
    wait_for(results[r]); // it has read this rank's, too
    const auto from = part_of(all[r], r), to = part_of(all[rank], r);
    if (!from.empty())
      cuda::check(
          cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(T), cudaMemcpyDeviceToDevice, on.handle()),
          "cudaMemcpyAsync");
  }

  const event copied{on};
  for (const auto& r : tell(copied)) wait_for(r); // before anybody changes what others read
  tutti::barrier(tutti::control_of(comm));        // events are there until all wait for them
}

/// The same among ranks that reach each other's device memory (peer_buffer): threads with a device each, or processes
/// of one machine, on one device or several. The reduction is one kernel over all ranks' memory. Collective; returns
/// when the work is enqueued on all ranks. Cost: 2 (p - 1) / p reads of the data from others, one write, and three
/// all_gathers of a word on the host. Errors: unsupported where ranks do not reach each other, saying why, and while
/// the stream is captured; those of cuda::reduce.
template <class R, class T, class Built = detail::built_for>
void direct_all_reduce(const R& reducer, peer_buffer<T>& data) {
  const char* const call = "cuda::direct_all_reduce";
  const stream& on = data.on();
  const int rank = data.ranks().rank();
  if (!data.reaches())
    throw error{{.code = error_code::unsupported,
                 .call = call,
                 .rank = rank,
                 .detail = "ranks do not reach each other's device memory (" + data.why_not() +
                           ") - use cuda::staging"}};
  detail::refuse_capture(on, call, "ranks tell each other on the host how far they are");
  const struct {
    const R& reducer;
    const stream& on;
    void unite(const std::vector<device_span<const T>>& in, device_span<T> out) const {
      detail::reduce_by<Built>(on, reducer, std::span<const device_span<const T>>{in}, out);
    }
  } math{reducer, on};
  detail::peer_plan all{data, {0, data.size()}, 0, math, {.reduces = true, .hands_out = true}};
  for (std::size_t r = 0; r < all.rounds(); ++r) {
    all.prepare(r);
    data.meet();
    all.absorb(r);
  }
}

} // namespace tutti::cuda
