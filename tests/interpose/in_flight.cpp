// Non-blocking stays non-blocking: what else a rank may do while an MPI_Iallreduce is in flight.
#include "check.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace check {
namespace {

using act = std::function<void(int peer)>;

constexpr int tag = 21;

struct started {
  started(MPI_Comm comm, int n, int salt = 0) : comm{comm}, n{n}, salt{salt} {
    MPI_Iallreduce(mine.data(), sum.data(), n, MPI_DOUBLE, MPI_SUM, comm, &r);
  }
  started(const started&) = delete;
  started& operator=(const started&) = delete;
  void wait(const std::string& what) {
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    is_reduced(sum, n, fold::sum, size_of(comm), what, 0, salt);
  }

  MPI_Comm comm;
  int n, salt;
  std::vector<double> mine = given<double>(rank_in(comm), n, salt), sum = room_for<double>(n);
  MPI_Request r = MPI_REQUEST_NULL;
};

/// A message of one int and one of a megabyte, both ways.
struct message {
  explicit message(std::size_t n) : out(n, 5), in(n, 0) {}
  void arrived(const char* how) { that(in == out, std::string{how} + ": the message is another"); }
  int count() const { return int(out.size()); }
  std::vector<int> out, in;
};

void send(message& m, int to) {
  MPI_Send(m.out.data(), m.count(), MPI_INT, to, tag, MPI_COMM_WORLD);
}
void receive(message& m, int from) {
  MPI_Recv(m.in.data(), m.count(), MPI_INT, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
MPI_Request begin_receive(message& m, int from) {
  MPI_Request r = MPI_REQUEST_NULL;
  MPI_Irecv(m.in.data(), m.count(), MPI_INT, from, tag, MPI_COMM_WORLD, &r);
  return r;
}

struct pair_of_acts {
  const char* name;
  act stuck;   ///< on one rank; ends when its peer releases it
  act release; ///< on its peer
};

/// All that may wait for a message, in all of its forms.
std::vector<pair_of_acts> message_acts(message& m) {
  const MPI_Comm all = MPI_COMM_WORLD;
  const act sends = [&m](int peer) { send(m, peer); },
            receives = [&m](int peer) { receive(m, peer); };
  const auto by = [&m](auto complete) {
    return [&m, complete](int peer) {
      MPI_Request r[3] = {MPI_REQUEST_NULL, begin_receive(m, peer), MPI_REQUEST_NULL};
      complete(r);
      m.arrived("a receive that is in flight");
    };
  };
  const act exchange = [&m, all](int peer) {
    MPI_Status s;
    MPI_Sendrecv(m.out.data(), m.count(), MPI_INT, peer, tag, m.in.data(), m.count(), MPI_INT, peer,
                 tag, all, &s);
    that(s.MPI_SOURCE == peer && s.MPI_TAG == tag, "the status of MPI_Sendrecv");
    m.arrived("MPI_Sendrecv");
  };
  const act replace = [&m, all](int peer) {
    m.in = m.out;
    MPI_Sendrecv_replace(m.in.data(), m.count(), MPI_INT, peer, tag, peer, tag, all,
                         MPI_STATUS_IGNORE);
    m.arrived("MPI_Sendrecv_replace");
  };
  return {
      {"MPI_Recv", receives, sends},
      {"MPI_Send", sends, receives},
      {"MPI_Ssend",
       [&m, all](int peer) { MPI_Ssend(m.out.data(), m.count(), MPI_INT, peer, tag, all); },
       receives},
      {"MPI_Rsend",
       [&m, all](int peer) {
         int ready = 0;
         MPI_Recv(&ready, 1, MPI_INT, peer, tag + 1, all, MPI_STATUS_IGNORE);
         MPI_Rsend(m.out.data(), m.count(), MPI_INT, peer, tag, all);
       },
       [&m, all](int peer) {
         MPI_Request r = begin_receive(m, peer);
         MPI_Send(m.out.data(), 1, MPI_INT, peer, tag + 1, all);
         MPI_Wait(&r, MPI_STATUS_IGNORE);
       }},
      {"MPI_Sendrecv", exchange, exchange},
      {"MPI_Sendrecv_replace", replace, replace},
      {"MPI_Probe",
       [&m, all](int peer) {
         MPI_Status s;
         int n = 0;
         MPI_Probe(MPI_ANY_SOURCE, tag, all, &s);
         MPI_Get_count(&s, MPI_INT, &n);
         that(s.MPI_SOURCE == peer && n == m.count(), "the status of MPI_Probe");
         receive(m, peer);
         m.arrived("MPI_Probe");
       },
       sends},
      {"MPI_Mprobe",
       [&m, all](int peer) {
         MPI_Message found;
         MPI_Status s;
         MPI_Mprobe(peer, tag, all, &found, &s);
         MPI_Mrecv(m.in.data(), m.count(), MPI_INT, &found, &s);
         that(s.MPI_SOURCE == peer && s.MPI_TAG == tag, "the status of MPI_Mrecv");
         m.arrived("MPI_Mrecv");
       },
       sends},
      {"MPI_Iprobe",
       [&m, all](int peer) {
         for (int here = 0; !here;) MPI_Iprobe(peer, tag, all, &here, MPI_STATUS_IGNORE);
         receive(m, peer);
       },
       sends},
      {"MPI_Improbe",
       [&m, all](int peer) {
         MPI_Message found;
         for (int here = 0; !here;) MPI_Improbe(peer, tag, all, &here, &found, MPI_STATUS_IGNORE);
         MPI_Mrecv(m.in.data(), m.count(), MPI_INT, &found, MPI_STATUS_IGNORE);
       },
       sends},
      {"MPI_Wait", by([](MPI_Request* r) { MPI_Wait(&r[1], MPI_STATUS_IGNORE); }), sends},
      {"MPI_Waitall", by([](MPI_Request* r) { MPI_Waitall(3, r, MPI_STATUSES_IGNORE); }), sends},
      {"MPI_Waitany", by([](MPI_Request* r) {
         int k = 0;
         MPI_Waitany(3, r, &k, MPI_STATUS_IGNORE);
         that(k == 1, "the index of MPI_Waitany");
       }),
       sends},
      {"MPI_Waitsome", by([](MPI_Request* r) {
         int n = 0, k[3];
         MPI_Waitsome(3, r, &n, k, MPI_STATUSES_IGNORE);
         that(n == 1 && k[0] == 1, "the index of MPI_Waitsome");
       }),
       sends},
      {"MPI_Test", by([](MPI_Request* r) {
         for (int done = 0; !done;) MPI_Test(&r[1], &done, MPI_STATUS_IGNORE);
       }),
       sends},
      {"MPI_Testall", by([](MPI_Request* r) {
         for (int done = 0; !done;) MPI_Testall(3, r, &done, MPI_STATUSES_IGNORE);
       }),
       sends},
      {"MPI_Testany", by([](MPI_Request* r) {
         for (int k = 0, done = 0; !done;) MPI_Testany(3, r, &k, &done, MPI_STATUS_IGNORE);
       }),
       sends},
      {"MPI_Testsome", by([](MPI_Request* r) {
         for (int n = 0, k[3]; n < 1;) MPI_Testsome(3, r, &n, k, MPI_STATUSES_IGNORE);
       }),
       sends},
      {"MPI_Request_get_status", by([](MPI_Request* r) {
         for (int done = 0; !done;) MPI_Request_get_status(r[1], &done, MPI_STATUS_IGNORE);
         MPI_Wait(&r[1], MPI_STATUS_IGNORE);
       }),
       sends}};
}

/// One rank is in a call that ends when another has what both take part in: it has to push it
/// along.
void others_complete_first(const pair_of_acts& acts, int n) {
  const int rank = rank_in(MPI_COMM_WORLD), last = size_of(MPI_COMM_WORLD) - 1;
  started all{MPI_COMM_WORLD, n};
  if (rank == last) acts.stuck(0);
  all.wait("MPI_Iallreduce, pushed along");
  if (rank == 0) acts.release(last);
}
/// A rank starts, and then sends what another awaits before it starts.
void the_message_comes_first(const pair_of_acts& acts, int n) {
  const int rank = rank_in(MPI_COMM_WORLD), last = size_of(MPI_COMM_WORLD) - 1;
  if (rank == last) acts.stuck(0);
  started all{MPI_COMM_WORLD, n};
  if (rank == 0) acts.release(last);
  all.wait("MPI_Iallreduce after a message");
}

void beside_messages() {
  for (const std::size_t length : {1u, 250000u}) {
    message m{length};
    for (const auto& acts : message_acts(m))
      for (const int n : {3, 3000, 200000}) {
        begin(acts.name);
        others_complete_first(acts, n);
        the_message_comes_first(acts, n);
      }
  }
  begin("MPI_Bsend");
  const int rank = rank_in(MPI_COMM_WORLD), last = size_of(MPI_COMM_WORLD) - 1;
  message m{1000};
  std::vector<char> buffer(8000 + MPI_BSEND_OVERHEAD);
  started all{MPI_COMM_WORLD, 100000};
  if (rank == last) {
    MPI_Buffer_attach(buffer.data(), int(buffer.size()));
    MPI_Bsend(m.out.data(), m.count(), MPI_INT, 0, tag, MPI_COMM_WORLD);
  }
  all.wait("MPI_Iallreduce beside MPI_Bsend");
  if (rank == 0) receive(m, last);
  void* detached = nullptr;
  int bytes = 0;
  if (rank == last) MPI_Buffer_detach(static_cast<void*>(&detached), &bytes);
}

/// With somebody in flight there is nothing to send, and nowhere to put it.
void nothing() {
  begin("MPI_Sendrecv_replace of nothing");
  const int rank = rank_in(MPI_COMM_WORLD), size = size_of(MPI_COMM_WORLD);
  const int next = (rank + 1) % size, before = (rank + size - 1) % size;
  started all{MPI_COMM_WORLD, 1000};
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int none = 0;
  for (int* at : {&none, static_cast<int*>(nullptr)})
    for (const int to : {next, MPI_PROC_NULL})
      that(MPI_Sendrecv_replace(at, 0, MPI_INT, to, tag, to == next ? before : to, tag,
                                MPI_COMM_WORLD, MPI_STATUS_IGNORE) == MPI_SUCCESS,
           "refused");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  all.wait("MPI_Iallreduce beside it");
}

/// Waited for in another order on each rank, by other calls.
void in_any_order() {
  begin("requests waited for in any order");
  const int rank = rank_in(MPI_COMM_WORLD);
  for (int turn = 0; turn < 10; ++turn) {
    std::vector<std::unique_ptr<started>> all;
    for (int k = 0; k < 8; ++k)
      all.push_back(std::make_unique<started>(MPI_COMM_WORLD, 1 + k * k * k * 200, k));
    for (int k = 0; k < 8; ++k)
      all[std::size_t((k * (rank % 2 == 0 ? 3 : 5) + rank + turn) % 8)]->wait(
          "many MPI_Iallreduce");
  }
}

/// Communicators have no order among each other.
void on_two_communicators() {
  begin("two communicators");
  const int rank = rank_in(MPI_COMM_WORLD);
  MPI_Comm other = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &other);
  use_often(other);
  for (const int n : {2, 2000, 100000}) {
    const MPI_Comm first = rank % 2 == 0 ? MPI_COMM_WORLD : other,
                   second = rank % 2 == 0 ? other : MPI_COMM_WORLD;
    started a{first, n}, b{second, n};
    b.wait("MPI_Iallreduce, started second");
    a.wait("MPI_Iallreduce, started first");
  }
  MPI_Comm_free(&other);
}

std::vector<std::pair<const char*, std::function<void(MPI_Comm)>>> collective_acts() {
  static std::vector<int> a(1 << 16, 1), b(1 << 16, 0);
  static std::vector<int> n(8, 1), at{0, 1, 2, 3, 4, 5, 6, 7};
  static MPI_Comm made;
  return {
      {"MPI_Barrier", [](MPI_Comm c) { MPI_Barrier(c); }},
      {"MPI_Bcast", [](MPI_Comm c) { MPI_Bcast(a.data(), 20000, MPI_INT, 0, c); }},
      {"MPI_Reduce",
       [](MPI_Comm c) { MPI_Reduce(a.data(), b.data(), 9000, MPI_INT, MPI_SUM, 0, c); }},
      {"MPI_Allreduce",
       [](MPI_Comm c) {
         MPI_Allreduce(a.data(), b.data(), 9000, MPI_INT, MPI_SUM, c);
         that(b[8999] == size_of(c), "MPI_Allreduce while another is in flight");
       }},
      {"MPI_Allgather",
       [](MPI_Comm c) { MPI_Allgather(a.data(), 9, MPI_INT, b.data(), 9, MPI_INT, c); }},
      {"MPI_Reduce_scatter_block",
       [](MPI_Comm c) { MPI_Reduce_scatter_block(a.data(), b.data(), 900, MPI_INT, MPI_SUM, c); }},
      {"MPI_Allreduce, passed on",
       [](MPI_Comm c) { MPI_Allreduce(a.data(), b.data(), 9, MPI_INT, MPI_BOR, c); }},
      {"MPI_Bcast of nothing", [](MPI_Comm c) { MPI_Bcast(a.data(), 0, MPI_INT, 0, c); }},
      {"MPI_Alltoall",
       [](MPI_Comm c) { MPI_Alltoall(a.data(), 999, MPI_INT, b.data(), 999, MPI_INT, c); }},
      {"MPI_Gather",
       [](MPI_Comm c) { MPI_Gather(a.data(), 999, MPI_INT, b.data(), 999, MPI_INT, 0, c); }},
      {"MPI_Gatherv",
       [](MPI_Comm c) {
         MPI_Gatherv(a.data(), 1, MPI_INT, b.data(), n.data(), at.data(), MPI_INT, 0, c);
       }},
      {"MPI_Scatter",
       [](MPI_Comm c) { MPI_Scatter(a.data(), 999, MPI_INT, b.data(), 999, MPI_INT, 0, c); }},
      {"MPI_Scan", [](MPI_Comm c) { MPI_Scan(a.data(), b.data(), 999, MPI_INT, MPI_SUM, c); }},
      {"MPI_Exscan", [](MPI_Comm c) { MPI_Exscan(a.data(), b.data(), 999, MPI_INT, MPI_SUM, c); }},
      {"MPI_Ialltoall",
       [](MPI_Comm c) {
         MPI_Request r = MPI_REQUEST_NULL;
         MPI_Ialltoall(a.data(), 999, MPI_INT, b.data(), 999, MPI_INT, c, &r);
         MPI_Wait(&r, MPI_STATUS_IGNORE);
       }},
      {"MPI_Comm_dup", [](MPI_Comm c) { MPI_Comm_dup(c, &made), MPI_Comm_free(&made); }},
      {"the first MPI_Barrier",
       [](MPI_Comm c) { MPI_Comm_dup(c, &made), MPI_Barrier(made), MPI_Comm_free(&made); }},
      {"MPI_Comm_split",
       [](MPI_Comm c) { MPI_Comm_split(c, 0, 0, &made), MPI_Comm_disconnect(&made); }}};
}

/// The last rank is in a collective, on any communicator, that the others enter when they have what
/// it takes part in.
void beside_collectives() {
  const int rank = rank_in(MPI_COMM_WORLD), last = size_of(MPI_COMM_WORLD) - 1;
  MPI_Comm two = MPI_COMM_NULL, first = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank == 0 || rank == last ? 0 : 1, -rank, &two);
  MPI_Comm_dup(MPI_COMM_WORLD, &first);
  use_often(first);
  for (const MPI_Comm on : {MPI_COMM_WORLD, first, two})
    for (const auto& [name, act] : collective_acts())
      for (const int n : {3, 100000}) {
        begin(name);
        started all{MPI_COMM_WORLD, n};
        if (rank == last) act(on);
        all.wait("MPI_Iallreduce, pushed along in a collective");
        if (rank != last) act(on);
      }
  MPI_Comm_free(&two);
  MPI_Comm_free(&first);
}

} // namespace

void in_flight() {
  in_any_order();
  on_two_communicators();
  nothing();
  if (size_of(MPI_COMM_WORLD) == 1) return;
  beside_messages();
  beside_collectives();
}

} // namespace check
