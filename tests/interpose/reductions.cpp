// MPI_Allreduce, MPI_Reduce, MPI_Reduce_scatter, MPI_Reduce_scatter_block and MPI_Iallreduce.
#include "check.hpp"

#include <numeric>

namespace check {
namespace {

/// Where the input lies. Ranks need not say the same.
enum class input { beside, in_place, in_place_on_odd_ranks };

bool in_place(input where, int rank) {
  return where == input::in_place || (where == input::in_place_on_odd_ranks && rank % 2 == 1);
}

template <class T> struct reduction {
  MPI_Comm comm;
  MPI_Datatype type;
  operation op;
  int n;
  std::string what;

  int rank = rank_in(comm), size = size_of(comm);

  void all_reduce(input where) const {
    const auto mine = given<T>(rank, n);
    auto sent = mine, got = room_for<T>(n);
    const bool here = in_place(where, rank);
    if (here) std::copy(mine.begin(), mine.end(), got.begin());
    MPI_Allreduce(here ? MPI_IN_PLACE : sent.data(), got.data(), n, type, op.op, comm);
    is_reduced(got, n, op.by, size, "MPI_Allreduce " + what);
    that(sent == mine, "MPI_Allreduce changed what it was given, " + what);
  }

  void i_all_reduce(input where) const {
    auto mine = given<T>(rank, n), got = room_for<T>(n);
    const bool here = in_place(where, rank);
    if (here) std::copy(mine.begin(), mine.end(), got.begin());
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Iallreduce(here ? MPI_IN_PLACE : mine.data(), got.data(), n, type, op.op, comm, &r);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    is_reduced(got, n, op.by, size, "MPI_Iallreduce " + what);
    that(r == MPI_REQUEST_NULL, "MPI_Wait left a request, " + what);
  }

  void reduce(int root, bool here) const {
    auto mine = given<T>(rank, n), got = room_for<T>(n);
    const bool roots = rank == root;
    if (here && roots) std::copy(mine.begin(), mine.end(), got.begin());
    MPI_Reduce(here && roots ? MPI_IN_PLACE : mine.data(), roots ? got.data() : nullptr, n, type,
               op.op, root, comm);
    if (roots) is_reduced(got, n, op.by, size, "MPI_Reduce " + what);
    if (!here) that(mine == given<T>(rank, n), "MPI_Reduce changed what it was given, " + what);
  }

  void scatter(const std::vector<int>& counts, bool here) const {
    const int total = std::accumulate(counts.begin(), counts.end(), 0);
    const int before = std::accumulate(counts.begin(), counts.begin() + rank, 0);
    const int own = counts[std::size_t(rank)];
    const auto mine = given<T>(rank, total);
    auto got = room_for<T>(here ? total : own);
    if (here) std::copy(mine.begin(), mine.end(), got.begin());
    MPI_Reduce_scatter(here ? MPI_IN_PLACE : mine.data(), got.data(), counts.data(), type, op.op,
                       comm);
    is_reduced(got, own, op.by, size, "MPI_Reduce_scatter " + what, before);
  }

  void scatter_blocks(bool here) const {
    const auto mine = given<T>(rank, n * size);
    auto got = room_for<T>(here ? n * size : n);
    if (here) std::copy(mine.begin(), mine.end(), got.begin());
    MPI_Reduce_scatter_block(here ? MPI_IN_PLACE : mine.data(), got.data(), n, type, op.op, comm);
    is_reduced(got, n, op.by, size, "MPI_Reduce_scatter_block " + what, rank * n);
  }

  /// Each call once.
  void some() const {
    all_reduce(input::in_place_on_odd_ranks);
    i_all_reduce(input::beside);
    reduce(size - 1, false);
    scatter_blocks(n % 2 == 0);
    std::vector<int> counts(std::size_t(size), n);
    counts.front() = 2 * n;
    scatter(counts, n % 2 == 1);
  }

  void all() const {
    for (const input where : {input::beside, input::in_place, input::in_place_on_odd_ranks}) {
      all_reduce(where);
      // Open MPI 4.1 alone does long ones in place otherwise than others, on each rank as it is
      // there.
      if (n < 10000 || where != input::in_place_on_odd_ranks) i_all_reduce(where);
    }
    for (int root = 0; root < size; ++root)
      // MPICH 4.0 alone crashes where another rank than 0 has long ones in place.
      reduce(root, (root + n) % 2 == 0 && (root == 0 || n <= 100));
    for (const bool here : {false, true}) {
      scatter_blocks(here);
      std::vector<int> counts(std::size_t(size), n); // as tutti cuts, for one
      scatter(counts, here);
      for (int r = 0; r < size; ++r) counts[std::size_t(r)] = (n + 3 * r) % (n + 1);
      scatter(counts, here);
      counts.assign(std::size_t(size), 0); // all to the last
      counts.back() = n;
      scatter(counts, here && n < 10000); // long ones not, in which MPICH 4.0 alone stops itself
    }
  }
};

template <class T> void of_type(MPI_Comm comm, MPI_Datatype type, const char* name) {
  if (type == MPI_DATATYPE_NULL) return; // Fortran's, without Fortran
  for (const operation& op : operations())
    for (const int n : {1, 3001})
      reduction<T>{comm, type, op, n, std::string{name} + " " + op.name}.some();
}

/// In all ways and lengths.
template <class T> void in_all_ways(MPI_Comm comm, MPI_Datatype type, const char* name) {
  for (const int n : {0, 1, 2, 5, 100, 3001, 150000})
    reduction<T>{comm, type, operations()[0], n, std::string{name} + ", " + std::to_string(n)}
        .all();
}

void of_all_types(MPI_Comm comm) {
  of_type<float>(comm, MPI_FLOAT, "float");
  of_type<double>(comm, MPI_DOUBLE, "double");
  of_type<int>(comm, MPI_INT, "int");
  of_type<long>(comm, MPI_LONG, "long");
  of_type<long long>(comm, MPI_LONG_LONG, "long long");
  of_type<unsigned>(comm, MPI_UNSIGNED, "unsigned");
  of_type<unsigned long>(comm, MPI_UNSIGNED_LONG, "unsigned long");
  of_type<unsigned long long>(comm, MPI_UNSIGNED_LONG_LONG, "unsigned long long");
  of_type<signed char>(comm, MPI_SIGNED_CHAR, "signed char");
  of_type<unsigned char>(comm, MPI_UNSIGNED_CHAR, "unsigned char");
  of_type<std::int8_t>(comm, MPI_INT8_T, "int8_t");
  of_type<std::uint8_t>(comm, MPI_UINT8_T, "uint8_t");
  of_type<std::int32_t>(comm, MPI_INT32_T, "int32_t");
  of_type<std::uint32_t>(comm, MPI_UINT32_T, "uint32_t");
  of_type<std::int64_t>(comm, MPI_INT64_T, "int64_t");
  of_type<std::uint64_t>(comm, MPI_UINT64_T, "uint64_t");
  of_type<MPI_Aint>(comm, MPI_AINT, "MPI_Aint");
  of_type<std::uint64_t>(comm, MPI_OFFSET, "MPI_Offset"); // Open MPI 4.1 compares as unsigned
  of_type<MPI_Count>(comm, MPI_COUNT, "MPI_Count");
  // Passed on.
  of_type<short>(comm, MPI_SHORT, "short");
  of_type<std::uint16_t>(comm, MPI_UINT16_T, "uint16_t");
  of_type<long double>(comm, MPI_LONG_DOUBLE, "long double");
  of_type<int>(comm, MPI_INTEGER, "Fortran's integer");
  of_type<float>(comm, MPI_REAL, "Fortran's real");
  of_type<double>(comm, MPI_DOUBLE_PRECISION, "Fortran's double precision");
}

/// Operations of MPI's that tutti has not.
void other_operations(MPI_Comm comm) {
  const int rank = rank_in(comm), size = size_of(comm);
  const unsigned bit = 1u << rank;
  unsigned bits = 0;
  MPI_Allreduce(&bit, &bits, 1, MPI_UNSIGNED, MPI_BOR, comm);
  that(bits == (1u << size) - 1, "MPI_BOR");

  const int last = rank == size - 1;
  int any = 0, each = 1;
  MPI_Allreduce(&last, &any, 1, MPI_INT, MPI_LOR, comm);
  MPI_Allreduce(&last, &each, 1, MPI_INT, MPI_LAND, comm);
  that(any == 1 && each == (size == 1), "MPI_LOR, MPI_LAND");

  struct {
    double value;
    int where;
  } const mine{rank == size / 2 ? -1.0 : 1.0, rank};
  auto least = mine;
  MPI_Allreduce(&mine, &least, 1, MPI_DOUBLE_INT, MPI_MINLOC, comm);
  that(least.value == -1.0 && least.where == size / 2, "MPI_MINLOC");
}

/// x -> a x + b, composed: the order of the ranks matters.
struct affine {
  long a, b;
};
void compose(void* in, void* inout, int* n, MPI_Datatype*) {
  for (int i = 0; i < *n; ++i) {
    const affine first = static_cast<affine*>(in)[i];
    affine& second = static_cast<affine*>(inout)[i];
    second = {first.a * second.a, first.a * second.b + first.b};
  }
}
void add(void* in, void* inout, int* n, MPI_Datatype*) {
  for (int i = 0; i < *n; ++i) static_cast<int*>(inout)[i] += static_cast<int*>(in)[i];
}

void operations_of_the_program(MPI_Comm comm) {
  const int rank = rank_in(comm), size = size_of(comm);
  MPI_Datatype pair = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(2, MPI_LONG, &pair);
  MPI_Type_commit(&pair);
  MPI_Op composing = MPI_OP_NULL, adding = MPI_OP_NULL;
  MPI_Op_create(compose, 0, &composing);
  MPI_Op_create(add, 1, &adding);

  affine wanted{1, 0};
  for (int r = 0; r < size; ++r) wanted = {wanted.a * (r + 2), wanted.a * (r + 1) + wanted.b};
  const affine mine{rank + 2, rank + 1};
  affine got{0, 0};
  MPI_Allreduce(&mine, &got, 1, pair, composing, comm);
  that(got.a == wanted.a && got.b == wanted.b, "MPI_Allreduce by the program's own operation");
  got = mine;
  MPI_Request r = MPI_REQUEST_NULL;
  MPI_Iallreduce(MPI_IN_PLACE, &got, 1, pair, composing, comm, &r);
  MPI_Wait(&r, MPI_STATUS_IGNORE);
  that(got.a == wanted.a && got.b == wanted.b, "MPI_Iallreduce by the program's own operation");
  MPI_Reduce(&mine, &got, 1, pair, composing, size - 1, comm);
  that(rank != size - 1 || (got.a == wanted.a && got.b == wanted.b),
       "MPI_Reduce by the program's own operation");
  reduction<int>{comm, MPI_INT, {adding, fold::sum, ""}, 100, "by the program's own sum"}.all();

  MPI_Op_free(&composing);
  MPI_Op_free(&adding);
  MPI_Type_free(&pair);
}

} // namespace

void reductions() {
  begin("reductions on MPI_COMM_WORLD");
  in_all_ways<float>(MPI_COMM_WORLD, MPI_FLOAT, "float");
  in_all_ways<short>(MPI_COMM_WORLD, MPI_SHORT, "short"); // passed on
  begin("reductions of all types");
  of_all_types(MPI_COMM_WORLD);
  begin("reductions on a split communicator");
  const int rank = rank_in(MPI_COMM_WORLD);
  MPI_Comm some = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank == 0 ? 0 : 1, -rank, &some);
  use_often(some);
  for (const operation& op : operations())
    reduction<double>{some, MPI_DOUBLE, op, 1000, "on a split communicator"}.all();
  MPI_Comm_free(&some);
  begin("reductions on MPI_COMM_SELF");
  reduction<float>{MPI_COMM_SELF, MPI_FLOAT, operations()[0], 100, "on MPI_COMM_SELF"}.all();
  if (served) { // what only one MPI or the other gets right alone
    const reduction<float> r{MPI_COMM_WORLD, MPI_FLOAT, operations()[0], 150000, "float, long"};
    r.i_all_reduce(input::in_place_on_odd_ranks);
    r.reduce(r.size - 1, true);
    std::vector<int> counts(std::size_t(r.size), 0);
    counts.back() = r.n;
    r.scatter(counts, true);
  }
  begin("other operations");
  other_operations(MPI_COMM_WORLD);
  begin("the program's own operations");
  operations_of_the_program(MPI_COMM_WORLD);
}

} // namespace check
