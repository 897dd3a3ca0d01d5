// MPI_Bcast, MPI_Allgather, MPI_Allgatherv, MPI_Barrier, with types that differ from rank to rank.
#include "check.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace check {
namespace {

constexpr int untouched = -99;

/// An int in every `stride` of them.
struct spaced {
  explicit spaced(int stride) : stride{stride} {
    MPI_Type_create_resized(MPI_INT, 0, MPI_Aint(sizeof(int)) * stride, &type);
    MPI_Type_commit(&type);
  }
  spaced(const spaced&) = delete;
  spaced& operator=(const spaced&) = delete;
  ~spaced() { MPI_Type_free(&type); }

  std::vector<int> laid_out(const std::vector<int>& values) const {
    std::vector<int> all(values.size() * std::size_t(stride), untouched);
    for (std::size_t k = 0; k < values.size(); ++k) all[k * std::size_t(stride)] = values[k];
    return all;
  }

  int stride;
  MPI_Datatype type = MPI_DATATYPE_NULL;
};

void broadcasts(MPI_Comm comm) {
  const int rank = rank_in(comm), size = size_of(comm);
  const spaced every_third{3};
  for (const int n : {0, 1, 3, 100, 1000, 5000, 200000})
    for (int root = 0; root < size; ++root) {
      const std::string what = std::to_string(n) + " from rank " + std::to_string(root);
      const auto wanted = given<int>(root, n, n);

      auto data = rank == root ? wanted : std::vector<int>(std::size_t(n), untouched);
      MPI_Bcast(data.data(), n, MPI_INT, root, comm);
      that(data == wanted, "MPI_Bcast of " + what);

      // The same ints: in a row, spaced, or as one element. (Open MPI 4.1 alone cuts what is long
      // into numbers of elements, so there one long element meets no row, and one of nothing not
      // nothing.)
      if (n == 0) continue;
      const int way = (rank + root) % (n <= 100 ? 3 : 2);
      if (way == 1) {
        auto apart =
            every_third.laid_out(rank == root ? wanted : std::vector<int>(std::size_t(n), 5));
        MPI_Bcast(apart.data(), n, every_third.type, root, comm);
        that(apart == every_third.laid_out(wanted), "MPI_Bcast, spaced, of " + what);
        continue;
      }
      data = rank == root ? wanted : std::vector<int>(std::size_t(n), untouched);
      if (way == 0) {
        MPI_Bcast(data.data(), n, MPI_INT, root, comm);
      } else {
        MPI_Datatype all = MPI_DATATYPE_NULL;
        MPI_Type_contiguous(n, MPI_INT, &all);
        MPI_Type_commit(&all);
        MPI_Bcast(data.data(), 1, all, root, comm);
        MPI_Type_free(&all);
      }
      that(data == wanted, "MPI_Bcast, in a row, of " + what);
    }
}

/// Names its parts last to first, at addresses of its own.
void broadcast_of_addresses(MPI_Comm comm) {
  const int root = size_of(comm) - 1;
  double x = 0;
  int k[2] = {0, 0};
  if (rank_in(comm) == root) x = 1.5, k[0] = 7, k[1] = 9;
  int lengths[] = {2, 1};
  MPI_Aint at[2];
  MPI_Get_address(k, &at[0]);
  MPI_Get_address(&x, &at[1]);
  MPI_Datatype parts[] = {MPI_INT, MPI_DOUBLE}, both = MPI_DATATYPE_NULL;
  MPI_Type_create_struct(2, lengths, at, parts, &both);
  MPI_Type_commit(&both);
  MPI_Bcast(MPI_BOTTOM, 1, both, root, comm);
  that(x == 1.5 && k[0] == 7 && k[1] == 9, "MPI_Bcast of a struct from MPI_BOTTOM");
  MPI_Type_free(&both);

  struct pair {
    double value;
    int where;
  } p{0, 0};
  if (rank_in(comm) == root) p = {2.5, 3};
  MPI_Bcast(&p, 1, MPI_DOUBLE_INT, root, comm);
  that(p.value == 2.5 && p.where == 3, "MPI_Bcast of MPI_DOUBLE_INT");

  MPI_Datatype nothing = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(0, MPI_INT, &nothing);
  MPI_Type_commit(&nothing);
  MPI_Bcast(&p, 5, nothing, 0, comm);
  that(p.value == 2.5, "MPI_Bcast of elements without bytes");
  MPI_Type_free(&nothing);
}

std::vector<int> everyones(int size, int n) {
  std::vector<int> all;
  for (int r = 0; r < size; ++r) {
    const auto one = given<int>(r, n, r);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

void gathers(MPI_Comm comm) {
  const int rank = rank_in(comm), size = size_of(comm);
  const spaced every_second{2};
  for (const int n : {0, 1, 2, 7, 1000, 60000}) {
    const std::string what = std::to_string(n) + " ints a rank";
    const auto mine = given<int>(rank, n, rank), wanted = everyones(size, n);

    auto got = room_for<int>(n * size), expected = wanted;
    expected.push_back(77);
    MPI_Allgather(mine.data(), n, MPI_INT, got.data(), n, MPI_INT, comm);
    that(got == expected, "MPI_Allgather of " + what);

    got = room_for<int>(n * size);
    std::copy(mine.begin(), mine.end(), got.begin() + rank * n);
    if (rank % 2 == 0)
      MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, got.data(), n, MPI_INT, comm);
    else MPI_Allgather(mine.data(), n, MPI_INT, got.data(), n, MPI_INT, comm);
    that(got == expected, "MPI_Allgather, in place on even ranks, of " + what);

    const auto sent = every_second.laid_out(mine);
    std::vector<int> apart(std::size_t(2 * n * size), untouched);
    if (rank % 2 == 1) {
      got = room_for<int>(n * size);
      MPI_Allgather(sent.data(), n, every_second.type, got.data(), n, MPI_INT, comm);
      that(got == expected, "MPI_Allgather from spaced ints, of " + what);
    } else {
      const auto own = every_second.laid_out(mine);
      std::copy(own.begin(), own.end(), apart.begin() + 2 * rank * n);
      const bool here = rank % 4 == 0;
      MPI_Allgather(here ? MPI_IN_PLACE : mine.data(), n, MPI_INT, apart.data(), n,
                    every_second.type, comm);
      that(apart == every_second.laid_out(wanted), "MPI_Allgather to spaced ints, of " + what);
    }
  }
}

/// Blocks of counts[r] ints, the last rank's first.
void gather_to_places(MPI_Comm comm, const std::vector<int>& counts, int gap, bool here,
                      const std::string& what) {
  const int rank = rank_in(comm), size = size_of(comm);
  std::vector<int> at(counts.size());
  int end = gap;
  for (int r = size - 1; r >= 0; --r) {
    at[std::size_t(r)] = end;
    end += counts[std::size_t(r)] + gap;
  }
  std::vector<int> wanted(std::size_t(end) + 1, untouched), got(wanted);
  for (int r = 0; r < size; ++r) {
    const auto one = given<int>(r, counts[std::size_t(r)], r);
    std::copy(one.begin(), one.end(), wanted.begin() + at[std::size_t(r)]);
  }
  const auto mine = given<int>(rank, counts[std::size_t(rank)], rank);
  if (here) std::copy(mine.begin(), mine.end(), got.begin() + at[std::size_t(rank)]);
  MPI_Allgatherv(here ? MPI_IN_PLACE : mine.data(), int(mine.size()), MPI_INT, got.data(),
                 counts.data(), at.data(), MPI_INT, comm);
  that(got == wanted, "MPI_Allgatherv, " + what);

  const spaced every_second{2}; // and once more where no int is beside another
  const auto there = every_second.laid_out(wanted);
  auto apart = every_second.laid_out(std::vector<int>(wanted.size(), untouched));
  MPI_Allgatherv(mine.data(), int(mine.size()), MPI_INT, apart.data(), counts.data(), at.data(),
                 every_second.type, comm);
  that(apart == there, "MPI_Allgatherv to spaced ints, " + what);
}

void gathers_of_blocks(MPI_Comm comm) {
  const int size = size_of(comm), rank = rank_in(comm);
  for (const int n : {0, 1, 5, 1000, 20000}) {
    std::vector<int> counts(std::size_t(size), n);
    gather_to_places(comm, counts, 0, rank % 2 == 0, "equal blocks of " + std::to_string(n));
    for (int r = 0; r < size; ++r) counts[std::size_t(r)] = n + r;
    gather_to_places(comm, counts, rank, rank % 2 == 1, "growing blocks of " + std::to_string(n));
    std::iota(counts.begin(), counts.end(), 0);
    gather_to_places(comm, counts, 2, false, "rank r gives r");
    counts.assign(std::size_t(size), 0);
    counts.front() = n;
    // (Of one rank's block MPICH 4.0 forgets where it belongs.)
    gather_to_places(comm, counts, size > 1, false, "only rank 0 gives " + std::to_string(n));
  }
}

/// Nobody passes before everybody has come.
void barriers(MPI_Comm comm) {
  const int rank = rank_in(comm), size = size_of(comm);
  for (int turn = 0; turn < 20; ++turn) {
    int token = turn;
    const int last = turn % size;
    if (rank == last)
      for (int r = 0; r < size; ++r)
        if (r != last) MPI_Send(&token, 1, MPI_INT, r, 11, comm);
    MPI_Barrier(comm);
    if (rank == last) continue;
    int here = 0;
    for (int looks = 0; looks < 100000 && !here; ++looks)
      MPI_Iprobe(last, 11, comm, &here, MPI_STATUS_IGNORE);
    that(here != 0, "MPI_Barrier let a rank through before the last had come");
    MPI_Recv(&token, 1, MPI_INT, last, 11, comm, MPI_STATUS_IGNORE);
    that(token == turn, "a message came in another turn");
  }
}

} // namespace

void copies() {
  begin("MPI_Bcast");
  broadcasts(MPI_COMM_WORLD);
  broadcast_of_addresses(MPI_COMM_WORLD);
  begin("MPI_Allgather");
  gathers(MPI_COMM_WORLD);
  begin("MPI_Allgatherv");
  gathers_of_blocks(MPI_COMM_WORLD);
  begin("MPI_Barrier");
  barriers(MPI_COMM_WORLD);
  begin("copies on MPI_COMM_SELF");
  broadcasts(MPI_COMM_SELF);
  gathers(MPI_COMM_SELF);
  gathers_of_blocks(MPI_COMM_SELF);
  barriers(MPI_COMM_SELF);
}

} // namespace check
