// The calls of MPI-4 that count in MPI_Count: other names of those that count in int, which ranks
// may use at the same time. What int does not hold is longer than what is served.
#include "layouts.hpp"
#include "serving.hpp"

#include <climits>
#include <initializer_list>
#include <vector>

#if MPI_VERSION >= 4

namespace {

using namespace interpose;

bool fit(std::initializer_list<MPI_Count> all) {
  for (const MPI_Count n : all)
    if (n < INT_MIN || n > INT_MAX) return false;
  return true;
}

/// A number for each rank of a communicator, in int.
template <class Wide> class narrowed {
public:
  narrowed(const Wide* wide, MPI_Comm users) {
    int size = 0;
    if (users == MPI_COMM_NULL || !wide) return;
    int between_groups = 0;
    PMPI_Comm_test_inter(users, &between_groups);
    if (between_groups) PMPI_Comm_remote_size(users, &size);
    else PMPI_Comm_size(users, &size);
    for (int r = 0; r < size; ++r) {
      fits_ = fits_ && fit({wide[r]});
      all_.push_back(int(wide[r]));
    }
  }
  bool fits() const { return fits_ && !all_.empty(); }
  const int* data() const { return all_.data(); }

private:
  bool fits_ = true;
  std::vector<int> all_;
};

template <class Call, class Pass>
int either(bool fits, call which, MPI_Comm users, Call&& call, Pass&& pass) {
  return fits ? call() : users == MPI_COMM_NULL ? pass() : pass_on(which, users, pass);
}

} // namespace

extern "C" {

int MPI_Allreduce_c(const void* from, void* to, MPI_Count n, MPI_Datatype type, MPI_Op op,
                    MPI_Comm users) {
  const auto pass = [&] { return mpi().Allreduce_c(from, to, n, type, op, users); };
  if (passes()) return pass();
  return either(
      fit({n}), call::allreduce, users,
      [&] { return MPI_Allreduce(from, to, int(n), type, op, users); }, pass);
}

int MPI_Iallreduce_c(const void* from, void* to, MPI_Count n, MPI_Datatype type, MPI_Op op,
                     MPI_Comm users, MPI_Request* request) {
  if (passes() || !fit({n})) return mpi().Iallreduce_c(from, to, n, type, op, users, request);
  return MPI_Iallreduce(from, to, int(n), type, op, users, request);
}

int MPI_Reduce_c(const void* from, void* to, MPI_Count n, MPI_Datatype type, MPI_Op op, int root,
                 MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce_c(from, to, n, type, op, root, users); };
  if (passes()) return pass();
  return either(
      fit({n}), call::reduce, users,
      [&] { return MPI_Reduce(from, to, int(n), type, op, root, users); }, pass);
}

int MPI_Bcast_c(void* data, MPI_Count n, MPI_Datatype type, int root, MPI_Comm users) {
  const auto pass = [&] { return mpi().Bcast_c(data, n, type, root, users); };
  if (passes()) return pass();
  return either(
      fit({n}), call::bcast, users, [&] { return MPI_Bcast(data, int(n), type, root, users); },
      pass);
}

int MPI_Allgather_c(const void* from, MPI_Count n, MPI_Datatype type, void* to, MPI_Count m,
                    MPI_Datatype as, MPI_Comm users) {
  const auto pass = [&] { return mpi().Allgather_c(from, n, type, to, m, as, users); };
  if (passes()) return pass();
  const bool in_place = from == MPI_IN_PLACE; // then n says nothing
  return either(
      fit({m, in_place ? 0 : n}), call::allgather, users,
      [&] { return MPI_Allgather(from, in_place ? 0 : int(n), type, to, int(m), as, users); },
      pass);
}

int MPI_Allgatherv_c(const void* from, MPI_Count n, MPI_Datatype type, void* to,
                     const MPI_Count* counts, const MPI_Aint* at, MPI_Datatype as, MPI_Comm users) {
  const auto pass = [&] { return mpi().Allgatherv_c(from, n, type, to, counts, at, as, users); };
  if (passes()) return pass();
  const bool in_place = from == MPI_IN_PLACE;
  const narrowed<MPI_Count> all{counts, users};
  const narrowed<MPI_Aint> places{at, users};
  return either(
      all.fits() && places.fits() && fit({in_place ? 0 : n}), call::allgatherv, users,
      [&] {
        return MPI_Allgatherv(from, in_place ? 0 : int(n), type, to, all.data(), places.data(), as,
                              users);
      },
      pass);
}

int MPI_Reduce_scatter_c(const void* from, void* to, const MPI_Count* counts, MPI_Datatype type,
                         MPI_Op op, MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce_scatter_c(from, to, counts, type, op, users); };
  if (passes()) return pass();
  const narrowed<MPI_Count> all{counts, users};
  return either(
      all.fits(), call::reduce_scatter, users,
      [&] { return MPI_Reduce_scatter(from, to, all.data(), type, op, users); }, pass);
}

int MPI_Reduce_scatter_block_c(const void* from, void* to, MPI_Count n, MPI_Datatype type,
                               MPI_Op op, MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce_scatter_block_c(from, to, n, type, op, users); };
  if (passes()) return pass();
  return either(
      fit({n}), call::reduce_scatter_block, users,
      [&] { return MPI_Reduce_scatter_block(from, to, int(n), type, op, users); }, pass);
}

} // extern "C"

#endif
