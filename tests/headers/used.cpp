// What a user's own build sees of the templates: collectives of every kind, strategies and law checkers,
// compiled under the user's warnings. Nothing of it runs.
#include <tutti/tutti.hpp>

#include <tutti/codecs/laws.hpp>
#include <tutti/collectives/priced.hpp>
#include <tutti/collectives/reference.hpp>
#include <tutti/optimizers/laws.hpp>
#include <tutti/reducers/laws.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/topologies/proof.hpp>
#include <tutti/topologies/svg.hpp>

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

namespace {

struct nearest {
  float distance;
  int rank;
};
struct least_distance {
  using part = tutti::reducer_part;
  template <class A> constexpr A identity() const { return {3e38f, 1 << 30}; }
  template <class A> constexpr A combine(A a, A b) const { return a.distance < b.distance ? a : b; }
};

template <class Comm, class T, class... Parts>
void every_form(Comm& comm, std::vector<T>& data, Parts... parts) {
  std::vector<T> out(data.size());
  tutti::all_reduce(comm, data, parts...);
  tutti::all_reduce(comm, data, out, parts...);
  tutti::async_all_reduce(comm, data, parts...).wait();
  tutti::persistent_all_reduce(comm, data, out, parts...).start();
}

template <class Comm> void collectives(Comm& comm) {
  std::vector<float> floats(10), whole(floats.size() * std::size_t(comm.size()));
  every_form(comm, floats);
  every_form(comm, floats, tutti::ring{}, tutti::mean{});
  every_form(comm, floats, tutti::weighted_mean{}, tutti::options{.weight = 2});
  every_form(comm, floats, tutti::median{});
  every_form(comm, floats, tutti::cast<tutti::bfloat16>{});
  tutti::all_reduce(comm, floats, tutti::krum{});
  every_form(comm, floats, tutti::priced{tutti::machine_cost{}});
  std::vector<std::int8_t> small(10);
  std::vector<std::uint16_t> middle(10);
  std::vector<long long> large(10);
  std::vector<tutti::bfloat16> brains(10);
  std::vector<std::complex<double>> waves(10);
  std::vector<nearest> records(10);
  every_form(comm, small, tutti::product{});
  every_form(comm, middle);
  every_form(comm, large, tutti::max{});
  every_form(comm, brains, tutti::mean{});
  every_form(comm, waves, tutti::mean{});
  every_form(comm, records, least_distance{});
  tutti::reduce_scatter(comm, floats, tutti::halving_doubling{});
  tutti::reduce(comm, floats, 0, tutti::binomial_tree{});
  tutti::broadcast(comm, small);
  tutti::all_gather(comm, floats, whole);
  tutti::async_all_gather(comm, floats).wait();
  tutti::gather(comm, floats, whole);
  tutti::scatter(comm, whole, floats);
  tutti::all_to_all(comm, std::vector<float>(whole), whole);
  tutti::barrier(comm);
}

template <class Comm, class... Parts> void trains(Comm& comm, Parts... parts) {
  std::vector<float> values(10), gradients(10);
  const std::vector<tutti::tensor<float>> parameters{{"w", std::span<float>{values}}};
  const std::vector<tutti::tensor<const float>> of_them{{"w", std::span<const float>{gradients}}};
  tutti::strategy strategy{comm, parts...};
  auto trainer = strategy.bind(parameters, tutti::adamw{});
  trainer.step(of_them);
  trainer.step(of_them, 1.0);
  trainer.begin(of_them);
  trainer.ready(0);
  trainer.finish();
  trainer.accumulate(of_them);
  trainer.step();
  trainer.join();
  trainer.freeze("w");
  trainer.serve();
  trainer.finalize();
  trainer.optimizer().learning_rate = trainer.loss_scale() * trainer.gradient_norm();
  (void)(trainer.role() == tutti::role::server ? trainer.steps() : trainer.skipped());
  std::vector<tutti::half> halves(10);
  strategy.bind(halves, tutti::sgd{}, tutti::training_options{.clip = 1}, tutti::options{});
}

struct everyone {
  int clients() const { return 3; }
  double examples(int) const { return 1; }
  template <class Optimizer>
  void train(int, tutti::local_training<float, Optimizer>&, tutti::random_stream) const {}
};

/// A policy of a user's own.
struct late_averages {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  int fragments = 2;
  int delay = 1;
  double keep = 0.5;
  int period(std::int64_t step) const { return step < 100 ? 1 : 8; }
};

} // namespace

void use_all() {
  tutti::threads::run(2, [](auto& world) {
    collectives(world);
    tutti::checked careful{world};
    collectives(careful);
    trains(world);
    trains(world, tutti::sharded{});
    trains(world, tutti::star{}, tutti::asynchronous{});
    trains(world, tutti::local_sgd{}, tutti::weighted_mean{});
    trains(world, tutti::diloco{});
    trains(world, tutti::sharded_diloco{}, tutti::ring{});
    trains(world, late_averages{});
    everyone people;
    std::vector<float> values(10);
    tutti::strategy{world, tutti::federated{}}.run(values, people);
    tutti::strategy averaging{world, tutti::federated{}};
    auto rounds = averaging.rounds(values, tutti::adamw{}, people);
    (void)(rounds.next().round == rounds.made());
  });
  (void)tutti::check_reducer<float>(tutti::mean{});
  (void)tutti::check_reducer<std::int32_t>(tutti::sum{});
  (void)tutti::check_codec<float>(tutti::cast<tutti::half>{});
  (void)tutti::check_optimizer<double>(tutti::sgd{});
  (void)tutti::check_sync_policy(tutti::synchronous{});
  (void)tutti::check_sync_policy(late_averages{});
  (void)tutti::prove(tutti::ring{}, tutti::collective::all_reduce, 0, 3);
  (void)tutti::svg(tutti::collect(tutti::ring{}, tutti::collective::all_reduce, 0, 3), "ring");
}
