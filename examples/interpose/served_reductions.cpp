// The reductions and barriers that tutti serves. Each call asks first whether all ranks will serve
// this one, by what is the same on all of them, and is MPI's if not.
#include "layouts.hpp"
#include "reductions.hpp"
#include "serving.hpp"

#include <tutti/collectives/collectives.hpp>

#include <algorithm>
#include <span>
#include <vector>

namespace {

using namespace interpose;

void copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memmove(to, from, bytes);
}

/// What a reduce_scatter does: count[r] elements of the reduction to rank r.
int serve_reduce_scatter(twin& on, const reduction& how, const void* from, void* to,
                         const int* count) {
  const int size = on.comm->size(), rank = on.comm->rank();
  std::size_t n = 0, before = 0;
  for (int r = 0; r < size; ++r) {
    if (r == rank) before = n;
    n += std::size_t(count[r]);
  }
  bool as_tutti_cuts = true;
  for (int r = 0; r < size; ++r) {
    const tutti::shard s = tutti::shard_of(n, r, size);
    as_tutti_cuts = as_tutti_cuts && s.end - s.begin == std::size_t(count[r]);
  }
  std::byte* all = on.scratch(n * how.element_bytes);
  copy(all, from == MPI_IN_PLACE ? to : from, n * how.element_bytes);
  const auto what = as_tutti_cuts ? reducing::reduce_scatter : reducing::all_reduce;
  carry_out([&] { return start(what, *on.comm, how, all, n); });
  copy(to, all + before * how.element_bytes, std::size_t(count[rank]) * how.element_bytes);
  return MPI_SUCCESS;
}

} // namespace

extern "C" {

int MPI_Barrier(MPI_Comm users) {
  const auto pass = [&] { return mpi().Barrier(users); };
  if (passes() || refused(users, 0)) return pass();
  twin* on = twin_of(users);
  if (!on) return pass_on(call::barrier, users, pass);
  return serve(call::barrier, users, [&] {
    carry_out([&] { return tutti::async_barrier(*on->comm, forever); });
    return MPI_SUCCESS;
  });
}

int MPI_Allreduce(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm users) {
  const auto pass = [&] { return mpi().Allreduce(from, to, n, type, op, users); };
  if (passes() || refused(users, n)) return pass();
  const auto how = reduction_of(type, op);
  if (how && n > 0 && refused(from, to)) return pass();
  twin* on = how && n > 0 ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::allreduce, users, pass);
  return serve(call::allreduce, users, [&] {
    if (from != MPI_IN_PLACE) copy(to, from, std::size_t(n) * how->element_bytes);
    carry_out([&] { return start(reducing::all_reduce, *on->comm, *how, to, std::size_t(n)); });
    return MPI_SUCCESS;
  });
}

int MPI_Iallreduce(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm users,
                   MPI_Request* request) {
  const auto pass = [&] { return mpi().Iallreduce(from, to, n, type, op, users, request); };
  if (passes() || refused(users, n)) return pass();
  const auto how = reduction_of(type, op);
  if (how && n > 0 && refused(from, to)) return pass();
  twin* on = how && n > 0 ? find_twin(users) : nullptr;
  if (!on) {
    running->calls.passed(call::iallreduce);
    return pass();
  }
  return serve(call::iallreduce, users, [&] {
    if (from != MPI_IN_PLACE) copy(to, from, std::size_t(n) * how->element_bytes);
    return give_request(*on, begin([&] {
      return start(reducing::all_reduce, *on->comm, *how, to, std::size_t(n));
    }),
                        request);
  });
}

int MPI_Reduce(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op, int root,
               MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce(from, to, n, type, op, root, users); };
  if (passes() || refused(users, n)) return pass();
  const auto how = reduction_of(type, op);
  twin* on = how && n > 0 ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::reduce, users, pass);
  const bool roots = on->comm->rank() == root;
  if (root < 0 || root >= on->comm->size() || refused(from, roots ? to : &root)) return pass();
  return serve(call::reduce, users, [&] {
    const std::size_t bytes = std::size_t(n) * how->element_bytes;
    void* data = roots ? to : on->scratch(bytes);
    if (from != MPI_IN_PLACE) copy(data, from, bytes);
    carry_out([&] { return start(reducing::reduce, *on->comm, *how, data, std::size_t(n), root); });
    return MPI_SUCCESS;
  });
}

int MPI_Reduce_scatter(const void* from, void* to, const int* count, MPI_Datatype type, MPI_Op op,
                       MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce_scatter(from, to, count, type, op, users); };
  if (passes() || refused(users, 0)) return pass();
  const auto how = reduction_of(type, op);
  twin* on = how ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::reduce_scatter, users, pass);
  const std::span counts{count, std::size_t(on->comm->size())};
  if (std::ranges::any_of(counts, [](int c) { return c < 0; })) return pass();
  if (std::ranges::all_of(counts, [](int c) { return c == 0; }))
    return pass_on(call::reduce_scatter, users, pass);
  return serve(call::reduce_scatter, users,
               [&] { return serve_reduce_scatter(*on, *how, from, to, count); });
}

int MPI_Reduce_scatter_block(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op,
                             MPI_Comm users) {
  const auto pass = [&] { return mpi().Reduce_scatter_block(from, to, n, type, op, users); };
  if (passes() || refused(users, n)) return pass();
  const auto how = reduction_of(type, op);
  if (how && n > 0 && refused(from, to)) return pass();
  twin* on = how && n > 0 ? twin_of(users) : nullptr;
  if (!on) return pass_on(call::reduce_scatter_block, users, pass);
  return serve(call::reduce_scatter_block, users, [&] {
    const std::vector<int> count(std::size_t(on->comm->size()), n);
    return serve_reduce_scatter(*on, *how, from, to, count.data());
  });
}

} // extern "C"
