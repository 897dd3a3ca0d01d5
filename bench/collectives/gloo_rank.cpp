// The same under Gloo: two processes over TCP on the loopback device. See timing.hpp.
//
//   bench_collectives_gloo COLLECTIVE FOLDER RANK SIZE     FOLDER is where the processes meet
#include "timing.hpp"

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace {

void reduce(const std::shared_ptr<gloo::Context>& all, float* data, std::size_t n, bool largest) {
  gloo::AllreduceOptions options(all);
  options.setOutput(data, n);
  using sum_type = void (*)(void*, const void*, const void*, std::size_t);
  options.setReduceFunction(largest ? sum_type(&gloo::max<float>) : sum_type(&gloo::sum<float>));
  gloo::allreduce(options);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("bench_collectives_gloo COLLECTIVE FOLDER RANK SIZE\n", stderr);
    return 2;
  }
  const std::string_view what = argv[1];
  const int rank = std::atoi(argv[3]), size = std::atoi(argv[4]);
  gloo::rendezvous::FileStore store{argv[2]};
  auto device = gloo::transport::tcp::CreateDevice("127.0.0.1");
  auto all = std::make_shared<gloo::rendezvous::Context>(rank, size);
  all->connectFullMesh(store, device);

  for (const std::size_t bytes : timing::sizes()) {
    const std::size_t n = bytes / sizeof(float);
    std::vector<float> data(n), part(n / std::size_t(size));
    const auto call = [&] {
      if (what == "all_reduce") reduce(all, data.data(), n, false);
      if (what == "all_gather") {
        gloo::AllgatherOptions options(all);
        options.setInput(part.data(), part.size());
        options.setOutput(data.data(), n);
        gloo::allgather(options);
      }
      if (what == "broadcast") {
        gloo::BroadcastOptions options(all);
        options.setOutput(data.data(), n);
        options.setRoot(0);
        gloo::broadcast(options);
      }
    };
    const double us = timing::microseconds(
        data.data(), n,
        [&] {
          gloo::BarrierOptions options(all);
          gloo::barrier(options);
        },
        [&](std::vector<double>& times) {
          std::vector<float> values(times.begin(), times.end());
          reduce(all, values.data(), values.size(), true);
          times.assign(values.begin(), values.end());
        },
        call);
    if (rank == 0) std::printf("gloo %zu %.4f\n", bytes, us);
  }
}
