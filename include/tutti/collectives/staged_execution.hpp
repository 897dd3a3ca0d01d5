// Collectives of data that only its own rank can reach: through stages that all can, window by
// window, so that what is copied stays in the caches.
#pragma once

#include <tutti/collectives/shared_operation.hpp>

namespace tutti::detail {

/// A window takes `unit` bytes of every rank's part. In step k a rank copies what window k needs
/// from it into its stage, folds its part of window k-1 into its data and into everyone's stage, in the
/// place of the contribution that it has read there, and copies the results of window k-2 out of its
/// own stage; one epoch a step. Copies have no fold: they are done a step earlier, out of the others'
/// stages. Windows are numbered on from call to call and take the halves of a stage in turn: so none
/// is written over before everyone has read it, also where that was the last step of an earlier call
/// (tests/model/signals.pml).
///
/// What a reduction costs beside copies is lines that go from core to core: to whoever folds them, and
/// back. Both fetch them as owners, so that neither asks again before it writes. (With results in the
/// stage of who has folded them, and lines that are read and then written, each goes four times: 32 KiB
/// on two ranks 8.2 us against 4.8, 512 KiB 62 against 49, 8 MiB 1,180 against 960. Xeon.)
template <direct_access_communicator Comm>
class staged_execution final : public shared_operation<Comm> {
public:
  template <class... Rest>
  staged_execution(std::span<std::byte* const> stages, Comm& comm, Rest&&... rest)
      : shared_operation<Comm>{comm, std::forward<Rest>(rest)...}, stages_{stages} {
    per_window_ = unit_bytes(size_) / this->task_.math.value_bytes;
    for (int r = 0; r < size_; ++r) {
      const shard part = this->part_of(r);
      windows_ = (std::max)(windows_, (part.end - part.begin + per_window_ - 1) / per_window_);
    }
  }

  /// What a window takes of every part; longer elements cannot be staged.
  static std::size_t unit_bytes(int size) { return half_bytes / std::size_t(size) / 64 * 64; }

private:
  static constexpr std::size_t halves = 2;
  static constexpr std::size_t half_bytes = most_staged_bytes / halves;

  using base = shared_operation<Comm>;
  using base::bytes_of, base::data_, base::in_, base::out_, base::rank_, base::signals_,
      base::size_;

  /// How many steps lie between the copy into a stage and that out of it.
  std::size_t lag() const { return this->reduces() ? 2 : 1; }

  void reset() override {
    step_ = 0;
    begun_ = announced_ = false;
  }
  bool work() override {
    if (!begun_) {
      if (!this->free()) return false;
      first_ = signals_.take_windows(windows_);
      begun_ = true;
    }
    for (;;) {
      if (announced_) {
        if (!this->everyone_has_announced()) return false;
        if (step_ == 0) this->compare_calls();
        ++step_;
        announced_ = false;
      }
      if (step_ >= lag()) copy_out(step_ - lag());
      if (step_ >= windows_ + lag() - 1) {
        published_stores(); // of what was copied out
        return true;
      }
      if (this->reduces() && step_ >= 1) fold(step_ - 1);
      if (step_ < windows_) copy_in(step_);
      this->announce();
      announced_ = true;
    }
  }

  /// Window k of the part that `rank` is in charge of.
  shard window(std::size_t k, int rank) const {
    const shard part = this->part_of(rank);
    return {(std::min)(part.begin + k * per_window_, part.end),
            (std::min)(part.begin + (k + 1) * per_window_, part.end)};
  }
  /// Where it stands in the stage of `in`.
  std::byte* staged(int in, std::size_t k, int rank) const {
    return stages_[std::size_t(in)] + (first_ + k) % halves * half_bytes +
           bytes_of(std::size_t(rank) * per_window_);
  }

  void copy_in(std::size_t k) {
    for (int r = 0; r < size_; ++r) {
      const shard part = window(k, r);
      const bool needed = this->reduces() ? r != rank_ : this->contributes(rank_, r);
      if (needed && part.end > part.begin)
        std::memcpy(staged(rank_, k, r), data_.own + bytes_of(part.begin),
                    bytes_of(part.end - part.begin));
    }
  }
  void fold(std::size_t k) {
    const shard part = window(k, rank_);
    for (int r = 0; r < size_; ++r)
      in_[std::size_t(r)] = r == rank_ ? data_.own + bytes_of(part.begin) : staged(r, k, rank_);
    std::size_t to = 0;
    if (this->is_to_have(rank_, rank_)) out_[to++] = data_.own + bytes_of(part.begin);
    for (int r = 0; r < size_; ++r)
      if (r != rank_ && this->is_to_have(r, rank_)) out_[to++] = staged(r, k, rank_);
    this->spread({in_, std::size_t(size_)}, {out_, to}, part, stores::claimed);
  }
  void copy_out(std::size_t k) {
    if (!this->is_to_have(rank_, -1)) return;
    for (int r = 0; r < size_; ++r) {
      const int who = this->what_ == collective::broadcast ? this->root_ : r;
      const shard part = window(k, r);
      if (who == rank_ || part.end <= part.begin) continue;
      copy(data_.own + bytes_of(part.begin), staged(this->reduces() ? rank_ : who, k, r),
           bytes_of(part.end - part.begin), awaited_source(k + lag(), r));
    }
  }
  /// Where a contribution of window k stands that is not in the caches yet; nullptr when there is none.
  const std::byte* awaited_source(std::size_t k, int rank) const {
    const shard part = window(k, rank);
    const bool is_far = this->reduces() && data_.bytes > most_cached_bytes && part.end > part.begin;
    return is_far ? data_.own + bytes_of(part.begin) : nullptr;
  }
  /// A result out of the own stage is the last that is read there before the next contribution, which is
  /// fetched meanwhile: 32 MiB on two ranks 4.2 ms against 4.6 (Xeon).
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, const std::byte* next) const {
    constexpr std::size_t ahead = 2048;
    const stores how = this->stores_to_data();
    const auto store = [&](std::size_t at, auto length) { store_bytes(to + at, from + at, length, how); };
    if (!this->reduces()) return store(0, bytes);
    if (how == stores::streaming) {
      for (std::size_t at = 0; at < bytes; at += ahead) {
        const std::size_t length = (std::min)(ahead, bytes - at);
        detail::claim_lines(from + at + length, (std::min)(ahead, bytes - at - length));
        store(at, length);
      }
      return;
    }
    detail::in_lines<ahead, std::byte>(
        bytes,
        [&](std::size_t at) {
          detail::claim_line(from + at);
          detail::claim_line(to + at);
          if (next) detail::expect_line(next + at);
        },
        store);
  }

  /// Up to here a rank's data stays in its second-level cache.
  static constexpr std::size_t most_cached_bytes = std::size_t{2} << 20;

  const std::span<std::byte* const> stages_;
  std::size_t per_window_ = 1; ///< elements of each part
  std::size_t windows_ = 0;
  std::uint64_t first_ = 0;
  std::size_t step_ = 0;
  bool begun_ = false, announced_ = false;
};

} // namespace tutti::detail
