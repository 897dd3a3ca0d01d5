// One rank of `parameter_server`, of two: a push of 1 MiB and the answer, with a step of SGD between them, by the
// carrier, by a trainer, and by MPI alone; and a step with a server on each rank beside reduce-scatter, the same update
// and all-gather. Prints "SIDE BYTES MICROSECONDS" lines.
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <vector>

namespace {

constexpr std::size_t n = std::size_t{1} << 18, bytes = n * sizeof(float);
constexpr int warm_up = 20, times = 201;
const tutti::sgd descends{.learning_rate = .01};

/// Microseconds of one step: the median of many.
template <class Step>
double time_of(Step&& step) {
  using clock = std::chrono::steady_clock;
  std::vector<double> all;
  for (int k = 0; k < warm_up + times; ++k) {
    const auto begin = clock::now();
    step();
    if (k >= warm_up) all.push_back(std::chrono::duration<double, std::micro>(clock::now() - begin).count());
  }
  std::nth_element(all.begin(), all.begin() + times / 2, all.end());
  return all[times / 2];
}

/// Parameters and the state of SGD.
struct model {
  std::vector<float> values = std::vector<float>(n, .5f), velocity = std::vector<float>(n);
  std::int64_t steps = 0;

  void update(std::size_t begin, std::span<const float> gradients) {
    tutti::update<float>(descends, ++steps, std::span{values}.subspan(begin, gradients.size()), gradients,
                         {std::span{velocity}.subspan(begin, gradients.size())});
  }
};
struct applies {
  model& to;
  void operator()(tutti::place where, std::span<const float> gradients) const { to.update(where.begin, gradients); }
};

double by_messages(int rank) {
  model m;
  std::vector<float> gradients(n, .25f);
  if (rank == 0) {
    for (int k = 0; k < warm_up + times; ++k) {
      MPI_Recv(gradients.data(), int(n), MPI_FLOAT, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      m.update(0, gradients);
      MPI_Send(m.values.data(), int(n), MPI_FLOAT, 1, 0, MPI_COMM_WORLD);
    }
    return 0;
  }
  return time_of([&] {
    MPI_Send(gradients.data(), int(n), MPI_FLOAT, 0, 0, MPI_COMM_WORLD);
    MPI_Recv(m.values.data(), int(n), MPI_FLOAT, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  });
}

/// A server on rank 0 for a worker on rank 1, or one on each rank for both; steps end together.
template <class Comm>
double by_carrier(Comm& world, const tutti::star& servers) {
  auto& comm = tutti::detail::stationary(world);
  using body = std::remove_reference_t<decltype(comm)>;
  const tutti::mean reducer{};
  const tutti::identity codec{};
  tutti::serving<float, body, tutti::star, tutti::mean, tutti::identity> carrier{
      {comm, servers, reducer, codec, {}}, n, tutti::detail::closing_answer{tutti::backup_workers{.spare = 0}}};
  model m;
  applies use{m};
  carrier.attach(m.values, use);
  const double weight[] = {1};
  double us = 0;
  if (carrier.role() == tutti::role::server)
    carrier.serve();
  else
    us = time_of([&] { // of what the last answer has left in the room
      carrier.offer(0, weight);
      carrier.settle(0);
    });
  carrier.finish();
  return us;
}

template <class Comm>
double by_trainer(Comm& world) {
  std::vector<float> values(n, .5f), gradients(n, .25f);
  tutti::strategy strategy{world, tutti::star{.servers = 1, .dedicated = true}, tutti::asynchronous{}};
  auto trainer = strategy.bind(values, descends);
  double us = 0;
  if (trainer.role() == tutti::role::server)
    trainer.serve();
  else
    us = time_of([&] { trainer.step(gradients); });
  trainer.finalize();
  return us;
}

template <class Comm>
double by_collectives(Comm& world) {
  model m;
  std::vector<float> gradients(n, .25f);
  const auto own = tutti::shard_of(n, world.rank(), world.size());
  return time_of([&] {
    const auto mine = tutti::reduce_scatter(world, gradients, tutti::mean{}, tutti::ring{});
    m.update(own.begin, mine);
    tutti::all_gather(world, m.values, tutti::ring{});
  });
}

} // namespace

int main(int argc, char** argv) {
  return tutti::mpi::run(argc, argv, [](auto& world) {
    const auto tell = [&](const char* side, double us) {
      if (world.rank() == 1) std::printf("%s %zu %.3f\n", side, bytes, us);
      tutti::barrier(world);
    };
    tell("messages", by_messages(world.rank()));
    tell("carrier", by_carrier(world, {.servers = 1, .dedicated = true}));
    tell("trainer", by_trainer(world));
    tell("collectives", by_collectives(world));
    tell("two_servers", by_carrier(world, {.servers = 2}));
  });
}
