// Collectives in slots, and in everyone's own memory.
#pragma once

#include <tutti/collectives/shared_operation.hpp>

namespace tutti::detail {

/// Data that fits a slot is written beside the announcement, and everyone folds what it is to have:
/// one epoch, n (p-1) elements read by each rank of an all_reduce.
template <direct_access_communicator Comm>
class slot_execution final : public shared_operation<Comm> {
public:
  using shared_operation<Comm>::shared_operation;

private:
  using base = shared_operation<Comm>;
  using base::bytes_of, base::data_, base::in_, base::out_, base::rank_, base::root_,
      base::signals_, base::size_, base::what_;

  void reset() override { announced_ = false; }
  bool work() override {
    if (!announced_) {
      if (!this->free()) return false;
      write();
      this->announce();
      announced_ = true;
    }
    if (!ready()) return false;
    take();
    // Everyone has read the next slot, and soon it is written: 128 bytes on two ranks take 270 ns with
    // its lines claimed, 380 without; 512 bytes 440 and 550, 2,048 bytes 900 and 970 (Xeon).
    if (written_ > 0 && what_ != collective::broadcast)
      detail::claim_lines(signals_.slot(), written_);
    return true;
  }

  int awaited() const override {
    return announced_ && what_ == collective::broadcast ? root_ : base::awaited();
  }
  bool in_line() const { return data_.bytes <= signal_line::room; }

  /// What this rank contributes: its own shard, or all.
  void write() {
    shard mine{0, data_.n};
    if (what_ == collective::all_gather) mine = this->part_of(rank_);
    else if (!this->contributes(rank_, rank_)) return;
    const std::size_t bytes = bytes_of(mine.end - mine.begin);
    if (bytes == 0) return;
    std::memcpy(in_line() ? signals_.data() : signals_.slot(), data_.own + bytes_of(mine.begin), bytes);
    written_ = in_line() ? 0 : bytes;
  }
  bool ready() {
    if (what_ != collective::broadcast) {
      if (!this->everyone_has_announced()) return false;
      this->compare_calls();
      return true;
    }
    signals_.owe_comparison();
    if (rank_ == root_) return true; // nobody has to have come for it to go on
    if (!signals_.reached_by(root_, signals_.now())) return false;
    this->compare_call(root_);
    return true;
  }

  void take() {
    if (what_ == collective::all_gather) {
      for (int r = 0; r < size_; ++r) {
        const shard part = this->part_of(r);
        if (r != rank_ && part.end > part.begin)
          std::memcpy(data_.own + bytes_of(part.begin), said_by(r),
                      bytes_of(part.end - part.begin));
      }
      return;
    }
    if (!this->is_to_have(rank_, rank_) || (what_ == collective::broadcast && rank_ == root_))
      return;
    const shard part =
        what_ == collective::reduce_scatter ? this->part_of(rank_) : shard{0, data_.n};
    std::size_t count = 0;
    for (int r = 0; r < size_; ++r)
      if (this->contributes(r, rank_)) in_[count++] = said_by(r) + bytes_of(part.begin);
    out_[0] = data_.own + bytes_of(part.begin);
    this->spread({in_, count}, {out_, 1}, part, stores::cached);
  }
  const std::byte* said_by(int rank) const {
    if (rank == rank_) return data_.own;
    const epoch now = signals_.now();
    return in_line() ? signals_.said(rank, now).data : signals_.slot_of(rank, now);
  }

  bool announced_ = false;
  std::size_t written_ = 0; ///< to the slot
};

/// Every rank folds its part from everyone's memory into everyone's, and copies what is only copied from
/// where it is: an epoch before it, when all data is ready, and one behind it, when all parts are done.
/// Every input is read once and every result written once.
template <direct_access_communicator Comm>
class in_place_execution final : public shared_operation<Comm> {
public:
  explicit in_place_execution(collective_call<Comm>& call) : shared_operation<Comm>{call} {}

private:
  using base = shared_operation<Comm>;
  using base::bytes_of, base::data_, base::in_, base::out_, base::rank_, base::signals_,
      base::size_, base::what_;

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
      fold();
      this->announce();
      stage_ = 2;
    }
    return this->everyone_has_announced();
  }

  void fold() {
    const shard part = this->part_of(rank_);
    // A rank that fails waits for those that are at work in its memory, and none begins after that.
    const typename signals::work at_work{signals_};
    const publication before_it_ends;
    this->look_who_withdrew();
    if (what_ == collective::all_gather) return fetch();
    std::size_t from = 0, to = 0;
    for (int r = 0; r < size_; ++r) {
      std::byte* const data = place_of(r) + bytes_of(part.begin);
      if (this->contributes(r, rank_)) in_[from++] = data;
      if (this->is_to_have(r, rank_)) out_[to++] = data;
    }
    stores how = this->stores_to_data();
    if (how == stores::cached && data_.bytes <= most_claimed_bytes) how = stores::claimed;
    this->spread({in_, from}, {out_, to}, part, how);
  }
  /// Shards that are only copied are read by those who are to have them: lines that are read come faster than
  /// lines that are written (64 KiB of another core's, 3.5 us against 6.2 on a Xeon).
  void fetch() {
    for (int k = 1; k < size_; ++k) {
      const int r = (rank_ + k) % size_;
      const shard part = this->part_of(r);
      const std::size_t at = bytes_of(part.begin);
      if (part.end > part.begin)
        store_bytes(data_.own + at, place_of(r) + at, bytes_of(part.end - part.begin),
                    this->stores_to_data());
    }
  }
  std::byte* place_of(int rank) const {
    if (rank == rank_) return data_.own;
    if (data_.memory) return data_.memory->places[std::size_t(rank)];
    std::byte* place = nullptr;
    std::memcpy(&place, signals_.said(rank, signals_.now()).data, sizeof place);
    return place;
  }

  /// Up to here it pays to claim what is folded in blocks, as more than two contributions are: when two ranks
  /// folded in blocks, 32 KiB took 2.5 us against 3.0, and 8 MiB 390 against 355 (Xeon).
  static constexpr std::size_t most_claimed_bytes = std::size_t{64} << 10;

  int stage_ = 0;
};

} // namespace tutti::detail
