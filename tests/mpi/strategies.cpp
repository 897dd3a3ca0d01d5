// The sync policies on MPI processes, with a progress thread where MPI allows one. What every rank has
// to end with, bit for bit, is what the same program ends with on tutti::threads with as many ranks.
#include "mpi/on_mpi.hpp"
#include "sync/model.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using trial::model;

std::string first_difference(const std::vector<float>& got, const std::vector<float>& expected) {
  for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i)
    if (std::memcmp(&got[i], &expected[i], sizeof(float)) != 0)
      return "value " + std::to_string(i) + " is " + std::to_string(got[i]) + ", on threads " +
             std::to_string(expected[i]);
  return "there are " + std::to_string(got.size()) + " values, on threads " +
         std::to_string(expected.size());
}

/// program(world, model) on the ranks of this job, where they share memory and by messages alone.
template <class Program> void as_on_threads(const std::string& name, const Program& program) {
  for (const bool shared : {true, false})
    on_mpi(name + (shared ? ", in shared memory" : ", by messages"),
           [&](auto& world, report& r) {
             const auto expected = trial::on_ranks(world.size(), program);
             const auto& own = expected[std::size_t(world.rank())];
             const model before{float(world.rank())};
             model mine = before;

             program(world, mine);

             const std::vector<float> got = mine.flat();
             r.check(trial::same_bits(got, own), [&] { return first_difference(got, own); });
             r.check(!trial::same_bits(got, before.flat()), "the program has changed nothing");
             for (const auto& other : expected)
               r.check(trial::same_bits(other, own), "on threads the ranks differ");
           },
           {.shared_memory = shared, .progress_thread = may_have_threads()});
}

/// Five steps of adam: from the second on no sum of gradients is exact, so its order shows.
template <class... Parts> auto training(tutti::training_options how, Parts... parts) {
  return [=](auto& world, model& m) {
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = 0.1}, how);
    for (int step = 0; step < 5; ++step) trainer.step(m.gradients(world.rank()));
    trainer.finalize();
  };
}

/// Halves of the parameters in turn, averaged a step late.
struct late_fragments {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  int period = 2;
  int fragments = 2;
  int delay = 1;
  double keep = 0.5;
};

/// Adds gradients up.
struct adding {
  static constexpr std::array<std::string_view, 0> slots{};
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

/// Every worker pushes twenty gradients of ones: whatever the order, each has to count once.
auto counted_pushes(int servers, bool dedicated, int staleness) {
  return [=](auto& world, model& m) {
    const tutti::star placed{.servers = (std::min)(servers, world.size()),
                             .dedicated = dedicated && world.size() > servers};
    const int workers = world.size() - (placed.dedicated ? servers : 0);
    const int pushes = 20;
    for (auto& ones : m.pulls) std::fill(ones.begin(), ones.end(), 1.0f);
    std::vector<tutti::tensor<const float>> gradients;
    for (std::size_t k = 0; k < m.pulls.size(); ++k)
      gradients.push_back({model::name(k), m.pulls[k]});

    tutti::strategy strategy{world, placed, tutti::sum{},
                             tutti::asynchronous{.staleness = staleness}};
    auto trainer = strategy.bind(m.parameters(), adding{});
    if (trainer.role() == tutti::role::server) trainer.serve();
    else
      for (int step = 0; step < pushes; ++step) trainer.step(gradients);
    trainer.finalize();

    for (const float value : m.flat())
      if (value != float(pushes * workers))
        throw std::runtime_error{"a value is " + std::to_string(value) + " after " +
                                 std::to_string(pushes * workers) + " pushes"};
  };
}

/// Each client pulls towards its own number; its weight is that number plus one.
struct crowd {
  int clients() const { return 20; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    const auto from = local.received();
    const auto to = local.parameters();
    for (std::size_t i = 0; i < from.size(); ++i)
      to[i] = from[i] + 0.5f * (float(client) - from[i]) + 0.01f * random.uniform();
  }
};

template <class... Parts> auto averaging(Parts... parts) {
  return [=](auto& world, model& m) {
    crowd people;
    tutti::strategy strategy{world, parts..., tutti::federated{.fraction = 0.3}};
    strategy.run(m.parameters(), people, {.rounds = 5, .seed = 7});
  };
}

} // namespace

BOOST_AUTO_TEST_SUITE(strategies_under_mpi)

BOOST_AUTO_TEST_CASE(synchronous) {
  as_on_threads("default topology", training({}));
  as_on_threads("ring", training({}, tutti::ring{}));
  as_on_threads("halving_doubling", training({}, tutti::halving_doubling{}));
  as_on_threads("recursive_doubling", training({}, tutti::recursive_doubling{}));
  as_on_threads("binomial_tree", training({}, tutti::binomial_tree{}));
  as_on_threads("double_tree", training({}, tutti::double_tree{}));
  as_on_threads("star", training({}, tutti::star{}));
  as_on_threads("median", training({}, tutti::direct{}, tutti::median{}));
  as_on_threads("bfloat16", training({}, tutti::cast<tutti::bfloat16>{}));
  as_on_threads("buckets of 200 bytes", training({.bucket_bytes = 200}, tutti::ring{}));
}

BOOST_AUTO_TEST_CASE(sharded) {
  as_on_threads("default topology", training({}, tutti::sharded{}));
  as_on_threads("ring", training({}, tutti::ring{}, tutti::sharded{}));
  as_on_threads("halving_doubling",
                training({.bucket_bytes = 200}, tutti::halving_doubling{}, tutti::sharded{}));
}

// Five steps: finalize() agrees on the last of them.
BOOST_AUTO_TEST_CASE(replicas_that_train_apart) {
  as_on_threads("local_sgd", training({}, tutti::local_sgd{.period = 2}));
  as_on_threads("diloco", training({}, tutti::diloco{.period = 2}, tutti::ring{}));
  as_on_threads("sharded_diloco", training({}, tutti::sharded_diloco{.period = 2}));
  as_on_threads("late fragments", training({}, late_fragments{}));
}

BOOST_AUTO_TEST_CASE(asynchronous) {
  for (const int staleness : {0, 1, tutti::unbounded})
    for (const int servers : {1, 2})
      for (const bool dedicated : {false, true})
        as_on_threads(std::to_string(servers) + (dedicated ? " dedicated" : "") +
                          " servers, staleness " + std::to_string(staleness),
                      counted_pushes(servers, dedicated, staleness));
}

BOOST_AUTO_TEST_CASE(federated) {
  as_on_threads("default topology", averaging());
  as_on_threads("ring", averaging(tutti::ring{}));
  as_on_threads("star", averaging(tutti::star{}));
}

BOOST_AUTO_TEST_SUITE_END()
