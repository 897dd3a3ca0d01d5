// One round of messages in flight on an MPI communicator.
#pragma once

#include <tutti/mpi/group.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace tutti::mpi::detail {

/// One round of messages. A message is one piece, or, from `limit` bytes on, pieces of `limit` bytes
/// and a shorter one, so that a receiver sees where it ends even if it expected another length.
///
/// Dropped before it is complete, it gives the communicator up, with what it has thrown or
/// `peer_lost` naming this rank: a message that nobody takes would meet the wrong receive. Receives
/// are cancelled; one that has begun to arrive cannot be, so it is waited for, and if its sender
/// does not go on, the job is ended rather than memory written that is no longer ours. Sends are
/// waited for until they have gone or their peer has withdrawn its receives too (notices.hpp). A
/// peer that does neither for `farewell` neither polls nor calls: what it may then still read from
/// memory that is no longer ours it throws away, as it looks for a failure behind every long
/// receive.
class round_in_flight final : public in_flight {
  struct piece {
    int peer;
    int bytes;
    bool receives;
    std::size_t begin; ///< within the message
    std::size_t whole; ///< length of the message
  };

public:
  /// Pieces and their requests stand behind it, in the same allocation: new (room{most}).
  struct room {
    std::size_t pieces;
  };
  static void* operator new(std::size_t self, room behind) {
    return ::operator new(self + behind.pieces * (sizeof(piece) + sizeof(MPI_Request)));
  }
  static void operator delete(void* p, room) { ::operator delete(p); }
  static void operator delete(void* p) { ::operator delete(p); }

  /// For as many pieces as most_pieces says.
  round_in_flight(std::shared_ptr<group> all, channel on, std::size_t most)
      : all_{std::move(all)}, on_{on}, pieces_{reinterpret_cast<piece*>(this + 1)},
        requests_{reinterpret_cast<MPI_Request*>(pieces_ + most)} {
    all_->notices->enter(*this);
  }
  ~round_in_flight() { withdraw(); }

  static std::size_t most_pieces(const group& all, const exchange_round& round) {
    std::size_t bytes = 0;
    for (const incoming& m : round.receives) bytes += m.bytes.size();
    for (const outgoing& m : round.sends) bytes += m.bytes.size();
    return round.receives.size() + round.sends.size() + bytes / all.limit;
  }

  void post(const exchange_round& round) {
    says_ = round.says;
    for (const incoming& m : round.receives)
      each_piece(m.bytes.size(), [&](std::size_t begin, int bytes) {
        receive(m.bytes.data() + begin, {m.peer, bytes, true, begin, m.bytes.size()});
      });
    for (const outgoing& m : round.sends)
      each_piece(m.bytes.size(), [&](std::size_t begin, int bytes) {
        add({m.peer, bytes, false, begin, m.bytes.size()});
        check(MPI_Isend(m.bytes.data() + begin, bytes, MPI_BYTE, m.peer,
                        all_->tag.of(on_, m.bytes.size(), says_), all_->comm, &requests_[count_ - 1]),
              "MPI_Isend", all_->rank, m.peer);
      });
  }

  bool test() {
    if (count_ == 0) return true;
    const auto held = all_->hold();
    if (!(in_turn_ ? test_each() : test_all())) {
      if (all_->notices->looks_now()) look_around();
      if (count_ != 0) return false;
    }
    forget_all();
    if (long_) {
      all_->notices->look();
      all_->throw_if_failed();
    }
    return true;
  }

  /// A receive can be cancelled as long as no message has met it.
  bool take_back() {
    if (count_ == 0) return true;
    if (!all_->notices->is_usable()) return forget_all(), true;
    const auto held = all_->hold();
    if (all_->notices->failed()) return false;
    cancel_receives();
    forget_all();
    return !met_;
  }

  /// Called by the board, after a failure: it fails when it is tested. What it has sent is waited for when
  /// it is dropped.
  void receive_no_more() noexcept override {
    if (gave_up_ || !all_->notices->is_usable()) return;
    waited_for_ = waiting_for();
    in_turn_ = gave_up_ = true;
    cancel_receives();
  }

  int waiting_for() const {
    if (count_ == 0) return -1;
    const auto held = all_->hold();
    for (std::size_t k = 0; k < count_; ++k) {
      int done = 0;
      if (MPI_Request_get_status(requests_[k], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
        return pieces_[k].peer;
    }
    return -1;
  }

private:
  template <class Use> void each_piece(std::size_t bytes, Use&& use) const {
    for (std::size_t begin = 0;; begin += all_->limit) {
      const std::size_t rest = bytes - begin;
      use(begin, int((std::min)(rest, all_->limit)));
      if (rest < all_->limit) return;
    }
  }
  void add(const piece& p) {
    if (p.receives) {
      measures_ = measures_ || all_->tag.may_be_short(p.whole);
      long_ = long_ || p.bytes >= long_receive;
    }
    pieces_[count_] = p;
    requests_[count_++] = MPI_REQUEST_NULL;
  }
  void receive(std::byte* to, const piece& p) {
    const int tag = all_->tag.of(on_, p.whole, says_);
    if (!all_->early.empty()) {
      if (const auto m = all_->find_early(p.peer, on_); m != all_->early.end()) {
        if (m->tag != tag || m->bytes != p.bytes) wrong_length(p);
        add(p);
        MPI_Message native = m->native;
        all_->early.erase(m);
        check(MPI_Imrecv(to, p.bytes, MPI_BYTE, &native, &requests_[count_ - 1]), "MPI_Imrecv",
              all_->rank, p.peer);
        return;
      }
    }
    add(p);
    check(MPI_Irecv(to, p.bytes, MPI_BYTE, p.peer, tag, all_->comm, &requests_[count_ - 1]), "MPI_Irecv",
          all_->rank, p.peer);
  }

  // --- completion -----------------------------------------------------------------------------

  bool test_all() {
    int done = 0;
    MPI_Status* statuses = MPI_STATUSES_IGNORE;
    if (measures_) {
      if (all_->statuses.size() < count_) all_->statuses.resize(count_);
      statuses = all_->statuses.data();
    }
    check(MPI_Testall(int(count_), requests_, &done, statuses), "MPI_Testall",
          all_->rank);
    if (done && measures_)
      for (std::size_t k = 0; k < count_; ++k)
        if (pieces_[k].receives) measure(pieces_[k], statuses[k]);
    return done != 0;
  }
  /// Completes what can be completed on its own, looks at its length, and forgets it.
  bool test_each() {
    if (gave_up_) throw_heard();
    std::size_t open = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      int done = 0;
      MPI_Status status;
      check(MPI_Test(&requests_[k], &done, &status), "MPI_Test", all_->rank, pieces_[k].peer);
      if (done) {
        if (pieces_[k].receives) look_at(pieces_[k], status);
        continue;
      }
      std::swap(requests_[open], requests_[k]);
      std::swap(pieces_[open], pieces_[k]);
      ++open;
    }
    count_ = open;
    return open == 0;
  }
  void look_at(const piece& p, const MPI_Status& status) {
    int cancelled = 0;
    check(MPI_Test_cancelled(&status, &cancelled), "MPI_Test_cancelled", all_->rank, p.peer);
    if (cancelled) wrong_length(p);
    measure(p, status);
  }
  void measure(const piece& p, const MPI_Status& status) {
    int bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count", all_->rank, p.peer);
    if (bytes != p.bytes) wrong_length(p, p.begin + std::size_t(bytes));
  }

  // --- what may be wrong when it takes long -----------------------------------------------------

  /// Every 64th poll.
  void look_around() {
    if (all_->notices->failed()) throw_heard();
    const bool somebody_left = all_->notices->somebody_left();
    if (!somebody_left && ++looks_ % 16 != 0) return;
    if (test_each()) return;
    all_->take_early_messages();
    if (!all_->early.empty()) look_for_wrong_lengths();
    if (somebody_left) look_for_the_lost();
  }

  [[noreturn]] void throw_heard() const {
    const notice_board& board = *all_->notices;
    throw error{tutti::detail::heard(board.why(), all_->rank,
                                     !board.failed_here() ? -1 : gave_up_ ? waited_for_ : waiting_for())};
  }

  /// Messages of one sender do not overtake each other: when one of another length is there on the
  /// channel of a receive, the receive has been met already, or never will be. Cancelling it tells.
  void look_for_wrong_lengths() {
    for (std::size_t k = 0; k < count_; ++k) {
      if (!pieces_[k].receives) continue;
      const auto m = all_->find_early(pieces_[k].peer, on_);
      if (m == all_->early.end() || m->tag == all_->tag.of(on_, pieces_[k].whole, says_)) continue;
      in_turn_ = true;
      check(MPI_Cancel(&requests_[k]), "MPI_Cancel", all_->rank, pieces_[k].peer);
      test_each();
      return;
    }
  }
  /// Another message stands where the piece should be; its own pieces get a second to arrive.
  [[noreturn]] void wrong_length(const piece& p) {
    const deadline until = clock::now() + std::chrono::seconds{1};
    auto rest = all_->early_length(p.peer, on_);
    for (patience between; !rest && clock::now() < until; between.wait()) {
      all_->take_early_messages();
      rest = all_->early_length(p.peer, on_);
    }
    wrong_length(p, rest ? std::optional{p.begin + *rest} : std::nullopt);
  }
  [[noreturn]] void wrong_length(const piece& p, std::optional<std::size_t> sent) {
    const std::string them = "rank " + std::to_string(p.peer), here = "rank " + std::to_string(all_->rank);
    if (says_ != 0) all_->notices->compare_calls(p.peer, true);
    fail({.code = error_code::mismatch,
          .rank = all_->rank,
          .peer = p.peer,
          .detail = sent == p.whole
                        ? them + " makes another call than " + here + " - make the same call on every rank"
                        : them + " sent " + (sent ? std::to_string(*sent) + " bytes" : "another length") +
                              ", " + here + " expected " + std::to_string(p.whole) +
                              " - give all ranks the same lengths and types"});
  }

  /// The notice that a peer left may overtake what it sent before: it has a second to arrive.
  void look_for_the_lost() {
    for (const piece& p : std::span{pieces_, count_}) {
      if (!all_->notices->has_left(p.peer)) continue;
      if (lost_after_ == deadline{}) lost_after_ = clock::now() + std::chrono::seconds{1};
      if (clock::now() < lost_after_) return;
      fail(tutti::detail::peer_left(all_->rank, p.peer));
    }
  }
  [[noreturn]] void fail(failure why) {
    why_ = std::make_unique<failure>(why);
    throw error{std::move(why)};
  }

  // --- giving up --------------------------------------------------------------------------------

  void forget_all() noexcept {
    all_->notices->leave(*this);
    ended_ = true;
    count_ = 0;
  }
  void withdraw() noexcept {
    if (ended_) return;
    if (!all_->notices->is_usable()) return forget_all();
    const auto held = all_->hold();
    if (!settle([](const piece&) { return true; })) give_up();
    forget_all();
  }
  /// Completes what can be completed, whatever came of it; true when nothing is in flight that
  /// matters(piece).
  template <class Matters> bool settle(Matters&& matters) noexcept {
    bool settled = true;
    for (std::size_t k = 0; k < count_; ++k) {
      int done = 1, cancelled = 0;
      MPI_Status status;
      if (requests_[k] == MPI_REQUEST_NULL) continue;
      if (MPI_Test(&requests_[k], &done, &status) != MPI_SUCCESS)
        requests_[k] = MPI_REQUEST_NULL;
      else if (!done)
        settled = settled && !matters(pieces_[k]);
      else if (pieces_[k].receives && MPI_Test_cancelled(&status, &cancelled) == MPI_SUCCESS)
        met_ = met_ || !cancelled;
    }
    return settled;
  }
  void give_up() noexcept {
    notice_board& board = *all_->notices;
    board.fail(why_ ? *why_
                    : failure{.code = error_code::peer_lost,
                              .rank = all_->rank,
                              .peer = all_->rank,
                              .detail = "the rank gave up an exchange in flight"});
    const deadline until = clock::now() + farewell;
    cancel_receives();
    patience between;
    const auto may_be_read = [&](const piece& p) { return !board.receives_nothing(p.peer); };
    for (; !settle(may_be_read) && clock::now() < until; between.wait()) board.look();
    for (MPI_Request& r : std::span{requests_, count_})
      if (r != MPI_REQUEST_NULL) MPI_Request_free(&r);
  }

  void cancel_receives() noexcept {
    for (std::size_t k = 0; k < count_; ++k)
      if (pieces_[k].receives && requests_[k] != MPI_REQUEST_NULL) MPI_Cancel(&requests_[k]);
    const deadline until = clock::now() + farewell;
    for (patience between; !settle([](const piece& p) { return p.receives; }); between.wait()) {
      if (clock::now() < until) continue;
      std::fputs("tutti: a message has begun to arrive and does not go on, and its receive cannot be "
                 "withdrawn - the job is ended\n",
                 stderr);
      MPI_Abort(all_->comm, 1);
    }
  }

  /// From here on a receive may be read from its sender's memory later than the sender is there.
  static constexpr int long_receive = 4096;

  std::shared_ptr<group> all_;
  channel on_;
  std::uint64_t says_ = 0;
  bool in_turn_ = false;  ///< a receive was cancelled: requests are tested one by one
  bool gave_up_ = false;  ///< its receives were taken back: it fails
  bool measures_ = false; ///< some tag does not say all of its length
  bool long_ = false;     ///< it has a long receive
  bool met_ = false;      ///< a message came for a receive that was no longer wanted
  bool ended_ = false;    ///< the board does not know it any more; of its own, to be asked without being held
  int waited_for_ = -1;   ///< by whom it would have been completed, before it gave up
  unsigned looks_ = 0;
  deadline lost_after_{};
  std::unique_ptr<failure> why_; ///< what this exchange has thrown
  piece* pieces_;                ///< what each request is
  MPI_Request* requests_;
  std::size_t count_ = 0; ///< of both, those not complete yet
};

/// The handle of a round. Move-only; moved from it is the same as complete.
class exchange {
public:
  /// While the communicator is held.
  exchange(std::shared_ptr<group> all, channel on, const exchange_round& round) {
    const std::size_t most = round_in_flight::most_pieces(*all, round);
    round_.reset(new (round_in_flight::room{most}) round_in_flight{std::move(all), on, most});
    round_->post(round);
  }

  bool test() { return !round_ || round_->test(); }
  bool take_back() { return !round_ || round_->take_back(); }
  /// A peer whose message has not come or gone; -1 when it is complete.
  int waiting_for() const { return round_ ? round_->waiting_for() : -1; }

private:
  std::unique_ptr<round_in_flight> round_;
};

} // namespace tutti::mpi::detail
