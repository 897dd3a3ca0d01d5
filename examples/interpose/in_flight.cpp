#include "in_flight.hpp"

#include "process.hpp"
#include "reductions.hpp"
#include "serving.hpp"

#include <tutti/collectives/collectives.hpp>

#include <algorithm>
#include <cstdio>

namespace interpose {

namespace {

/// Where the failure of a completed request is to be raised, on the thread that has completed it.
thread_local MPI_Comm failed_on = MPI_COMM_NULL;
thread_local bool has_failed = false;

/// MPI raises what a query reports on whichever communicator it likes, so the failure goes another
/// way.
int query(void* extra, MPI_Status* status) {
  const auto& result = *static_cast<pending::outcome*>(extra);
  PMPI_Status_set_elements(status, MPI_BYTE, 0);
  PMPI_Status_set_cancelled(status, 0);
  status->MPI_SOURCE = status->MPI_TAG = MPI_UNDEFINED;
  if (result.failed) {
    has_failed = true;
    failed_on = result.users;
  }
  return MPI_SUCCESS;
}
int release(void* extra) {
  delete static_cast<pending::outcome*>(extra);
  return MPI_SUCCESS;
}
int cancel(void*, int) {
  return MPI_SUCCESS;
}

/// Tags of the interposer's own messages: no message has the one that is only probed for.
constexpr int no_tag = 0, meeting_tag = 1;

/// A meeting that fails leaves it to the call that comes after it to say so.
void meet_on(twin& t) noexcept {
  try {
    carry_out([&] { return tutti::async_barrier(*t.comm, forever); });
  } catch (const std::exception&) {
  }
}

bool completes(MPI_Request& r) {
  int here = 0;
  return mpi().Test(&r, &here, MPI_STATUS_IGNORE) != MPI_SUCCESS || here;
}

void meet_by_barrier(MPI_Comm users) {
  MPI_Request all = MPI_REQUEST_NULL;
  if (PMPI_Ibarrier(users, &all) == MPI_SUCCESS) wait_until([&] { return completes(all); });
}

/// In each round everyone hears of twice as many; no pair of ranks meets twice.
void meet_by_messages(const std::vector<int>& ranks) {
  int rank = 0;
  PMPI_Comm_rank(running->own, &rank);
  const std::size_t n = ranks.size();
  const std::size_t mine = std::size_t(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
  for (std::size_t heard = 1; heard < n; heard *= 2) {
    MPI_Request to = MPI_REQUEST_NULL, from = MPI_REQUEST_NULL;
    PMPI_Isend(nullptr, 0, MPI_BYTE, ranks[(mine + heard) % n], meeting_tag, running->own, &to);
    PMPI_Irecv(nullptr, 0, MPI_BYTE, ranks[(mine + n - heard) % n], meeting_tag, running->own,
               &from);
    wait_until([&] { return completes(to); });
    wait_until([&] { return completes(from); });
  }
}

void failed(pending& p) noexcept {
  p.result->failed = true;
  p.result->users = p.on->freed ? MPI_COMM_WORLD : p.on->users;
}

/// Whether what MPI does is over.
bool mpi_has_ended(pending& p) noexcept {
  int done = 0;
  const int code = mpi().Test(&p.mpis, &done, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS) failed(p);
  else if (!done) return false;
  --running->in_the_making;
  return true;
}

/// Whether it is over, one way or the other.
bool ended(pending& p) noexcept {
  if (p.mpis != MPI_REQUEST_NULL) return mpi_has_ended(p);
  try {
    const inside tutti;
    return p.work.test();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    failed(p);
    return true;
  }
}

} // namespace

void push() noexcept {
  if (!busy()) return;
  const auto held = running->hold();
  auto& all = running->in_flight;
  for (std::size_t k = 0; k < all.size();) {
    pending& p = *all[k];
    if (!ended(p)) {
      ++k;
      continue;
    }
    PMPI_Grequest_complete(p.handle);
    if (p.let_go) mpi().Request_free(&p.handle);
    std::swap(all[k], all.back());
    all.pop_back();
  }
}

void poke_mpi() noexcept {
  int here = 0;
  mpi().Iprobe(MPI_ANY_SOURCE, no_tag, running->own, &here, MPI_STATUS_IGNORE);
}

void meet(MPI_Comm users) {
  twin* t = known(users);
  if (!t || !t->within || t->ranks.size() < 2) return;
  if (t->comm) meet_on(*t);
  else if (t->makes_meanwhile) meet_by_messages(t->ranks);
  else meet_by_barrier(users);
}

int fail(MPI_Comm users, const std::exception& why) {
  std::fprintf(stderr, "%s\n", why.what());
  PMPI_Comm_call_errhandler(users, MPI_ERR_OTHER);
  return MPI_ERR_OTHER;
}

/// Takes what is pending into those that are pushed.
static int take(twin& on, std::unique_ptr<pending> p, MPI_Request* handle) {
  const inside tutti; // where work is dropped, it is waited for
  auto result = std::make_unique<pending::outcome>();
  p->on = on.shared_from_this();
  const int code = PMPI_Grequest_start(query, release, cancel, result.get(), &p->handle);
  if (code != MPI_SUCCESS) return code;
  p->result = result.release();
  *handle = p->handle;
  const auto held = running->hold();
  running->in_flight.push_back(std::move(p));
  return MPI_SUCCESS;
}

int give_request(twin& on, tutti::request&& work, MPI_Request* handle) {
  auto p = std::make_unique<pending>();
  p->work = std::move(work);
  return take(on, std::move(p), handle);
}

int give_request(twin& on, MPI_Request mpis, MPI_Request* handle) {
  auto p = std::make_unique<pending>();
  p->mpis = mpis;
  ++running->in_the_making;
  return take(on, std::move(p), handle);
}

bool let_go(MPI_Request* handle) {
  const auto held = running->hold();
  for (const auto& p : running->in_flight)
    if (p->handle == *handle) {
      p->let_go = true;
      *handle = MPI_REQUEST_NULL;
      return true;
    }
  return false;
}

void complete_all_on(MPI_Comm users) {
  wait_until([&] {
    const auto held = running->hold();
    return std::none_of(running->in_flight.begin(), running->in_flight.end(),
                        [&](const auto& p) { return !p->on->freed && p->on->users == users; });
  });
}

int with_failure(int code) {
  if (!std::exchange(has_failed, false)) return code;
  PMPI_Comm_call_errhandler(failed_on, MPI_ERR_OTHER);
  return MPI_ERR_OTHER;
}

} // namespace interpose
