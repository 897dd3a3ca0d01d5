// mpi::communicator: the ranks are the processes of an MPI job.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/mpi/exchange.hpp>
#include <tutti/mpi/nodes.hpp>

#include <climits>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// The same on every rank of a communicator.
struct limits {
  /// A message of this many bytes or more is cut. MPI counts in int.
  std::size_t message_bytes = INT_MAX;
};

/// Owns a duplicate of the communicator that it is made from: errors are returned on the duplicate
/// only, and tags are its own. Making and splitting one is collective. Use one under an
/// `environment`; it may outlive the environment, but not be used then.
///
/// Cost: an exchange is one MPI_Isend or MPI_Irecv a message, and one MPI_Testall a poll. A message
/// of limits::message_bytes or more becomes several, the last one shorter than that.
///
/// Errors: transport with the text of MPI; mismatch when a message is longer or shorter than what
/// was expected; peer_lost when a rank has left, or was unwound with an exchange in flight.
class communicator {
public:
  using part = communicator_part;
  using handle = detail::exchange;

  explicit communicator(MPI_Comm users, limits how = {})
      : communicator{(require_running(), detail::group::on(users, how.message_bytes))} {}
  communicator(communicator&&) = default;
  communicator& operator=(communicator&&) = default;

  /// A rank that unwinds past its communicator leaves the others, who learn it here.
  ~communicator() {
    if (!all_ || std::uncaught_exceptions() <= unwinding_) return;
    revoke({.code = error_code::peer_lost,
            .peer = rank(),
            .detail = "rank " + std::to_string(rank()) + " left while an exception was under way"});
  }

  int rank() const noexcept { return all_->rank; }
  int size() const noexcept { return all_->size; }

  handle exchange(host_execution, channel on, const exchange_round& round) {
    all_->throw_if_failed();
    if (on >= detail::tags::channels) [[unlikely]]
      reject("channel " + std::to_string(on) + " - channels are below " +
             std::to_string(detail::tags::channels));
    return {all_, on, round};
  }

  /// Messages move while they are tested; there is nothing else to do.
  std::uint64_t progress() noexcept { return 0; }

  /// Yields the core when ranks outnumber cores on this node: four ranks on two cores, one ring of
  /// one float, took 16,300 us in MPICH's MPI_Waitall and 33 us polling with sched_yield. Otherwise
  /// spins, and yields every 64th time.
  void idle(std::uint64_t, deadline) noexcept {
    if (all_->nodes.crowded || ++idled_ % 64 == 0) sched_yield();
  }

  void revoke(failure why) noexcept { all_->notices->fail(why); }
  operations& in_flight() noexcept { return operations_; }

  std::optional<arrival> probe(channel on) {
    if (all_->notices->looks_now()) all_->throw_if_failed();
    if (const auto first = all_->first_early(on)) return first;
    all_->take_early_messages();
    return all_->first_early(on);
  }

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank).
  communicator split(int color, int key, const options& how = {}) {
    const auto mine = tutti::detail::split_members(*this, color, key, how.until());
    return communicator{all_->child(mine.members)};
  }

  /// The node of each rank, numbered by first appearance.
  std::span<const int> nodes() const noexcept { return all_->nodes.node_of; }

  /// For a rank that will not communicate again: others who wait for it fail with `peer_lost`.
  /// Returns when every rank has come here - after a failure at most 20 s later, false if somebody
  /// has not.
  bool leave() {
    all_->notices->leave();
    return all_->notices->meet();
  }

private:
  explicit communicator(std::shared_ptr<detail::group> all)
      : all_{std::move(all)}, unwinding_{std::uncaught_exceptions()} {}

  static void require_running() {
    if (!detail::is_running())
      throw error{{.code = error_code::unsupported,
                   .call = "mpi::communicator",
                   .detail =
                       "MPI is not running - write `tutti::mpi::environment env{argc, argv};` "
                       "first in main"}};
  }
  [[noreturn]] void reject(std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = "exchange",
                 .rank = rank(),
                 .detail = std::move(detail)}};
  }

  std::shared_ptr<detail::group> all_;
  int unwinding_;
  unsigned idled_ = 0;
  operations operations_;
};

/// All ranks of the job. Collective; throws `unsupported` without an environment.
inline communicator world(limits how = {}) {
  return communicator{MPI_COMM_WORLD, how};
}

} // namespace tutti::mpi
