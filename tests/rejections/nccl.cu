// NCCL: what its own operators cannot do, and what schedules over it cannot.
#include <tutti/communicators/self.hpp>
#include <tutti/cuda/nccl.hpp>
#include <tutti/cuda/nccl_all_reduce.cuh>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/ring.hpp>

namespace cuda = tutti::cuda;

struct sum_times { // its state would have to be in the operator
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  float factor = 1;

  template <class A>
  TUTTI_HD A identity() const {
    return A{0};
  }
  template <class A>
  TUTTI_HD A combine(A a, A b) const {
    return a + b;
  }
  template <class T>
  TUTTI_HD T lower(T all, double) const {
    return all * factor;
  }
};
struct own_sum : tutti::sum {};
struct host_sum : tutti::sum {
  static constexpr tutti::execution runs = tutti::execution::host;
};
void reduces(cuda::nccl_communicator<tutti::self>& comm, const cuda::stream& on, cuda::device_span<float> data,
             cuda::device_span<short> short_data) {
  // REJECT reducer_with_state: tutti::cuda::native: this reducer has state, and operators of NCCL have none - give a
  // REJECT own_reducer: tutti::cuda::native: NCCL has no operator for this reducer, but for sum, product, min, max and
  // REJECT unknown_elements: tutti::cuda::native: NCCL does not know these elements - give a topology
  // REJECT host_reducer: tutti::cuda::reduce: this reducer runs on the host alone - mark its functions TUTTI_HD
  // REJECT agreeing_reducer: tutti::cuda::all_reduce: this reducer looks at all values, or at where they stand
#if defined REJECT_reducer_with_state
  cuda::all_reduce(comm, on, data, sum_times{2}, cuda::native{});
#elif defined REJECT_own_reducer
  cuda::all_reduce(comm, on, data, own_sum{}, cuda::native{});
#elif defined REJECT_unknown_elements
  cuda::all_reduce(comm, on, short_data, tutti::sum{}, cuda::native{});
#elif defined REJECT_host_reducer
  cuda::all_reduce(comm, on, data, host_sum{}, tutti::ring{});
#elif defined REJECT_agreeing_reducer
  cuda::all_reduce(comm, on, data, tutti::krum{}, tutti::direct{});
#else
  cuda::all_reduce(comm, on, data, sum_times{2}, tutti::ring{});
#endif
}
