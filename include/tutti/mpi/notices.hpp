// Notices: what a rank tells all others outside of any collective - that it failed, that it left, or
// that after a failure it has no receive in flight any more. And what it tells one of them that it has waited
// for: what it has called so far.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/core/process.hpp>
#include <tutti/mpi/native.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// One kilobyte, so that every MPI sends it at once and its sender may go away.
struct notice {
  enum class kind : std::uint8_t { failed, left, withdrawn, asked, answered };
  using account = tutti::detail::call_account;

  kind what = kind::left;
  error_code code = error_code::peer_lost;
  std::int32_t rank = -1;
  std::int32_t peer = -1;
  char text[1008] = {}; ///< call, detail and native of a failure; the account of who asks

  notice() = default;
  explicit notice(kind k) : what{k} {}
  explicit notice(const failure& f) : what{kind::failed}, code{f.code}, rank{f.rank}, peer{f.peer} {
    write(f.call, text, detail_at);
    write(f.detail, text + detail_at, native_at - detail_at);
    write(f.native, text + native_at, sizeof text - native_at);
  }
  explicit notice(const account& a) : what{kind::asked} {
    static_assert(sizeof a <= sizeof text && std::is_trivially_copyable_v<account>);
    std::memcpy(text, &a, sizeof a);
  }
  failure told() const {
    return {.code = code,
            .call = text,
            .rank = rank,
            .peer = peer,
            .detail = text + detail_at,
            .native = text + native_at};
  }
  account told_account() const {
    account a;
    std::memcpy(static_cast<void*>(&a), text, sizeof a);
    return a;
  }

private:
  static constexpr std::size_t detail_at = 32, native_at = detail_at + 800;
  static void write(const std::string& text, char* to, std::size_t size) {
    std::memcpy(to, text.data(), (std::min)(text.size(), size - 1));
  }
};

/// An exchange in flight is known to its board: after a failure, which ends whatever is in flight, the
/// receives of all of them are taken back at once. Otherwise a rank that waits for a peer to read what it
/// has sent, or to say that it will not, and meanwhile has a receive in flight that the peer waits for in
/// the same way, would wait until both lose their patience.
class in_flight {
public:
  /// Takes its receives back. May be called again.
  virtual void receive_no_more() noexcept = 0;

protected:
  ~in_flight() = default;

private:
  friend class notice_board;
  in_flight** place_; ///< what points at this one, while a board knows it
  in_flight* next_;
};

/// One communicator's notices, on a communicator of their own. A receive from anyone is always
/// posted; look() asks for it, which those who wait for something else do now and then.
/// What is told on the board above holds here as well.
class notice_board {
public:
  /// Takes `comm` over; `above` is the board of the communicator that this one was split from, and
  /// `ranks_above` are its members there.
  notice_board(MPI_Comm comm, std::shared_ptr<notice_board> above, std::vector<int> ranks_above)
      : comm_{comm}, above_{std::move(above)}, ranks_above_{std::move(ranks_above)} {
    detail::check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    detail::check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
    left_.assign(std::size_t(size_), false);
    withdrawn_.assign(std::size_t(size_), false);
    asked_.assign(std::size_t(size_), false);
    listen();
    if (above_) above_->below_.push_back(this);
  }
  notice_board(const notice_board&) = delete;
  notice_board& operator=(const notice_board&) = delete;

  /// A communicator on which something failed is not freed: messages may still be on their way, and
  /// MPI may give its number to the next one.
  ~notice_board() {
    if (above_) std::erase(above_->below_, this);
    if (!is_usable()) return;
    if (failed()) say_withdrawn(); // a rank that had nothing in flight here was not asked to
    else look_at_last();
    if (!failed() && asks() && above_) {
      above_->take_over(*this);
      return;
    }
    await_answers();
    for (remains& one : left_behind_) one.give_up();
    if (listening_ != MPI_REQUEST_NULL) {
      MPI_Cancel(&listening_);
      MPI_Wait(&listening_, MPI_STATUS_IGNORE);
    }
    std::erase_if(sent_, [](const auto& told) { return !told->lasts && told->has_gone(); });
    if (sent_.empty() && !failed() && left_count_ == 0 && !asks()) MPI_Comm_free(&comm_);
    for (auto& told : sent_)
      if (!told->has_gone()) (void)told.release(); // MPI still reads it
  }

  /// MPI runs, and this is the process that it runs in.
  bool is_usable() const noexcept { return is_running() && is_here(); }
  bool is_here() const noexcept { return process_.is_this(); }

  /// True on every 64th call, when it also has looked for notices: the price of waiting is one
  /// MPI_Test more in 64.
  bool looks_now() {
    if (++turns_ % 64 != 0) return false;
    look();
    return true;
  }

  void look() {
    if (!process_.is_this()) return fail_child();
    if (above_) above_->look();
    std::erase_if(left_behind_, [](remains& one) { return one.is_over(); });
    for (;;) {
      int here = 0;
      MPI_Status status;
      if (MPI_Test(&listening_, &here, &status) != MPI_SUCCESS) return;
      if (!here) return;
      note(status.MPI_SOURCE);
      listen();
      if (failed()) tell_withdrawn();
    }
  }

  /// An exchange begins, or has ended.
  void enter(in_flight& one) noexcept {
    one.next_ = first_;
    one.place_ = &first_;
    if (first_) first_->place_ = &one.next_;
    first_ = &one;
  }
  void leave(in_flight& one) noexcept {
    *one.place_ = one.next_;
    if (one.next_) one.next_->place_ = one.place_;
  }
  std::size_t count() const noexcept {
    std::size_t n = 0;
    for (const in_flight* one = first_; one; one = one->next_) ++n;
    return n;
  }
  bool is_idle() const noexcept { return first_ == nullptr; }
  /// Whether `peer` reads nothing that is sent to it here.
  bool receives_nothing(int peer) const noexcept {
    return withdrawn_[std::size_t(peer)] || has_left(peer);
  }

  /// Tells everyone; the first failure stands.
  void fail(const failure& why) noexcept {
    if (failed()) return;
    failed_ = why;
    tell(notice{why});
    tell_withdrawn();
  }
  void leave() noexcept { tell(notice{}); }

  bool failed() const noexcept { return failed_.has_value() || (above_ && above_->failed()); }
  /// By a member of this communicator, as which the failure counts ranks.
  bool failed_here() const noexcept { return failed_.has_value(); }
  failure why() const { return failed_ ? *failed_ : above_->why(); }

  /// What this rank has called so far is what it tells, and what it compares with what it is told.
  void remember(std::shared_ptr<const tutti::detail::call_history> calls) { calls_ = std::move(calls); }

  /// Tells `peer` what this rank has called so far: where it has called something else, it fails and so
  /// does everyone. Not before it has answered the last time. When the two are known to differ, this rank
  /// gives it a second to say in what.
  void compare_calls(int peer, bool differ) {
    if (!calls_ || failed()) return;
    if (!asked_[std::size_t(peer)]) {
      asked_[std::size_t(peer)] = true;
      tell(notice{tutti::detail::call_account{*calls_}}, peer);
    }
    if (!differ) return;
    const deadline until = clock::now() + std::chrono::seconds{1};
    for (patience between; asked_[std::size_t(peer)] && !failed() && clock::now() < until; between.wait())
      look();
    if (failed()) throw error{tutti::detail::heard(why(), rank_, -1)};
  }

  bool has_left(int peer) const noexcept {
    if (left_[std::size_t(peer)]) return true;
    return above_ && above_->has_left(ranks_above_[std::size_t(peer)]);
  }
  bool somebody_left() const noexcept {
    return left_count_ > 0 || (above_ && above_->somebody_left());
  }

  /// Waits until every rank has come here; once a failure is known, for a bounded time. False when
  /// somebody did not come.
  bool meet() {
    std::optional<deadline> until;
    return detail::meet(comm_, [&] {
      look();
      if (!until && failed()) until = clock::now() + farewell;
      return until;
    });
  }

private:
  void listen() {
    detail::check(MPI_Irecv(received_.get(), int(sizeof(notice)), MPI_BYTE, MPI_ANY_SOURCE, 0,
                            comm_, &listening_),
                  "MPI_Irecv", rank_);
  }
  void note(int from) {
    if (received_->what == notice::kind::failed) {
      if (!failed_) failed_ = received_->told();
    } else if (received_->what == notice::kind::withdrawn) {
      withdrawn_[std::size_t(from)] = true;
    } else if (received_->what == notice::kind::asked) {
      answer(from);
    } else if (received_->what == notice::kind::answered) {
      asked_[std::size_t(from)] = false;
    } else if (!left_[std::size_t(from)]) {
      left_[std::size_t(from)] = true;
      ++left_count_;
    }
  }
  /// After a failure nobody posts another receive: once all are taken back, everyone is told that what
  /// they send this rank nobody reads. On the boards below as well, which the failure ends too: somebody
  /// may have sent there already.
  void tell_withdrawn() noexcept {
    for (in_flight* one = first_; one; one = one->next_) one->receive_no_more();
    say_withdrawn();
    for (notice_board* board : below_) board->tell_withdrawn();
  }
  void say_withdrawn() noexcept {
    if (!std::exchange(said_withdrawn_, true)) tell(notice{notice::kind::withdrawn});
  }

  /// A child would wait for ever, and with it what it must not touch.
  void fail_child() {
    if (!failed_)
      failed_ = failure{.code = error_code::unsupported,
                        .rank = rank_,
                        .detail = "this is a child process, which is no rank - communicate in the process "
                                  "that has begun MPI"};
  }

  void answer(int to) {
    if (failed()) return;
    const std::string wrong = calls_ ? received_->told_account().difference(rank_, *calls_, to) : "";
    if (wrong.empty())
      tell(notice{notice::kind::answered}, to);
    else
      fail({.code = error_code::mismatch, .rank = rank_, .peer = to, .detail = wrong});
  }
  bool asks() const noexcept { return std::find(asked_.begin(), asked_.end(), true) != asked_.end(); }
  /// To boards below that have ended: peers that end theirs answer then, at the latest.
  void await_answers() noexcept {
    const deadline until = clock::now() + std::chrono::milliseconds{100};
    for (patience between; !left_behind_.empty() && clock::now() < until; between.wait())
      std::erase_if(left_behind_, [](remains& one) { return one.is_over(); });
  }
  void look_at_last() noexcept {
    try {
      look();
    } catch (...) { // of MPI: then it is over anyway
    }
  }

  /// One notice on its way.
  struct telling {
    notice what;
    bool lasts = true; ///< what follows on it is not known: the communicator is not freed any more
    std::vector<MPI_Request> sends;
    bool has_gone() {
      int gone = 0;
      return MPI_Testall(int(sends.size()), sends.data(), &gone, MPI_STATUSES_IGNORE) ==
                 MPI_SUCCESS &&
             gone != 0;
    }
  };
  /// Of a board that has ended with a question unanswered: what the answer is received with. The peer may
  /// have gone on without a look at its notices, and is not waited for.
  struct remains {
    MPI_Comm comm;
    MPI_Request listening;
    std::unique_ptr<notice> received;
    std::vector<bool> asked;
    std::vector<std::unique_ptr<telling>> sent;

    /// Whether all answers are here, and the communicator is freed.
    bool is_over() {
      int here = 0;
      MPI_Status status;
      if (MPI_Test(&listening, &here, &status) != MPI_SUCCESS) return false;
      if (here) {
        if (received->what == notice::kind::answered) asked[std::size_t(status.MPI_SOURCE)] = false;
        if (std::find(asked.begin(), asked.end(), true) != asked.end())
          MPI_Irecv(received.get(), int(sizeof(notice)), MPI_BYTE, MPI_ANY_SOURCE, 0, comm, &listening);
      }
      if (listening != MPI_REQUEST_NULL) return false;
      for (const auto& told : sent)
        if (!told->has_gone()) return false;
      MPI_Comm_free(&comm);
      return true;
    }
    void give_up() noexcept {
      if (listening != MPI_REQUEST_NULL) {
        MPI_Cancel(&listening);
        MPI_Wait(&listening, MPI_STATUS_IGNORE);
      }
      for (auto& told : sent)
        if (!told->has_gone()) (void)told.release(); // MPI still reads it
    }
  };
  void take_over(notice_board& ended) noexcept {
    for (remains& one : ended.left_behind_) left_behind_.push_back(std::move(one));
    left_behind_.push_back({ended.comm_, ended.listening_, std::move(ended.received_),
                            std::move(ended.asked_), std::move(ended.sent_)});
  }

  /// A question or an answer, to one rank.
  void tell(const notice& what, int peer) noexcept {
    if (!is_usable()) return;
    std::erase_if(sent_, [](const auto& told) { return !told->lasts && told->has_gone(); });
    sent_.push_back(std::make_unique<telling>());
    telling& now = *sent_.back();
    now.what = what;
    now.lasts = false;
    now.sends.assign(1, MPI_REQUEST_NULL);
    MPI_Isend(&now.what, int(sizeof(notice)), MPI_BYTE, peer, 0, comm_, now.sends.data());
  }
  /// A peer that cannot be told will find out by its deadline.
  void tell(const notice& what) noexcept {
    if (!is_usable()) return;
    sent_.push_back(std::make_unique<telling>());
    telling& now = *sent_.back();
    now.what = what;
    now.sends.assign(std::size_t(size_), MPI_REQUEST_NULL);
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_)
        MPI_Isend(&now.what, int(sizeof(notice)), MPI_BYTE, peer, 0, comm_,
                  &now.sends[std::size_t(peer)]);
  }

  MPI_Comm comm_;
  std::shared_ptr<notice_board> above_;
  std::vector<notice_board*> below_;
  std::vector<int> ranks_above_;
  tutti::detail::process process_;
  int rank_ = 0, size_ = 1;
  unsigned turns_ = 0;
  std::unique_ptr<notice> received_ = std::make_unique<notice>();
  MPI_Request listening_ = MPI_REQUEST_NULL;
  std::vector<std::unique_ptr<telling>> sent_;
  std::optional<failure> failed_;
  std::vector<bool> left_, withdrawn_;
  std::vector<bool> asked_; ///< whether an answer is awaited
  std::vector<remains> left_behind_; ///< by the boards below that have ended
  std::shared_ptr<const tutti::detail::call_history> calls_;
  int left_count_ = 0;
  in_flight* first_ = nullptr; ///< of the exchanges in flight
  bool said_withdrawn_ = false;
};

} // namespace tutti::mpi::detail
