// One round of messages in flight on an MPI communicator, and what the exchanges of one share.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/mpi/nodes.hpp>
#include <tutti/mpi/notices.hpp>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// What a communicator and its exchanges share.
class group {
public:
  /// Takes both communicators over: one for data, one for notices.
  group(MPI_Comm data, std::size_t message_bytes, node_map map,
        std::shared_ptr<notice_board> board)
      : comm{data}, limit{std::clamp(message_bytes, std::size_t{1}, std::size_t{INT_MAX})},
        nodes{std::move(map)}, notices{std::move(board)} {
    check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    int* bound = nullptr;
    int known = 0;
    check(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &bound, &known), "MPI_Comm_get_attr", rank);
    if (known) last_tag = channel(*bound);
  }
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  /// After a failure it is not freed, like that of its notices.
  ~group() {
    if (is_running() && !notices->failed()) MPI_Comm_free(&comm);
  }

  /// On two duplicates. Collective over `users`.
  static std::shared_ptr<group> on(MPI_Comm users, std::size_t message_bytes) {
    MPI_Comm data = MPI_COMM_NULL, notices = MPI_COMM_NULL;
    check(MPI_Comm_dup(users, &data), "MPI_Comm_dup");
    check(MPI_Comm_dup(users, &notices), "MPI_Comm_dup");
    return make(data, notices, message_bytes, find_nodes(data), {}, {});
  }
  /// Collective over `members`, in whose order ranks are counted.
  std::shared_ptr<group> child(const std::vector<int>& members) const {
    MPI_Group everyone = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
    MPI_Comm data = MPI_COMM_NULL, notice_comm = MPI_COMM_NULL;
    check(MPI_Comm_group(comm, &everyone), "MPI_Comm_group", rank);
    check(MPI_Group_incl(everyone, int(members.size()), members.data(), &some), "MPI_Group_incl",
          rank);
    check(MPI_Comm_create_group(comm, some, 0, &data), "MPI_Comm_create_group", rank);
    check(MPI_Comm_create_group(comm, some, 1, &notice_comm), "MPI_Comm_create_group", rank);
    check(MPI_Group_free(&some), "MPI_Group_free", rank);
    check(MPI_Group_free(&everyone), "MPI_Group_free", rank);
    return make(data, notice_comm, limit, nodes.among(members), notices, members);
  }

  void throw_if_failed() const {
    if (!notices->failed()) [[likely]]
      return;
    failure why = notices->why();
    why.rank = rank;
    throw error{std::move(why)};
  }

  MPI_Comm comm;
  int rank = 0, size = 1;
  std::size_t limit; ///< pieces of a message are at most this long
  channel last_tag = 32767;
  node_map nodes;
  std::shared_ptr<notice_board> notices;
  std::vector<MPI_Status> statuses; ///< scratch of whoever tests

private:
  static std::shared_ptr<group> make(MPI_Comm data, MPI_Comm notice_comm, std::size_t message_bytes,
                                     node_map map, std::shared_ptr<notice_board> above,
                                     std::vector<int> members) {
    check(MPI_Comm_set_errhandler(data, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_set_errhandler(notice_comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    auto board = std::make_shared<notice_board>(notice_comm, std::move(above), std::move(members));
    return std::make_shared<group>(data, message_bytes, std::move(map), std::move(board));
  }
};

/// The handle of one round. A message is one piece, or, from `limit` bytes on, pieces of `limit` bytes
/// and a shorter one, so that a receiver sees where it ends even if it expected another length.
///
/// Dropped before it is complete, it gives the communicator up (`peer_lost` naming this rank): a
/// message that nobody takes would meet the wrong receive. Receives are cancelled; one that has begun
/// to arrive cannot be, so it is waited for, and if its sender does not go on, the job is ended rather
/// than memory written that is no longer ours. Sends that no receive has met are let go after a
/// second: nobody posts a receive on a communicator that has failed.
class exchange {
public:
  exchange(std::shared_ptr<group> all, int tag, const exchange_round& round)
      : exchange{std::move(all)} {
    requests_.reserve(round.receives.size() + round.sends.size());
    pieces_.reserve(round.receives.size() + round.sends.size());
    for (const incoming& m : round.receives)
      each_piece(m.bytes.size(), [&](std::size_t begin, int bytes) {
        check(MPI_Irecv(m.bytes.data() + begin, bytes, MPI_BYTE, m.peer, tag, all_->comm,
                        add({m.peer, bytes, true, begin, m.bytes.size()})),
              "MPI_Irecv", all_->rank, m.peer);
      });
    for (const outgoing& m : round.sends)
      each_piece(m.bytes.size(), [&](std::size_t begin, int bytes) {
        check(MPI_Isend(m.bytes.data() + begin, bytes, MPI_BYTE, m.peer, tag, all_->comm,
                        add({m.peer, bytes, false, begin, m.bytes.size()})),
              "MPI_Isend", all_->rank, m.peer);
      });
  }
  exchange(exchange&& other) noexcept
      : all_{std::move(other.all_)}, requests_{std::exchange(other.requests_, {})},
        pieces_{std::exchange(other.pieces_, {})} {}
  exchange& operator=(exchange&& other) noexcept {
    withdraw();
    all_ = std::move(other.all_);
    requests_ = std::exchange(other.requests_, {});
    pieces_ = std::exchange(other.pieces_, {});
    return *this;
  }
  ~exchange() { withdraw(); }

  bool test() {
    const std::size_t n = requests_.size();
    if (n == 0) return true;
    if (all_->statuses.size() < n) all_->statuses.resize(n);
    MPI_Status* status = all_->statuses.data();
    int done = 0;
    {
      const returning_errors scope;
      const int code = MPI_Testall(int(n), requests_.data(), &done, status);
      if (code != MPI_SUCCESS) explain(code);
    }
    if (!done) {
      if (all_->notices->looks_now()) look_around();
      return false;
    }
    for (std::size_t k = 0; k < n; ++k)
      if (pieces_[k].receives) check_length(pieces_[k], status[k]);
    forget_all();
    return true;
  }

  int waiting_for() const {
    const returning_errors scope;
    for (std::size_t k = 0; k < requests_.size(); ++k) {
      int done = 0;
      MPI_Status status;
      if (requests_[k] == MPI_REQUEST_NULL) continue;
      MPI_Request_get_status(requests_[k], &done, &status);
      if (!done) return pieces_[k].peer;
    }
    return -1;
  }

private:
  struct piece {
    int peer;
    int bytes;
    bool receives;
    std::size_t begin; ///< within the message
    std::size_t whole; ///< length of the message
  };

  explicit exchange(std::shared_ptr<group> all) : all_{std::move(all)} {}

  template <class Use>
  void each_piece(std::size_t bytes, Use&& use) const {
    for (std::size_t begin = 0;; begin += all_->limit) {
      const std::size_t rest = bytes - begin;
      use(begin, int((std::min)(rest, all_->limit)));
      if (rest < all_->limit) return;
    }
  }
  MPI_Request* add(piece p) {
    pieces_.push_back(p);
    requests_.push_back(MPI_REQUEST_NULL);
    return &requests_.back();
  }

  void check_length(const piece& p, const MPI_Status& status) const {
    int bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count", all_->rank, p.peer);
    if (bytes != p.bytes) [[unlikely]]
      wrong_length(p, bytes);
  }

  /// `bytes` is what came in the place of the piece; less than expected where MPI does not say how
  /// much too long it was.
  [[noreturn]] void wrong_length(const piece& p, int bytes, bool too_long = false) const {
    const std::string from = "rank " + std::to_string(p.peer);
    const bool known = (!too_long || bytes > p.bytes) && std::size_t(bytes) < all_->limit;
    const std::size_t length = p.begin + std::size_t(known ? bytes : p.bytes);
    throw error{{.code = error_code::mismatch,
                 .rank = all_->rank,
                 .peer = p.peer,
                 .detail = from + " sent " + (known ? "" : "more than ") + std::to_string(length) +
                           " bytes, rank " + std::to_string(all_->rank) + " expected " +
                           std::to_string(p.whole) +
                           " - give all ranks the same lengths and types"}};
  }

  [[noreturn]] void raise_for(const piece& p, int code, const MPI_Status& status) const {
    int kind = MPI_SUCCESS, bytes = 0;
    MPI_Error_class(code, &kind);
    if (p.receives && kind == MPI_ERR_TRUNCATE) {
      MPI_Get_count(&status, MPI_BYTE, &bytes);
      wrong_length(p, bytes, true);
    }
    detail::raise(code, p.receives ? "a receive" : "a send", all_->rank, p.peer);
  }
  /// After MPI_Testall has failed.
  [[noreturn]] void explain(int code) const {
    for (std::size_t k = 0; k < requests_.size(); ++k) {
      const int own = all_->statuses[k].MPI_ERROR;
      if (own != MPI_SUCCESS && own != MPI_ERR_PENDING)
        raise_for(pieces_[k], own, all_->statuses[k]);
    }
    detail::raise(code, "MPI_Testall", all_->rank, waiting_for());
  }

  /// Every now and then, while waiting.
  void look_around() {
    all_->throw_if_failed();
    const bool somebody_left = all_->notices->somebody_left();
    if (somebody_left || ++looks_ % 16 == 0) test_each();
    if (somebody_left) look_for_the_lost();
  }
  /// Completes what can be completed on its own, and forgets it. MPI_Testall keeps a wrong length to
  /// itself until all others have arrived (Open MPI 4.1), which they then may never do.
  void test_each() {
    for (std::size_t k = 0; k < requests_.size();) {
      int done = 0;
      MPI_Status status;
      {
        const returning_errors scope;
        const int code = MPI_Test(&requests_[k], &done, &status);
        if (code != MPI_SUCCESS) raise_for(pieces_[k], code, status);
      }
      if (done) {
        if (pieces_[k].receives) check_length(pieces_[k], status);
        requests_.erase(requests_.begin() + std::ptrdiff_t(k));
        pieces_.erase(pieces_.begin() + std::ptrdiff_t(k));
      } else {
        ++k;
      }
    }
  }
  /// The notice that a peer left may overtake what it sent before: it has a second to arrive.
  void look_for_the_lost() {
    for (const piece& p : pieces_) {
      if (!all_->notices->has_left(p.peer)) continue;
      if (lost_after_ == deadline{}) lost_after_ = clock::now() + std::chrono::seconds{1};
      if (clock::now() < lost_after_) return;
      throw error{{.code = error_code::peer_lost,
                   .rank = all_->rank,
                   .peer = p.peer,
                   .detail = "rank " + std::to_string(p.peer) + " has left"}};
    }
  }

  void forget_all() noexcept {
    requests_.clear();
    pieces_.clear();
  }
  void withdraw() noexcept {
    if (!requests_.empty() && is_running()) {
      const returning_errors scope;
      if (!settle(false, false)) give_up();
    }
    forget_all();
  }

  /// Completes what can be completed, whatever came of it; true when none of the kinds is in flight.
  bool settle(bool keep_receives, bool keep_sends) noexcept {
    bool settled = true;
    for (std::size_t k = 0; k < requests_.size(); ++k) {
      int done = 1;
      if (requests_[k] == MPI_REQUEST_NULL) continue;
      if (MPI_Test(&requests_[k], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
        requests_[k] = MPI_REQUEST_NULL;
      else if (!done && !(pieces_[k].receives ? keep_receives : keep_sends))
        settled = false;
    }
    return settled;
  }
  void give_up() noexcept {
    all_->notices->fail({.code = error_code::peer_lost,
                         .rank = all_->rank,
                         .peer = all_->rank,
                         .detail = "the rank gave up an exchange in flight"});
    for (std::size_t k = 0; k < requests_.size(); ++k)
      if (pieces_[k].receives && requests_[k] != MPI_REQUEST_NULL) MPI_Cancel(&requests_[k]);
    patience between;
    const deadline begun = clock::now();
    while (!settle(false, true) ||
           (clock::now() < begun + std::chrono::seconds{1} && !settle(false, false))) {
      if (clock::now() > begun + farewell) {
        std::fputs("tutti: a message has begun to arrive and does not go on, and its receive cannot be "
                   "withdrawn - the job is ended\n", stderr);
        MPI_Abort(all_->comm, 1);
      }
      between.wait();
    }
    for (MPI_Request& r : requests_)
      if (r != MPI_REQUEST_NULL) MPI_Request_free(&r);
  }

  std::shared_ptr<group> all_;
  std::vector<MPI_Request> requests_;
  std::vector<piece> pieces_; ///< what each request is
  unsigned looks_ = 0;
  deadline lost_after_{};
};

} // namespace tutti::mpi::detail
