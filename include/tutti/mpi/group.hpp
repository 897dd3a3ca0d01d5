// What a communicator and its exchanges share: MPI's handles, how lengths and tags are written, and
// the messages that were taken from MPI before anyone asked for them.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/operation.hpp>
#include <tutti/mpi/nodes.hpp>
#include <tutti/mpi/notices.hpp>
#include <tutti/mpi/shared_object.hpp>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// A tag says a message's channel and, as far as there is room, its length and what its round says: a
/// receive meets no message of another length or another call. For with a message too long for its
/// receive, Open MPI (4.1.4) writes over the end of the buffer (long messages between processes of one
/// node), and MPICH (4.0.2) ends the job. Lengths, and what is said, add up modulo a prime, 65521 and 8191
/// there: lengths alone tell shorter messages apart for certain, calls all but one in so many; the other
/// rounds of a call, and the calls after it, say it anew.
class tags {
public:
  static constexpr int channel_bits = 15;
  static constexpr channel channels = channel{1} << channel_bits;

  /// `largest` is MPI_TAG_UB, at least 32767.
  explicit tags(int largest) {
    modulus_ = (std::max)((largest + std::int64_t{1}) >> channel_bits, std::int64_t{1});
    while (modulus_ > 2 && !is_prime(modulus_)) --modulus_;
  }
  int of(channel on, std::size_t bytes, std::uint64_t says = 0) const {
    return int(std::int64_t(bytes + (says >> 32)) % modulus_ << channel_bits | std::int64_t{on});
  }
  static channel channel_of(int tag) { return channel(tag) & (channels - 1); }
  /// Whether a shorter message may have the same tag.
  bool may_be_short(std::size_t bytes) const { return std::int64_t(bytes) >= modulus_; }

private:
  static bool is_prime(std::int64_t x) {
    for (std::int64_t d = 2; d * d <= x; ++d)
      if (x % d == 0) return false;
    return true;
  }
  std::int64_t modulus_ = 1;
};

/// A message that was taken from MPI before its receive was posted.
struct early_message {
  int peer;
  int tag;
  int bytes; ///< of this piece
  MPI_Message native;
};

class group {
public:
  /// Takes both communicators over: one for data, one for notices.
  group(MPI_Comm data, std::size_t message_bytes, node_map map, std::shared_ptr<notice_board> board)
      : comm{data}, tag{largest_tag()}, limit{std::clamp(message_bytes, std::size_t{1},
                                                         std::size_t{INT_MAX})},
        nodes{std::move(map)}, notices{std::move(board)} {
    check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  }
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  /// After a failure it is not freed, like that of its notices.
  ~group() {
    if (!notices->is_usable()) return;
    const auto held = hold();
    if (!notices->failed()) MPI_Comm_free(&comm);
    notices.reset(); // which other threads' boards know of
  }

  /// On two duplicates. Collective over `users`.
  static std::shared_ptr<group> on(MPI_Comm users, std::size_t message_bytes) {
    require_group(users);
    shared_object::remove_leftovers(); // before room is needed
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
    auto made = make(data, notice_comm, limit, nodes.among(members), notices, members);
    made->takes_device_memory = takes_device_memory;
    made->sharing = sharing; // its notices look at those above
    return made;
  }

  void throw_if_failed() const {
    if (notices->failed()) [[unlikely]]
      throw error{tutti::detail::heard(notices->why(), rank, -1)};
  }

  /// Takes from MPI all messages that have arrived and that no receive has met.
  void take_early_messages() {
    for (;;) {
      int here = 0, bytes = 0;
      MPI_Message native = MPI_MESSAGE_NULL;
      MPI_Status status;
      check(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &here, &native, &status), "MPI_Improbe",
            rank);
      if (!here) return;
      check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count", rank);
      early.push_back({status.MPI_SOURCE, status.MPI_TAG, bytes, native});
    }
  }
  /// The oldest early piece from `peer` on a channel.
  std::deque<early_message>::iterator find_early(int peer, channel on) {
    return std::find_if(early.begin(), early.end(), [&](const early_message& m) {
      return m.peer == peer && tags::channel_of(m.tag) == on;
    });
  }
  /// How long the message is that begins with it; empty when not all of its pieces are here.
  std::optional<std::size_t> early_length(int peer, channel on) const {
    std::size_t total = 0;
    for (const early_message& m : early) {
      if (m.peer != peer || tags::channel_of(m.tag) != on) continue;
      total += std::size_t(m.bytes);
      if (std::size_t(m.bytes) < limit) return total;
    }
    return std::nullopt;
  }
  /// The oldest early message on a channel that is here in full.
  std::optional<arrival> first_early(channel on) const {
    for (const early_message& m : early)
      if (tags::channel_of(m.tag) == on)
        if (const auto bytes = early_length(m.peer, on)) return arrival{m.peer, *bytes};
    return std::nullopt;
  }

  MPI_Comm comm;
  int rank = 0, size = 1;
  const tags tag;
  const std::size_t limit; ///< pieces of a message are at most this long
  const node_map nodes;
  std::shared_ptr<notice_board> notices;
  std::deque<early_message> early;
  bool takes_device_memory = false; ///< set once, by all ranks alike

  /// Where threads may call MPI at the same time: one of the communicator's own touches this as well, or
  /// one that works on a communicator above or below it, whose notices are read together.
  std::shared_ptr<progress_sharing> sharing;
  progress_sharing::holding hold() const { return progress_sharing::holding{sharing.get()}; }
  std::vector<MPI_Status> statuses; ///< scratch of whoever tests

private:
  static void require_group(MPI_Comm users) {
    const auto refuse = [](const char* why) {
      throw error{{.code = error_code::invalid_argument, .call = "mpi::communicator", .detail = why}};
    };
    if (users == MPI_COMM_NULL)
      refuse("MPI_COMM_NULL has no ranks - give a communicator that this rank is a member of; one that "
             "was split off with MPI_UNDEFINED is none");
    int between_two = 0;
    check(MPI_Comm_test_inter(users, &between_two), "MPI_Comm_test_inter");
    if (between_two)
      refuse("an intercommunicator has two groups of ranks - make one of them first, with "
             "MPI_Intercomm_merge");
  }
  static int largest_tag() {
    int* bound = nullptr;
    int known = 0;
    check(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &bound, &known), "MPI_Comm_get_attr");
    return known ? *bound : 32767;
  }
  static std::shared_ptr<group> make(MPI_Comm data, MPI_Comm notice_comm, std::size_t message_bytes,
                                     node_map map, std::shared_ptr<notice_board> above,
                                     std::vector<int> members) {
    check(MPI_Comm_set_errhandler(data, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_set_errhandler(notice_comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    auto board = std::make_shared<notice_board>(notice_comm, std::move(above), std::move(members));
    auto made = std::make_shared<group>(data, message_bytes, std::move(map), std::move(board));
    int level = MPI_THREAD_SINGLE;
    check(MPI_Query_thread(&level), "MPI_Query_thread", made->rank);
    if (level == MPI_THREAD_MULTIPLE) made->sharing = std::make_shared<progress_sharing>();
    return made;
  }
};

} // namespace tutti::mpi::detail
