#include "in_flight.hpp"

#include "process.hpp"

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

/// Whether it is over, one way or the other.
bool ended(pending& p) noexcept {
  try {
    const inside tutti;
    return p.work.test();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    p.result->failed = true;
    p.result->users = p.on->freed ? MPI_COMM_WORLD : p.on->users;
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
    if (p.let_go) PMPI_Request_free(&p.handle);
    std::swap(all[k], all.back());
    all.pop_back();
  }
}

void poke_mpi() noexcept {
  int here = 0;
  PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, running->quiet, &here, MPI_STATUS_IGNORE);
}

void meet(MPI_Comm users) {
  const twin* t = known(users);
  if (!t || !t->within) return;
  MPI_Request all = MPI_REQUEST_NULL;
  if (PMPI_Ibarrier(users, &all) != MPI_SUCCESS) return;
  wait_until([&] {
    int here = 0;
    return PMPI_Test(&all, &here, MPI_STATUS_IGNORE) != MPI_SUCCESS || here;
  });
}

int fail(MPI_Comm users, const std::exception& why) {
  std::fprintf(stderr, "%s\n", why.what());
  PMPI_Comm_call_errhandler(users, MPI_ERR_OTHER);
  return MPI_ERR_OTHER;
}

int give_request(twin& on, tutti::request&& work, MPI_Request* handle) {
  const inside tutti; // where work is dropped, it is waited for
  auto p = std::make_unique<pending>();
  auto result = std::make_unique<pending::outcome>();
  p->on = on.shared_from_this();
  p->work = std::move(work);
  const int code = PMPI_Grequest_start(query, release, cancel, result.get(), &p->handle);
  if (code != MPI_SUCCESS) return code;
  p->result = result.release();
  *handle = p->handle;
  const auto held = running->hold();
  running->in_flight.push_back(std::move(p));
  return MPI_SUCCESS;
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
