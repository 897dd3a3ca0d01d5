// What a server of rounds holds beside the parameters: of the model a few times, however many clients and ranks answer.
#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <malloc.h>
#include <new>
#include <vector>

namespace {

thread_local std::ptrdiff_t held = 0, most_held = 0; ///< bytes, of what this thread asked for and gave back

void* noted(void* p) noexcept {
  if (p) most_held = std::max(most_held, held += std::ptrdiff_t(malloc_usable_size(p)));
  return p;
}
void released(void* p) noexcept {
  if (p) held -= std::ptrdiff_t(malloc_usable_size(p));
  std::free(p);
}

} // namespace

// Not inlined, or g++ takes new for its own and free for a mistake.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* p = noted(std::malloc(bytes))) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  released(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  released(p);
}

BOOST_AUTO_TEST_SUITE(federated_server_memory)

namespace {

constexpr std::size_t values = 1 << 17;

struct hundred {
  std::vector<float> gradient = std::vector<float>(values, .01f);
  int clients() const { return 100; }
  double examples(int client) const { return client % 4 + 1; }
  void train(int, tutti::local_training<float>& local, tutti::random_stream) const { local.step(gradient); }
};

/// The most that a server of so many clients' ranks holds, in models.
double most_of_a_server(int ranks, double clip) {
  double most = 0;
  tutti::threads::run(ranks + 1, [&](auto& world) {
    std::vector<float> x(values);
    if (world.rank() == 0) {
      const std::ptrdiff_t before = held;
      most_held = held;
      tutti::round_server server{world, x, tutti::federated{.fraction = 1, .clip = clip}, {.clients = 100}};
      for (int k = 0; k < 2; ++k) BOOST_CHECK_EQUAL(server.next().counted, 100);
      server.finish();
      most = double(most_held - before) / double(values * sizeof(float));
    } else {
      hundred people;
      std::vector<int> mine;
      for (int c = world.rank() - 1; c < 100; c += ranks) mine.push_back(c);
      tutti::round_client client{world, x, tutti::sgd{.learning_rate = .3}};
      client.serve(people, mine);
    }
  });
  return most;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_hundred_clients_take_three_models_in_fixed_point_and_seven_in_bins) {
  for (const int ranks : {1, 3}) {
    const double fixed = most_of_a_server(ranks, 1), binned = most_of_a_server(ranks, 0);
    BOOST_CHECK_MESSAGE(fixed > 2.9 && fixed <= 3.2, ranks << " ranks of clients: " << fixed << " models");
    BOOST_CHECK_MESSAGE(binned > 6.9 && binned <= 8, ranks << " ranks of clients: " << binned << " models");
  }
}

BOOST_AUTO_TEST_SUITE_END()
