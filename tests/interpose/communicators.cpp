// Communicators that are split, freed, many, ordered in a grid, and between groups.
#include "check.hpp"

#include <csignal>
#include <sys/resource.h>

namespace check {
namespace {

void sums_up(MPI_Comm comm, const std::string& where) {
  const int size = size_of(comm), rank = rank_in(comm);
  auto got = room_for<int>(3);
  const auto mine = given<int>(rank, 3);
  MPI_Allreduce(mine.data(), got.data(), 3, MPI_INT, MPI_SUM, comm);
  is_reduced(got, 3, fold::sum, size, "MPI_Allreduce on " + where);
  MPI_Request r = MPI_REQUEST_NULL;
  got = room_for<int>(3);
  MPI_Iallreduce(mine.data(), got.data(), 3, MPI_INT, MPI_SUM, comm, &r);
  MPI_Wait(&r, MPI_STATUS_IGNORE);
  is_reduced(got, 3, fold::sum, size, "MPI_Iallreduce on " + where);
  int root = rank == size - 1 ? 5 : 0;
  MPI_Bcast(&root, 1, MPI_INT, size - 1, comm);
  that(root == 5, "MPI_Bcast on " + where);
}

void split_ones() {
  const int rank = rank_in(MPI_COMM_WORLD), size = size_of(MPI_COMM_WORLD);
  MPI_Comm made = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &made);
  sums_up(made, "a split communicator");
  MPI_Comm_free(&made);
  MPI_Comm_split(MPI_COMM_WORLD, rank == 0 ? MPI_UNDEFINED : 1, rank, &made);
  if (made != MPI_COMM_NULL) {
    sums_up(made, "all but rank 0");
    MPI_Comm_free(&made);
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &made);
  MPI_Request r = MPI_REQUEST_NULL;
  int sum = 0;
  MPI_Iallreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, made, &r); // the first call on it
  sums_up(made, "a duplicate");
  MPI_Wait(&r, MPI_STATUS_IGNORE);
  that(sum == size * (size - 1) / 2, "an MPI_Iallreduce that is the first call on a communicator");
  MPI_Comm again = MPI_COMM_NULL;
  MPI_Comm_dup(made, &again);
  sums_up(again, "a duplicate of a duplicate");
  MPI_Comm_free(&made);
  sums_up(again, "a duplicate of what was freed");
  MPI_Comm_free(&again);
  const int periods[] = {1};
  MPI_Cart_create(MPI_COMM_WORLD, 1, &size, periods, 1, &made);
  sums_up(made, "a grid");
  MPI_Comm_disconnect(&made);
}

/// By MPI and by tutti.
void sums_up_often(MPI_Comm comm, const std::string& where) {
  sums_up(comm, where);
  use_often(comm);
  sums_up(comm, where + ", used often");
}

/// One after the other; then, at the same time, more than there may be twins.
void many() {
  for (int k = 0; k < 5; ++k) {
    MPI_Comm made = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    sums_up_often(made, "the " + std::to_string(k) + "th duplicate of many");
    MPI_Comm_free(&made);
  }
  if (size_of(MPI_COMM_WORLD) != 2) return; // once will do
  std::vector<MPI_Comm> all(34, MPI_COMM_NULL);
  for (MPI_Comm& c : all) {
    MPI_Comm_dup(MPI_COMM_WORLD, &c);
    sums_up_often(c, "one of many duplicates");
  }
  for (MPI_Comm& c : all) {
    sums_up(c, "one of many duplicates, again");
    MPI_Comm_free(&c);
  }
}

/// MPI lets a communicator be freed while something is in flight on it. (Open MPI 4.1 alone
/// crashes.)
void freed_in_flight() {
  const int rank = rank_in(MPI_COMM_WORLD), size = size_of(MPI_COMM_WORLD);
  for (const int n : {1, 5000, 100000}) {
    MPI_Comm made = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    use_often(made);
    const auto mine = given<int>(rank, n);
    auto first = room_for<int>(n), second = room_for<int>(n);
    MPI_Request r[2];
    MPI_Iallreduce(mine.data(), first.data(), n, MPI_INT, MPI_SUM, made, &r[0]);
    MPI_Iallreduce(mine.data(), second.data(), n, MPI_INT, MPI_MAX, made, &r[1]);
    MPI_Comm_free(&made);
    MPI_Comm_dup(MPI_COMM_WORLD, &made); // may be given the same handle
    sums_up(made, "a communicator made after one that is in use");
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    MPI_Comm_free(&made);
    is_reduced(first, n, fold::sum, size, "MPI_Iallreduce on a freed communicator");
    is_reduced(second, n, fold::max, size, "another MPI_Iallreduce on a freed communicator");
  }
}

int called = 0;

int add_up(MPI_Comm comm, int, void*, void*) {
  ++called;
  sums_up(comm, "a communicator that is being freed");
  MPI_Comm other = MPI_COMM_NULL;
  MPI_Comm_dup(comm, &other);
  sums_up(other, "a duplicate of what is being freed");
  MPI_Comm_free(&other);
  return MPI_SUCCESS;
}

/// In the delete function of an attribute, set before and after the communicator is served; and
/// then, by whichever call it ends.
void used_while_freed() {
  int key = MPI_KEYVAL_INVALID;
  MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, add_up, &key, nullptr);
  called = 0;
  for (int turn = 0; turn < 6; ++turn) {
    MPI_Comm made = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    if (turn % 3 == 0) use_often(made);
    MPI_Comm_set_attr(made, key, nullptr);
    if (turn % 3 == 1) use_often(made);
    if (turn < 3) MPI_Comm_free(&made);
    else MPI_Comm_disconnect(&made);
  }
  MPI_Comm_free_keyval(&key);
  that(called == 6, "delete functions were not called");
}

/// While a rank is still at it, others are made, used and freed.
void made_meanwhile() {
  const int rank = rank_in(MPI_COMM_WORLD);
  for (int turn = 0; turn < 6; ++turn) {
    MPI_Comm later = MPI_COMM_NULL, first = MPI_COMM_NULL, second = MPI_COMM_NULL;
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Comm_idup(MPI_COMM_WORLD, &later, &r);
    for (int k = 0, done = 0; k < 10 * ((rank + turn) % 3); ++k)
      MPI_Test(&r, &done, MPI_STATUS_IGNORE);
    MPI_Comm_dup(MPI_COMM_WORLD, &first);
    sums_up_often(first, "a duplicate made while another is");
    MPI_Comm_split(first, rank % 2, 0, &second);
    sums_up_often(second, "a split made while a duplicate is");
    int sum = 0, one = 1;
    MPI_Scan(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    that(sum == rank + 1, "MPI_Scan while a duplicate is made");
    MPI_Comm_free(&second);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    sums_up_often(later, "a duplicate that took its time");
    MPI_Comm_idup(later, &second, &r); // of one that is served, and of one that is not
    MPI_Scan(&one, &sum, 1, MPI_INT, MPI_SUM, later);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    MPI_Comm third = MPI_COMM_NULL;
    MPI_Comm_idup(second, &third, &r);
    MPI_Scan(&one, &sum, 1, MPI_INT, MPI_SUM, second);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    sums_up(third, "a duplicate of a duplicate");
    for (MPI_Comm* c : {&first, &later, &second, &third}) MPI_Comm_free(c);
  }
}

/// Even ranks and odd ranks; each side gets the other's.
void between_groups() {
  const int rank = rank_in(MPI_COMM_WORLD), size = size_of(MPI_COMM_WORLD);
  if (size < 2) return;
  const int side = rank % 2, others = 1 - side;
  MPI_Comm group = MPI_COMM_NULL, between = MPI_COMM_NULL, merged = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, side, rank, &group);
  MPI_Intercomm_create(group, 0, MPI_COMM_WORLD, others, 3, &between);

  int wanted = 0, sum = 0;
  for (int r = others; r < size; r += 2) wanted += r;
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, between);
  that(sum == wanted, "MPI_Allreduce between groups");

  sum = 0;
  MPI_Request r = MPI_REQUEST_NULL;
  MPI_Iallreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, between, &r);
  MPI_Wait(&r, MPI_STATUS_IGNORE);
  that(sum == wanted, "MPI_Iallreduce between groups");

  int told = rank == 0 ? 42 : 0;
  const int root = side == 1 ? 0 : rank == 0 ? MPI_ROOT : MPI_PROC_NULL;
  MPI_Bcast(&told, 1, MPI_INT, root, between);
  that(side == 0 || told == 42, "MPI_Bcast between groups");

  sum = 0;
  MPI_Reduce(&rank, &sum, 1, MPI_INT, MPI_SUM, root, between);
  that(rank != 0 || sum == wanted, "MPI_Reduce between groups");

  int known = 0;
  MPI_Comm_remote_size(between, &known);
  const std::vector<int> counts(std::size_t(known), 1);
  std::vector<int> all(counts.size(), -1), at(counts.size());
  for (int k = 0; k < known; ++k) at[std::size_t(k)] = k;
  MPI_Allgather(&rank, 1, MPI_INT, all.data(), 1, MPI_INT, between);
  for (int k = 0; k < known; ++k)
    that(all[std::size_t(k)] == 2 * k + others, "MPI_Allgather between groups");
  all.assign(all.size(), -1);
  MPI_Allgatherv(&rank, 1, MPI_INT, all.data(), counts.data(), at.data(), MPI_INT, between);
  for (int k = 0; k < known; ++k)
    that(all[std::size_t(k)] == 2 * k + others, "MPI_Allgatherv between groups");
  MPI_Barrier(between);

  MPI_Intercomm_merge(between, side, &merged);
  sums_up(merged, "two groups merged");
  MPI_Comm_free(&merged);
  MPI_Comm_free(&between);
  MPI_Comm_free(&group);
}

} // namespace

void communicators() {
  begin("split communicators");
  split_ones();
  begin("many communicators");
  many();
  begin("communicators freed in flight");
  if (served) freed_in_flight();
  begin("communicators used while they are freed");
  used_while_freed();
  begin("communicators made meanwhile");
  if (served) made_meanwhile(); // Open MPI 4.1 alone may hang
  begin("communicators between groups");
  between_groups();
}

/// Every call three times: served, in place, and by an operation that is passed on. For =report.
void known_numbers_of_calls() {
  begin("counted");
  const int rank = rank_in(MPI_COMM_WORLD), size = size_of(MPI_COMM_WORLD);
  std::vector<int> a(std::size_t(4 * size), rank), b(a), counts(std::size_t(size), 2);
  std::vector<int> at(std::size_t(size), 0);
  for (int r = 0; r < size; ++r) at[std::size_t(r)] = 2 * r;
  MPI_Request q = MPI_REQUEST_NULL;
  for (const MPI_Op op : {MPI_SUM, MPI_MAX, MPI_BOR}) {
    MPI_Allreduce(a.data(), b.data(), 4, MPI_INT, op, MPI_COMM_WORLD);
    MPI_Reduce(a.data(), b.data(), 4, MPI_INT, op, 0, MPI_COMM_WORLD);
    MPI_Reduce_scatter(a.data(), b.data(), counts.data(), MPI_INT, op, MPI_COMM_WORLD);
    MPI_Reduce_scatter_block(a.data(), b.data(), 2, MPI_INT, op, MPI_COMM_WORLD);
    MPI_Iallreduce(a.data(), b.data(), 4, MPI_INT, op, MPI_COMM_WORLD, &q);
    MPI_Wait(&q, MPI_STATUS_IGNORE);
  }
  MPI_Bcast(a.data(), 4, MPI_INT, 0, MPI_COMM_WORLD);
  MPI_Bcast(a.data(), 0, MPI_INT, 0, MPI_COMM_WORLD);
  MPI_Allgather(a.data(), 2, MPI_INT, b.data(), 2, MPI_INT, MPI_COMM_WORLD);
  MPI_Allgatherv(a.data(), 2, MPI_INT, b.data(), counts.data(), at.data(), MPI_INT, MPI_COMM_WORLD);
  for (int k = 0; k < 4; ++k) MPI_Barrier(MPI_COMM_WORLD);
  MPI_Barrier(MPI_COMM_SELF);

  MPI_Comm made = MPI_COMM_NULL;
  for (const int uses : {1, 1, served_from + 1}) { // of which the last two are served
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    for (int k = 0; k < uses; ++k) MPI_Allgather(a.data(), 2, MPI_INT, b.data(), 2, MPI_INT, made);
    MPI_Comm_free(&made);
  }
}

/// From here on no file may be longer than a page, in memory or not.
void no_memory() {
  begin("no memory to share");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit page = {4096, before.rlim_max};
  std::vector<MPI_Comm> all(10, MPI_COMM_NULL);
  for (MPI_Comm& c : all) MPI_Comm_dup(MPI_COMM_WORLD, &c);
  setrlimit(RLIMIT_FSIZE, &page);
  for (const MPI_Comm c : all) sums_up_often(c, "a communicator without memory");
  setrlimit(RLIMIT_FSIZE, &before);
  for (MPI_Comm& c : all) MPI_Comm_free(&c);
}

} // namespace check
