// A server and clients on ranks of their own under MPI: the bits of rounds on one rank, and a rank that departs.
#include "mpi/on_mpi.hpp"

#include <tutti/communicators/self.hpp>
#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/tutti.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace {

struct noisy_people {
  int clients() const { return 9; }
  double examples(int client) const { return client + .7; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    std::vector<float> gradient(local.parameters().size());
    for (float& g : gradient) g = random.uniform() - .1f * float(client);
    local.step(gradient);
  }
};
const tutti::federated policy{.fraction = .7, .outer = {.learning_rate = .9, .momentum = .5}};
const tutti::sgd descent{.learning_rate = .3};

template <class Sync>
void check_bits_of_one_rank(const Sync& how) {
  std::vector<float> wanted(3000);
  tutti::self alone;
  noisy_people all;
  tutti::strategy strategy{alone, tutti::reproducible_weighted_mean{}, how};
  auto rounds = strategy.rounds(wanted, descent, all, {.seed = 2});
  while (rounds.made() < 4) (void)rounds.next();
  const auto body = [&](auto& comm, report& r) {
    if (comm.size() < 2) return;
    std::vector<float> x(3000);
    if (comm.rank() == 0) {
      tutti::round_server server{comm, x, how, {.seed = 2, .clients = 9, .population = 9}};
      while (server.made() < 4) (void)server.next();
      r.check(std::memcmp(x.data(), wanted.data(), x.size() * sizeof(float)) == 0, [] { return "other bits"; });
      server.finish();
    } else {
      noisy_people people;
      std::vector<int> mine;
      for (int c = 0; c < 9; ++c)
        if (c % (comm.size() - 1) == comm.rank() - 1) mine.push_back(c);
      tutti::round_client client{comm, x, descent};
      const int trained = client.serve(people, mine);
      r.check(trained > 0, [] { return "nobody trained"; });
    }
  };
  on_mpi("in shared memory", body);
  on_mpi("by messages", body, {.shared_memory = false});
}

} // namespace

BOOST_AUTO_TEST_SUITE(federated_roles)

BOOST_AUTO_TEST_CASE(synchronous_rounds_have_the_bits_of_one_rank) {
  check_bits_of_one_rank(policy);
  check_bits_of_one_rank(tutti::scaffold{{.fraction = .7}});
}

BOOST_AUTO_TEST_CASE(rounds_over_a_population_have_the_bits_of_one_rank) {
  for (const double clip : {0.0, .5}) {
    auto clipped = policy;
    clipped.clip = clip;
    const auto twenty = [&](auto& comm) {
      std::vector<float> x(1000);
      noisy_people people;
      tutti::strategy{comm, tutti::reproducible_weighted_mean{}, clipped}.run(x, people, {.rounds = 20, .seed = 2});
      return x;
    };
    tutti::self alone;
    const std::vector<float> wanted = twenty(alone);
    on_mpi("twenty rounds", [&](auto& comm, report& r) {
      const std::vector<float> x = twenty(comm);
      r.check(std::memcmp(x.data(), wanted.data(), x.size() * sizeof(float)) == 0, [] { return "other bits"; });
    });
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_departs_is_a_fact_of_the_report) {
  on_mpi("departing", [&](auto& comm, report& r) {
    if (comm.size() < 3) return;
    std::vector<float> x(10);
    if (comm.rank() == 0) {
      tutti::round_server server{comm, x, tutti::federated{}, {.buffer = 2}};
      std::vector<int> departed;
      while (departed.empty()) departed = server.next().departed;
      r.check(departed == std::vector{1}, [] { return "not client 1"; });
      server.finish();
    } else {
      noisy_people people;
      tutti::round_client client{comm, x, descent};
      int rounds = 0;
      client.serve(people, std::vector{comm.rank()}, [&](std::uint32_t) { return comm.rank() > 1 || ++rounds < 2; });
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
