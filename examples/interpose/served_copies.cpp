// The copies that tutti serves, as bytes. Each call asks first whether all ranks will serve this
// one, by what is the same on all of them, and is MPI's if not: the datatypes are each rank's own,
// what they hold is not.
#include "layouts.hpp"
#include "reductions.hpp"
#include "serving.hpp"

#include <tutti/collectives/collectives.hpp>

#include <algorithm>
#include <climits>
#include <span>

namespace {

using namespace interpose;

/// What can be served in one call: MPI packs and unpacks no more.
bool is_served(std::size_t bytes) {
  return bytes > 0 && bytes <= INT_MAX;
}

/// Blocks of the same length, each rank's at its place in `all`, to every rank.
void gather_blocks(twin& on, std::byte* all, std::size_t bytes) {
  carry_out([&] { return tutti::async_all_gather(*on.comm, std::span{all, bytes}, forever); });
}

/// The blocks of an MPI_Allgatherv. They travel as blocks of one length, that of the longest.
struct blocks {
  void* to;
  std::span<const int> counts;
  const int* at;
  MPI_Datatype type;

  std::size_t bytes(int rank) const {
    return std::size_t(counts[std::size_t(rank)]) * size_of(type);
  }
  std::size_t longest() const {
    return std::size_t(*std::max_element(counts.begin(), counts.end())) * size_of(type);
  }
  std::size_t padded() const { return longest() * counts.size(); }
  std::size_t total() const {
    std::size_t n = 0;
    for (const int c : counts) n += std::size_t(c);
    return n * size_of(type);
  }
  std::byte* place(int rank) const { return interpose::place(to, at[rank], type); }
};

int serve_blocks(twin& on, const blocks& all, const void* from, int n, MPI_Datatype type) {
  const int rank = on.comm->rank();
  const std::size_t longest = all.longest();
  std::byte* const rows = on.scratch(all.padded());
  std::byte* const mine = rows + std::size_t(rank) * longest;
  int code = from == MPI_IN_PLACE
                 ? pack(all.place(rank), all.counts[std::size_t(rank)], all.type, mine, on.users)
                 : pack(from, n, type, mine, on.users);
  if (code != MPI_SUCCESS) return code;
  gather_blocks(on, rows, all.padded());
  for (int r = 0; r < on.comm->size() && code == MPI_SUCCESS; ++r)
    code = unpack(rows + std::size_t(r) * longest, all.place(r), all.counts[std::size_t(r)],
                  all.type, on.users);
  return code;
}

} // namespace

extern "C" {

int MPI_Bcast(void* data, int n, MPI_Datatype type, int root, MPI_Comm users) {
  const auto pass = [&] { return mpi().Bcast(data, n, type, root, users); };
  if (passes() || refused(users, n) || type == MPI_DATATYPE_NULL) return pass();
  const std::size_t bytes = std::size_t(n) * size_of(type);
  twin* on = is_served(bytes) ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::bcast, users, pass);
  if (root < 0 || root >= on->comm->size()) return pass();
  if (const int code = answer_to(type, users); code != MPI_SUCCESS) return code;
  return serve(call::bcast, users, [&] {
    const bool as_it_is = lies_in_a_row(type), roots = on->comm->rank() == root;
    std::byte* row = as_it_is ? static_cast<std::byte*>(data) : on->scratch(bytes);
    int code = MPI_SUCCESS;
    if (!as_it_is && roots) code = pack(data, n, type, row, users);
    if (code != MPI_SUCCESS) return code;
    carry_out([&] {
      return tutti::async_broadcast(*on->comm, std::span{row, bytes}, root, forever);
    });
    return as_it_is || roots ? MPI_SUCCESS : unpack(row, data, n, type, users);
  });
}

int MPI_Allgather(const void* from, int n, MPI_Datatype type, void* to, int m, MPI_Datatype as,
                  MPI_Comm users) {
  const auto pass = [&] { return mpi().Allgather(from, n, type, to, m, as, users); };
  const bool in_place = from == MPI_IN_PLACE;
  if (passes() || refused(users, m) || as == MPI_DATATYPE_NULL) return pass();
  if (!in_place && (n < 0 || type == MPI_DATATYPE_NULL)) return pass();
  const std::size_t block = std::size_t(m) * size_of(as);
  int size = 0;
  PMPI_Comm_size(users, &size);
  const std::size_t bytes = block * std::size_t(size);
  twin* on = is_served(bytes) ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::allgather, users, pass);
  if (!in_place && std::size_t(n) * size_of(type) != block) return pass(); // MPI says what is wrong
  for (const MPI_Datatype t : {in_place ? as : type, as})
    if (const int code = answer_to(t, users); code != MPI_SUCCESS) return code;
  return serve(call::allgather, users, [&] {
    const std::ptrdiff_t rank = on->comm->rank();
    const bool as_it_is = lies_in_a_row(as);
    std::byte* const all = as_it_is ? static_cast<std::byte*>(to) : on->scratch(bytes);
    std::byte* const mine = all + std::size_t(rank) * block;
    int code = MPI_SUCCESS;
    if (!in_place) code = pack(from, n, type, mine, users);
    else if (!as_it_is) code = pack(place(to, rank * m, as), m, as, mine, users);
    if (code != MPI_SUCCESS) return code;
    gather_blocks(*on, all, bytes);
    return as_it_is ? MPI_SUCCESS : unpack(all, to, m * size, as, users);
  });
}

int MPI_Allgatherv(const void* from, int n, MPI_Datatype type, void* to, const int* counts,
                   const int* at, MPI_Datatype as, MPI_Comm users) {
  const auto pass = [&] { return mpi().Allgatherv(from, n, type, to, counts, at, as, users); };
  const bool in_place = from == MPI_IN_PLACE;
  if (passes() || refused(users, 0) || as == MPI_DATATYPE_NULL) return pass();
  if (!in_place && (n < 0 || type == MPI_DATATYPE_NULL)) return pass();
  twin* on = twin_of(users);
  if (!on) return pass_on(call::allgatherv, users, pass);
  const blocks all{to, {counts, std::size_t(on->comm->size())}, at, as};
  if (std::ranges::any_of(all.counts, [](int c) { return c < 0; })) return pass();
  if (!is_served(all.padded()) || all.padded() > 2 * all.total())
    return pass_on(call::allgatherv, users, pass);
  if (!in_place && std::size_t(n) * size_of(type) != all.bytes(on->comm->rank())) return pass();
  for (const MPI_Datatype t : {in_place ? as : type, as})
    if (const int code = answer_to(t, users); code != MPI_SUCCESS) return code;
  return serve(call::allgatherv, users, [&] { return serve_blocks(*on, all, from, n, type); });
}

} // extern "C"
