// What ranks do with values that all of them reach: rounds as those of a device_plan, whose messages say that a moment
// was recorded, and no more.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/cuda/peer_buffer.hpp>
#include <tutti/topologies/schedule.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace tutti::cuda::detail {

/// The halves of an all_reduce.
struct peer_steps {
  bool reduces, hands_out;
};

/// Of the values `where` of a peer_buffer: every rank makes its shard of all ranks' values by math.unite(in, out), with
/// `in` in rank order; then it copies the others' shards from where they are; or one of the two. What a round waits for
/// is behind the moments of all ranks, so streams wait and the host does not. Behind the last round nobody looks at
/// this rank's values any more. It has rounds() moments of the buffer for itself, from `first` on: each is recorded
/// again only when everyone has waited for it, because a message of a later round has come from everyone.
/// The bits of tutti::direct. Cost: rounds() messages of a byte to every other rank; 2 (p - 1) / p reads of the values
/// of others, one write, and a launch. Math and the buffer outlive it. Who waits for rounds is device_execution, or
/// whoever calls prepare(), meets all ranks, and calls absorb().
template <class T, class Math> class peer_plan {
public:
  static constexpr bool orders_by_events = true;

  peer_plan(peer_buffer<T>& data, place where, std::size_t first, const Math& math, peer_steps what)
      : data_{data}, where_{where}, first_{first}, math_{math}, what_{what},
        told_(std::size_t(data.ranks().size())) {
    const int rank = data.ranks().rank();
    for (int r = 0; r < data.ranks().size(); ++r)
      if (r != rank) {
        sends_.push_back({r, {&tells_, 1}});
        receives_.push_back({r, {&told_[std::size_t(r)], 1}});
      }
  }
  peer_plan(const peer_plan&) = delete;
  peer_plan& operator=(const peer_plan&) = delete;

  std::size_t rounds() const noexcept { return std::size_t{1} + what_.reduces + what_.hands_out; }
  void begin() const {}
  void prepare(std::size_t r) const { data_.record(first_ + r); }
  exchange_round messages(std::size_t) const { return {sends_, receives_}; }
  void absorb(std::size_t r) const {
    for (int of = 0; of < data_.ranks().size(); ++of) data_.wait_for(of, first_ + r);
    if (r == 0 && what_.reduces) reduce();
    else if (r + 1 < rounds()) hand_out();
  }
  void end() const {}
  const stream& on() const noexcept { return data_.on(); }

private:
  /// Shard r of the values, as they are on rank `of`.
  device_span<T> part_of(int of, int r) const {
    const shard part = shard_of(where_.size(), r, data_.ranks().size());
    return data_.of(of).subspan(where_.begin + part.begin, part.end - part.begin);
  }
  void reduce() const {
    const int rank = data_.ranks().rank();
    std::vector<device_span<const T>> in;
    for (int r = 0; r < data_.ranks().size(); ++r) in.push_back(part_of(r, rank));
    math_.unite(in, part_of(rank, rank)); // which nobody else reads
  }
  void hand_out() const {
    const int rank = data_.ranks().rank();
    const current_device held{on().device()};
    for (int r = 0; r < data_.ranks().size(); ++r) {
      const auto from = part_of(r, r), to = part_of(rank, r);
      if (r == rank || from.empty()) continue;
      cuda::check(cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(T), cudaMemcpyDefault, on().handle()),
                  "cudaMemcpyAsync");
    }
  }

  peer_buffer<T>& data_;
  place where_;
  std::size_t first_;
  const Math& math_;
  peer_steps what_;
  std::byte tells_{1};
  std::vector<std::byte> told_;
  std::vector<outgoing> sends_;
  std::vector<incoming> receives_;
};

} // namespace tutti::cuda::detail
