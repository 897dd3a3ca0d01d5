// All forms of MPI_Wait and MPI_Test, on MPI_Iallreduce among requests of every other kind.
#include "check.hpp"

#include <array>

namespace check {
namespace {

int nothing(void*, int) {
  return MPI_SUCCESS;
}
int no_release(void*) {
  return MPI_SUCCESS;
}
int of_nothing(void*, MPI_Status* s) {
  MPI_Status_set_elements(s, MPI_INT, 0);
  MPI_Status_set_cancelled(s, 0);
  s->MPI_SOURCE = s->MPI_TAG = MPI_UNDEFINED;
  return MPI_SUCCESS;
}

/// Requests of every kind, in one array.
struct mixture {
  enum {
    null,
    small,
    receive,
    send,
    inactive,
    received_again,
    sent_again,
    big,
    own,
    null_too,
    count
  };

  mixture(MPI_Comm comm, int salt) : comm{comm}, salt{salt} {
    r.fill(MPI_REQUEST_NULL);
    MPI_Recv_init(in[2].data(), 3, MPI_INT, before, 7, comm, &r[inactive]);
    MPI_Recv_init(in[1].data(), 3, MPI_INT, before, 6, comm, &r[received_again]);
    MPI_Send_init(out.data(), 3, MPI_INT, after, 6, comm, &r[sent_again]);
    kept = {r[inactive], r[received_again], r[sent_again]};
    MPI_Iallreduce(mine.data(), sum.data(), 5, MPI_INT, MPI_SUM, comm, &r[small]);
    MPI_Irecv(in[0].data(), 9, MPI_INT, MPI_ANY_SOURCE, 5, comm, &r[receive]);
    MPI_Startall(2, &r[received_again]);
    MPI_Iallreduce(many.data(), least.data(), large, MPI_DOUBLE, MPI_MIN, comm, &r[big]);
    MPI_Isend(out.data(), 3, MPI_INT, after, 5, comm, &r[send]);
    MPI_Grequest_start(of_nothing, no_release, nothing, nullptr, &r[own]);
    MPI_Grequest_complete(r[own]);
  }
  mixture(const mixture&) = delete;
  mixture& operator=(const mixture&) = delete;

  /// When everything is complete.
  void is_right(const std::string& how) {
    std::vector<int> first = sum, behind;
    is_reduced(first, 5, fold::sum, size, how + ", a short MPI_Iallreduce", 0, salt);
    is_reduced(least, large, fold::min, size, how + ", a long MPI_Iallreduce", 0, salt);
    for (const int k : {0, 1})
      for (int i = 0; i < 3; ++i)
        that(in[std::size_t(k)][std::size_t(i)] == before + 100 * salt, how + ", a message");
    for (const int k : {null, small, receive, send, big, own, null_too})
      that(r[std::size_t(k)] == MPI_REQUEST_NULL, how + " left request " + std::to_string(k));
    that(r[inactive] == kept[0] && r[received_again] == kept[1] && r[sent_again] == kept[2],
         how + " changed a persistent request");
    int done = 0;
    MPI_Testall(count, r.data(), &done, MPI_STATUSES_IGNORE);
    that(done == 1, how + " left something active");
    for (const int k : {inactive, received_again, sent_again}) MPI_Request_free(&r[std::size_t(k)]);
  }

  void has_status(int k, const MPI_Status& s, const std::string& how) const {
    int n = -1, cancelled = 1;
    MPI_Test_cancelled(&s, &cancelled);
    that(cancelled == 0, how + ": request " + std::to_string(k) + " was cancelled");
    if (k == receive || k == received_again) {
      MPI_Get_count(&s, MPI_INT, &n);
      that(s.MPI_SOURCE == before && s.MPI_TAG == (k == receive ? 5 : 6) && n == 3,
           how + ": the status of a message is wrong");
    } else if (k == null || k == null_too || k == inactive) {
      MPI_Get_count(&s, MPI_INT, &n);
      that(s.MPI_SOURCE == MPI_ANY_SOURCE && s.MPI_TAG == MPI_ANY_TAG && n == 0,
           how + ": the status of no request is not empty");
    }
  }

  static constexpr int large = 30000;
  MPI_Comm comm;
  int salt, rank = rank_in(comm), size = size_of(comm);
  int before = (rank + size - 1) % size, after = (rank + 1) % size;
  std::array<MPI_Request, count> r{};
  std::array<MPI_Request, 3> kept{};
  std::vector<int> mine = given<int>(rank, 5, salt), sum = room_for<int>(5);
  std::vector<double> many = given<double>(rank, large, salt), least = room_for<double>(large);
  std::vector<int> out = std::vector<int>(3, rank + 100 * salt);
  std::array<std::vector<int>, 3> in{std::vector<int>(9), std::vector<int>(3), std::vector<int>(3)};
};

using statuses = std::array<MPI_Status, mixture::count>;

void wait_all(mixture& m) {
  statuses s;
  MPI_Waitall(mixture::count, m.r.data(), s.data());
  for (int k = 0; k < mixture::count; ++k) m.has_status(k, s[std::size_t(k)], "MPI_Waitall");
}
void wait_all_without_statuses(mixture& m) {
  MPI_Waitall(mixture::count, m.r.data(), MPI_STATUSES_IGNORE);
}
void test_all(mixture& m) {
  statuses s;
  for (int done = 0; !done;) MPI_Testall(mixture::count, m.r.data(), &done, s.data());
  for (int k = 0; k < mixture::count; ++k) m.has_status(k, s[std::size_t(k)], "MPI_Testall");
}
void one_by_one(mixture& m) {
  for (int k = mixture::count - 1; k >= 0; --k) {
    MPI_Status s;
    MPI_Wait(&m.r[std::size_t(k)], &s);
    m.has_status(k, s, "MPI_Wait");
  }
}
void test_one_by_one(mixture& m) {
  for (int k = 0; k < mixture::count; ++k) {
    MPI_Status s;
    for (int done = 0; !done;) MPI_Test(&m.r[std::size_t(k)], &done, &s);
    m.has_status(k, s, "MPI_Test");
  }
}
void look_first(mixture& m) {
  for (int k = 0; k < mixture::count; ++k) {
    MPI_Status s;
    for (int done = 0; !done;) MPI_Request_get_status(m.r[std::size_t(k)], &done, &s);
    m.has_status(k, s, "MPI_Request_get_status");
    MPI_Wait(&m.r[std::size_t(k)], MPI_STATUS_IGNORE);
  }
}

/// Every active request is completed once, and no other.
struct once_each {
  void completes(int k, const std::string& how) {
    that(k >= 0 && k < mixture::count && ++seen[std::size_t(k)] == 1,
         how + " completed request " + std::to_string(k) + " twice, or there is none");
  }
  void all(const std::string& how) const {
    for (int k = 0; k < mixture::count; ++k) {
      const bool active = k != mixture::null && k != mixture::null_too && k != mixture::inactive;
      that(seen[std::size_t(k)] == int(active),
           how + ": request " + std::to_string(k) + " was completed " +
               std::to_string(seen[std::size_t(k)]) + " times");
    }
  }
  std::array<int, mixture::count> seen{};
};

void any(mixture& m, bool waits) {
  const std::string how = waits ? "MPI_Waitany" : "MPI_Testany";
  once_each met;
  for (;;) {
    int k = -7, done = 1;
    MPI_Status s;
    if (waits) MPI_Waitany(mixture::count, m.r.data(), &k, &s);
    else MPI_Testany(mixture::count, m.r.data(), &k, &done, &s);
    if (!done) continue;
    if (k == MPI_UNDEFINED) break;
    met.completes(k, how);
    m.has_status(k, s, how);
  }
  met.all(how);
}
void some(mixture& m, bool waits) {
  const std::string how = waits ? "MPI_Waitsome" : "MPI_Testsome";
  once_each met;
  for (;;) {
    int n = -7;
    std::array<int, mixture::count> which{};
    statuses s;
    if (waits) MPI_Waitsome(mixture::count, m.r.data(), &n, which.data(), s.data());
    else MPI_Testsome(mixture::count, m.r.data(), &n, which.data(), s.data());
    if (n == MPI_UNDEFINED) break;
    that(!waits || n > 0, "MPI_Waitsome completed nothing");
    for (int k = 0; k < n; ++k) {
      met.completes(which[std::size_t(k)], how);
      m.has_status(which[std::size_t(k)], s[std::size_t(k)], how);
    }
  }
  met.all(how);
}

/// What there is to wait for when there is nothing.
void of_no_requests() {
  MPI_Request r[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  int k = 0, done = 0, n = 0, which[2];
  MPI_Wait(&r[0], MPI_STATUS_IGNORE);
  MPI_Waitall(0, nullptr, MPI_STATUSES_IGNORE);
  MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
  MPI_Waitany(2, r, &k, MPI_STATUS_IGNORE);
  that(k == MPI_UNDEFINED, "MPI_Waitany of no request");
  MPI_Testany(2, r, &k, &done, MPI_STATUS_IGNORE);
  that(k == MPI_UNDEFINED && done == 1, "MPI_Testany of no request");
  MPI_Waitsome(2, r, &n, which, MPI_STATUSES_IGNORE);
  that(n == MPI_UNDEFINED, "MPI_Waitsome of no request");
  MPI_Testsome(2, r, &n, which, MPI_STATUSES_IGNORE);
  that(n == MPI_UNDEFINED, "MPI_Testsome of no request");
  MPI_Testall(2, r, &done, MPI_STATUSES_IGNORE);
  that(done == 1, "MPI_Testall of no request");
}

} // namespace

void requests() {
  const struct {
    const char* name;
    void (*complete)(mixture&);
  } forms[] = {{"MPI_Waitall", wait_all},
               {"MPI_Waitall without statuses", wait_all_without_statuses},
               {"MPI_Testall", test_all},
               {"MPI_Wait", one_by_one},
               {"MPI_Test", test_one_by_one},
               {"MPI_Request_get_status", look_first},
               {"MPI_Waitany", [](mixture& m) { any(m, true); }},
               {"MPI_Testany", [](mixture& m) { any(m, false); }},
               {"MPI_Waitsome", [](mixture& m) { some(m, true); }},
               {"MPI_Testsome", [](mixture& m) { some(m, false); }}};
  constexpr int n = int(sizeof forms / sizeof forms[0]);
  const int rank = rank_in(MPI_COMM_WORLD);
  for (int turn = 0; turn < 3 * n; ++turn) {
    const auto& form = forms[turn < n ? turn : (turn + rank * 3) % n]; // then another on each rank
    begin(form.name);
    mixture m{MPI_COMM_WORLD, turn % 4};
    form.complete(m);
    m.is_right(form.name);
    if (turn < n) of_no_requests();
  }
  begin("two mixtures at the same time");
  mixture first{MPI_COMM_WORLD, 1};
  of_no_requests();
  MPI_Comm other = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &other);
  use_often(other);
  mixture second{other, 2};
  any(rank % 2 == 0 ? second : first, true);
  some(rank % 2 == 0 ? first : second, true);
  first.is_right("the first mixture");
  second.is_right("the second mixture");
  MPI_Comm_free(&other);
}

} // namespace check
