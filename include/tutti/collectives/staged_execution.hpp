// Collectives of data that only its own rank can reach: through stages that all can, window by
// window, so that what is copied stays in the caches.
#pragma once

#include <tutti/collectives/loops.hpp>
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
  explicit staged_execution(collective_call<Comm>& call)
      : shared_operation<Comm>{call}, stages_{call.comm.stages()} {
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
      if (this->reduces()) {
        turn_over(step_);
      } else {
        if (step_ >= 1) copy_out(step_ - 1);
        if (step_ < windows_) copy_in(step_);
      }
      if (step_ >= windows_ + lag() - 1) {
        published_stores(); // of what was copied out
        return true;
      }
      if (this->reduces() && step_ >= 1) fold(step_ - 1);
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

  void fold(std::size_t k) {
    const shard part = window(k, rank_);
    for (int r = 0; r < size_; ++r)
      in_[std::size_t(r)] = r == rank_ ? own(part) : staged(r, k, rank_);
    std::size_t to = 0;
    if (this->is_to_have(rank_, rank_)) out_[to++] = own(part);
    for (int r = 0; r < size_; ++r)
      if (r != rank_ && this->is_to_have(r, rank_)) out_[to++] = staged(r, k, rank_);
    this->spread({in_, std::size_t(size_)}, {out_, to}, part, stores::claimed);
  }
  /// Copies that nobody folds: into the own stage, and a step later out of the others'.
  void copy_in(std::size_t k) {
    for (int r = 0; r < size_; ++r)
      if (this->contributes(rank_, r)) {
        const shard part = window(k, r);
        if (part.end > part.begin)
          std::memcpy(staged(rank_, k, r), own(part), bytes_of(part.end - part.begin));
      }
  }
  void copy_out(std::size_t k) {
    for (int r = 0; r < size_; ++r) {
      const int who = this->what_ == collective::broadcast ? this->root_ : r;
      const shard part = window(k, r);
      if (who != rank_ && part.end > part.begin)
        store_bytes(own(part), staged(who, k, r), bytes_of(part.end - part.begin),
                    this->stores_to_data());
    }
  }

  /// Results of window k-2 out of the own stage, and contributions to window k into their places.
  void turn_over(std::size_t k) {
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      const shard none{0, 0}, in = k < windows_ ? window(k, r) : none,
                  out = k >= lag() && this->is_to_have(rank_, -1) ? window(k - lag(), r) : none;
      turn_over(staged(rank_, k, r), own(out), bytes_of(out.end - out.begin), own(in),
                bytes_of(in.end - in.begin));
    }
  }
  /// Line by line: the next contribution comes from this rank's memory while a result comes from the core
  /// that folded it (32 MiB on two ranks 4.6 ms against 5.3, 8 MiB .90 and .97: Xeon).
  void turn_over(std::byte* place, std::byte* result, std::size_t out, const std::byte* contribution,
                 std::size_t in) const {
    const bool is_aligned = reinterpret_cast<std::size_t>(result) % 16 == 0; // else two kinds of stores a line
    const stores how = is_aligned ? this->stores_to_data() : stores::cached;
    detail::in_lines<std::byte>(
        out,
        [&](std::size_t at) {
          detail::claim_line(place + at);
          if (how == stores::cached) detail::claim_line(result + at);
          if (at < in) detail::expect_line(contribution + at);
        },
        [&](std::size_t at, auto length) {
          store_bytes(result + at, place + at, length, how);
          if (at + length <= in) std::memcpy(place + at, contribution + at, length);
        });
    const std::size_t done = in < out ? in / 64 * 64 : out;
    if (in > done) std::memcpy(place + done, contribution + done, in - done);
  }
  std::byte* own(shard part) const { return data_.own + bytes_of(part.begin); }

  const std::span<std::byte* const> stages_;
  std::size_t per_window_ = 1; ///< elements of each part
  std::size_t windows_ = 0;
  std::uint64_t first_ = 0;
  std::size_t step_ = 0;
  bool begun_ = false, announced_ = false;
};

} // namespace tutti::detail
