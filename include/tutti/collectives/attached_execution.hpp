// Collectives of data that only its own rank can reach, where the kernel copies from one rank's
// memory to another's.
#pragma once

#include <tutti/collectives/shared_operation.hpp>

#include <memory>

namespace tutti::detail {

/// An epoch in which every rank says where its data is, work in windows that stay in the caches,
/// and an epoch behind it. A reduction reads what others contribute to its part into a window each,
/// folds, and writes the result to those that are to have it; copies are read from whoever has
/// them.
template <direct_access_communicator Comm>
class attached_execution final : public shared_operation<Comm> {
public:
  /// Of each rank's contribution. Longer ones leave the second-level cache, shorter ones cost more
  /// calls of the kernel.
  static constexpr std::size_t window_bytes = std::size_t{64} << 10;

  explicit attached_execution(collective_call<Comm>& call) : shared_operation<Comm>{call} {}

private:
  using base = shared_operation<Comm>;
  using base::bytes_of, base::data_, base::in_, base::out_, base::rank_, base::root_,
      base::signals_, base::size_, base::what_;

  void reset() override { stage_ = 0; }
  bool work() override {
    if (stage_ == 0) {
      if (!this->free()) return false;
      std::memcpy(signals_.data(), &data_.own, sizeof data_.own);
      this->announce();
      stage_ = 1;
    }
    if (!this->everyone_has_announced()) return false;
    if (stage_ == 1) {
      this->compare_calls();
      move();
      this->announce();
      stage_ = 2;
    }
    return this->everyone_has_announced();
  }

  std::byte* place_of(int rank) const {
    std::byte* place = nullptr;
    std::memcpy(&place, signals_.said(rank, signals_.now()).data, sizeof place);
    return place;
  }

  void move() {
    for (int r = 0; r < size_; ++r) places_[r] = place_of(r);
    // A rank that fails waits for those that are at work in its memory, and none begins after that.
    const typename signals::work at_work{signals_};
    this->look_who_withdrew();
    if (this->reduces()) reduce();
    else
      for (int r = 0; r < size_; ++r) copy(r);
  }
  /// What `rank` is in charge of, from whoever has it.
  void copy(int rank) {
    const int from = what_ == collective::broadcast ? root_ : rank;
    const shard part = this->part_of(rank);
    if (from != rank_ && part.end > part.begin)
      this->comm_.attached()->read(from, data_.own + bytes_of(part.begin),
                                   places_[from] + bytes_of(part.begin),
                                   bytes_of(part.end - part.begin));
  }
  void reduce() {
    const shard part = this->part_of(rank_);
    const std::size_t step =
        (std::max)(window_bytes / this->task_.math.value_bytes, std::size_t{1});
    const std::size_t longest = padded(bytes_of((std::min)(step, part.end - part.begin)));
    const std::unique_ptr<std::byte[]> windows{new std::byte[longest * std::size_t(size_) + 64]};
    std::byte* const lines =
        windows.get() + (-reinterpret_cast<std::uintptr_t>(windows.get()) & 63);
    const bool keeps = this->is_to_have(rank_, rank_);
    for (std::size_t begin = part.begin; begin < part.end; begin += step) {
      const shard window{begin, (std::min)(begin + step, part.end)};
      const std::size_t at = bytes_of(begin), bytes = bytes_of(window.end - begin);
      for (int r = 0; r < size_; ++r) {
        std::byte* const own = lines + std::size_t(r) * longest;
        in_[r] = r == rank_ ? data_.own + at : own;
        if (r != rank_) this->comm_.attached()->read(r, own, places_[r] + at, bytes);
      }
      std::byte* const result = keeps ? data_.own + at : lines + std::size_t(rank_) * longest;
      out_[0] = result;
      this->spread({in_, std::size_t(size_)}, {out_, 1}, window, stores::cached);
      for (int r = 0; r < size_; ++r)
        if (r != rank_ && this->is_to_have(r, rank_))
          this->comm_.attached()->write(r, places_[r] + at, result, bytes);
    }
  }

  std::byte* places_[most_shared_ranks];
  int stage_ = 0;
};

} // namespace tutti::detail
