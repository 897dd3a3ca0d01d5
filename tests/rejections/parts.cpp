// Parts of a call: what is no part, two parts of one noun, and parts that belong elsewhere.
#include <tutti/collectives/collectives.hpp>
#include <tutti/codecs/cast.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/sync/synchronous.hpp>
#include <tutti/topologies/ring.hpp>

#include <vector>

void all_reduces(tutti::self& comm, std::vector<float>& data) {
  // REJECT no_part: tutti: an argument is not a part .* using part = tutti::reducer_part
  // REJECT two_reducers: tutti: two reducers were given - keep one
  // REJECT two_topologies: tutti: two topologies were given - keep one, or nest them
  // REJECT two_codecs: tutti: two codecs were given - keep one
  // REJECT two_options: tutti: two option bags were given - merge them
  // REJECT sync_in_call: tutti: a collective takes a reducer, .* belong to a tutti::strategy
  // REJECT comm_in_call: tutti: a collective takes a reducer, .* belong to a tutti::strategy
#if defined REJECT_no_part
  tutti::all_reduce(comm, data, 5);
#elif defined REJECT_two_reducers
  tutti::all_reduce(comm, data, tutti::sum{}, tutti::max{});
#elif defined REJECT_two_topologies
  tutti::all_reduce(comm, data, tutti::ring{}, tutti::direct{});
#elif defined REJECT_two_codecs
  tutti::all_reduce(comm, data, tutti::identity{}, tutti::cast<tutti::half>{});
#elif defined REJECT_two_options
  tutti::all_reduce(comm, data, tutti::options{.weight = 2}, tutti::options{});
#elif defined REJECT_sync_in_call
  tutti::all_reduce(comm, data, tutti::synchronous{});
#elif defined REJECT_comm_in_call
  tutti::all_reduce(comm, data, tutti::self{});
#else
  tutti::all_reduce(comm, data, tutti::ring{}, tutti::max{}, tutti::identity{}, tutti::options{});
#endif
}

struct on_devices_alone : tutti::sum {
  static constexpr tutti::execution runs = tutti::execution::device;
};
struct in_kernels_alone : tutti::cast<tutti::half> {
  static constexpr tutti::execution runs = tutti::execution::device;
};

void folds_on_the_host(tutti::self& comm, std::vector<float>& data) {
  // REJECT device_reducer: tutti: this reducer runs in kernels alone, .* say execution::both, or give the data to cuda::reduce
  // REJECT device_codec: tutti: this codec runs in kernels alone, .* give one with execution::both
#if defined REJECT_device_reducer
  tutti::all_reduce(comm, data, on_devices_alone{});
#elif defined REJECT_device_codec
  tutti::all_reduce(comm, data, in_kernels_alone{});
#else
  tutti::all_reduce(comm, data, tutti::sum{}, tutti::cast<tutti::half>{});
#endif
}

void starts(tutti::self& comm, std::vector<float>& data) {
  // REJECT no_part_async: tutti: an argument is not a part
#if defined REJECT_no_part_async
  tutti::async_all_reduce(comm, data, "ring").wait();
#else
  tutti::async_all_reduce(comm, data, tutti::ring{}).wait();
#endif
}

void broadcasts(tutti::self& comm, std::vector<float>& data) {
  // REJECT reducer_in_copy: tutti: a collective that only copies takes .* leave reducers and codecs to
  // REJECT codec_in_copy: tutti: a collective that only copies takes .* leave reducers and codecs to
  // REJECT no_part_in_copy: tutti: an argument is not a part
#if defined REJECT_reducer_in_copy
  tutti::broadcast(comm, data, 0, tutti::sum{});
#elif defined REJECT_codec_in_copy
  tutti::broadcast(comm, data, 0, tutti::cast<tutti::bfloat16>{});
#elif defined REJECT_no_part_in_copy
  tutti::broadcast(comm, data, 0, 1);
#else
  tutti::broadcast(comm, data, 0, tutti::star{}, tutti::options{});
#endif
}

void gathers(tutti::self& comm, std::vector<float>& data) {
  // REJECT reducer_in_all_gather: tutti: a collective that only copies takes
  // REJECT no_part_in_all_gather: tutti: an argument is not a part
#if defined REJECT_reducer_in_all_gather
  tutti::all_gather(comm, data, tutti::sum{});
#elif defined REJECT_no_part_in_all_gather
  tutti::all_gather(comm, data, 1);
#else
  tutti::all_gather(comm, data, tutti::ring{});
#endif
}
