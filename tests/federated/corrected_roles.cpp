// SCAFFOLD and FedDyn at a server: the bits of rounds over a population, what clients keep where they are, and clients
// that leave, come back, and come back as they were before.
#include "sync/model.hpp"
#include "training/scratch.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_corrected_roles)

namespace corrected {

/// Thirteen clients that pull towards numbers of their own; one writes nothing, one now and then returns a NaN, and one
/// writes its parameters.
struct pulls {
  int clients() const { return 13; }
  double examples(int client) const { return client + .5; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    if (client == 2) return;
    std::vector<float> gradient(local.parameters().size());
    const auto fill = [&] {
      for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = local.parameters()[i] - float(client) + random.uniform();
    };
    fill();
    local.tell_gradient(gradient);
    if (client == 3) {
      for (float& x : local.parameters()) x += .25f;
      return;
    }
    for (int k = 0; k < 3; ++k) fill(), local.step(gradient);
    if (client == 4 && local.round() % 2 == 0) local.parameters()[0] = std::numeric_limits<float>::quiet_NaN();
  }
};
const tutti::sgd descent{.learning_rate = .05};

template <class Sync, class Reducer>
std::vector<float> alone(const Sync& policy, const Reducer& by, int until) {
  trial::model m{0};
  tutti::self world;
  pulls people;
  tutti::strategy strategy{world, by, policy};
  auto rounds = strategy.rounds(m.parameters(), descent, people, {.seed = 6});
  while (rounds.made() < until) (void)rounds.next();
  return m.flat();
}
/// `folder` of each rank: from it rounds go on, and to it they are saved.
template <class Sync, class Reducer>
std::vector<float> at_a_server(int ranks, const Sync& policy, const Reducer& by, int until,
                               const std::string& from = "", const std::string& to = "") {
  std::vector<float> out;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{0};
    const std::string mine = "/" + std::to_string(world.rank());
    if (world.rank() == 0) {
      tutti::round_server server{world, m.parameters(), policy, by, {.seed = 6, .clients = 13, .population = 13}};
      if (!from.empty() && !server.load(from + mine).empty()) throw std::runtime_error{"numbers differ"};
      while (server.made() < until) (void)server.next();
      if (!to.empty()) server.save(to + mine);
      server.finish();
      out = m.flat();
    } else {
      pulls people;
      std::vector<int> own;
      for (int c = world.rank() - 1; c < 13; c += ranks - 1) own.push_back(c);
      tutti::round_client client{world, m.parameters(), descent};
      if (!from.empty() && !client.load(from + mine).empty()) throw std::runtime_error{"numbers differ"};
      (void)client.serve(people, own);
      if (!to.empty()) client.save(to + mine);
    }
  });
  return out;
}

} // namespace corrected

BOOST_AUTO_TEST_CASE(a_server_has_the_bits_of_rounds_over_a_population_and_goes_on_from_checkpoints) {
  using namespace corrected;
  const scratch here;
  const auto check = [&](const char* name, const auto& policy, const auto& by) {
    const auto wanted = alone(policy, by, 6);
    for (const int ranks : {2, 4})
      BOOST_CHECK_MESSAGE(trial::same_bits(at_a_server(ranks, policy, by, 6), wanted), name << " on " << ranks);
    const std::string folder = here / name;
    (void)at_a_server(3, policy, by, 3, "", folder);
    BOOST_CHECK_MESSAGE(trial::same_bits(at_a_server(3, policy, by, 6, folder), wanted), name << " goes on otherwise");
  };
  const tutti::attendance some{.drop_out = .1};
  const tutti::reproducible_weighted_mean mean;
  check("option II", tutti::scaffold{{.fraction = .6, .attendance = some}}, mean);
  check("option I", tutti::scaffold{{.fraction = .6, .attendance = some}, true}, mean);
  check("duals", tutti::fed_dyn{{.fraction = .6, .proximal = .1, .attendance = some}}, mean);
  check("median", tutti::scaffold{{.fraction = .8}}, tutti::median{});
}

namespace corrected {

/// Two clients of problem Q; what each adds to its gradients, by round.
struct parabolas {
  std::map<std::int64_t, double> added;
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) {
    const double a = 1 + 2 * client, b = 3 * client - 1;
    added[local.round()] = local.correction()[0];
    for (int k = 0; k < 2; ++k) local.step(std::vector<double>{a * (local.parameters()[0] - b)});
  }
};

} // namespace corrected

// c is the mean of what both keep as long as nothing is lost: then what they add is nothing, taken together.
BOOST_AUTO_TEST_CASE(a_client_that_leaves_and_comes_back_loses_nothing_of_its_own_or_others) {
  using namespace corrected;
  const scratch here;
  parabolas people[2];
  std::vector<tutti::round_report> reports;
  std::string error;
  std::vector<double> x(1);
  std::atomic<bool> begun{false};
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::scaffold{{.fraction = 1}}, {.population = 2}};
      int left = 0;
      while (left < 3) {
        reports.push_back(server.next());
        left += std::ranges::count(reports.back().departed, 1) > 0;
      }
      server.finish();
    } else if (world.rank() == 1) {
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, tutti::sgd{.learning_rate = .1}};
      (void)client.serve(people[0], std::vector{0}, [&](std::uint32_t) { return begun = true; });
    } else {
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, tutti::sgd{.learning_rate = .1}};
      const auto serve = [&](int rounds) {
        client.serve(people[1], std::vector{1}, [&](std::uint32_t) { return --rounds > 0; });
      };
      while (!begun) std::this_thread::yield();
      serve(2);
      client.save(here / "before");
      serve(3);
      (void)client.load(here / "before");
      try {
        serve(3);
      } catch (const tutti::error& e) {
        error = e.what();
      }
    }
  });
  int together = 0;
  for (const auto& [round, added] : people[1].added)
    if (const auto other = people[0].added.find(round); other != people[0].added.end()) {
      BOOST_CHECK_SMALL(added + other->second, 1e-12);
      together += round > 1;
    }
  BOOST_CHECK_EQUAL(together, 5);
  BOOST_CHECK_MESSAGE(error.find("client 1 last counted in round ") != std::string::npos &&
                          error.find("load what it has saved together with the server") != std::string::npos,
                      error);
}

BOOST_AUTO_TEST_SUITE_END()
