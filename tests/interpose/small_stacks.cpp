// A thread with a stack of 64 KiB, which is enough for these calls under MPI alone.
#include "check.hpp"

#include <pthread.h>

namespace check {
namespace {

struct calls {
  MPI_Comm on;
  bool right = true;
};

void* make(void* data) {
  calls& c = *static_cast<calls*>(data);
  const int size = size_of(c.on), rank = rank_in(c.on);
  int all[64] = {};
  for (int k = 0; k < 2 * served_from; ++k) {
    MPI_Barrier(c.on);
    int told = rank == 0 ? k : -1;
    MPI_Bcast(&told, 1, MPI_INT, 0, c.on);
    MPI_Allgather(&rank, 1, MPI_INT, all, 1, MPI_INT, c.on);
    c.right = c.right && told == k && all[size - 1] == size - 1;
  }
  return nullptr;
}

} // namespace

void small_stacks() {
  begin("a thread with a small stack");
  calls c{MPI_COMM_NULL};
  MPI_Comm_dup(MPI_COMM_WORLD, &c.on);
  pthread_attr_t how;
  pthread_attr_init(&how);
  pthread_attr_setstacksize(&how, 64 << 10);
  pthread_t thread;
  const bool started = size_of(c.on) <= 64 && pthread_create(&thread, &how, make, &c) == 0;
  that(started, "the thread was not started");
  if (started) pthread_join(thread, nullptr);
  pthread_attr_destroy(&how);
  that(c.right, "a call was wrong");
  MPI_Comm_free(&c.on);
}

} // namespace check
