// Whoever answers first, and however clients are numbered: the bits of a round are the same.
#include "federated/rogues.hpp"
#include "sync/model.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <set>
#include <thread>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_arrival)

namespace arrival {

constexpr int people = 8, rounds = 3;

/// What a client moves value i by: of very different sizes.
float move_of(int client, std::size_t i) {
  tutti::random_stream draw{77, std::uint32_t(i), std::uint64_t(client)};
  const int size = int(draw.below(30)) - 15;
  return std::ldexp(draw.uniform() - .5f, size);
}
/// Each under a name: client c is who names[c] says.
struct named_movers {
  std::vector<int> names = {0, 1, 2, 3, 4, 5, 6, 7};
  int clients() const { return people; }
  double examples(int client) const { return names[std::size_t(client)] % 3 + .3; }
  template <class Local>
  void train(int client, Local& local, tutti::random_stream) const {
    std::vector<float> gradient(local.parameters().size());
    for (std::size_t i = 0; i < gradient.size(); ++i)
      gradient[i] = move_of(names[std::size_t(client)], i) + .01f * local.parameters()[i];
    local.step(gradient);
  }
};
const tutti::sgd descent{.learning_rate = .3};
const tutti::federated policy{.fraction = 1, .outer = {.learning_rate = .7, .momentum = .9}};

template <class Reducer, class Sync>
std::vector<float> on_one_rank(const Reducer& reducer, const Sync& sync, named_movers clients = {}) {
  trial::model m{0};
  tutti::self world;
  tutti::strategy strategy{world, reducer, sync};
  auto all = strategy.rounds(m.parameters(), descent, clients);
  while (all.made() < rounds) (void)all.next();
  return m.flat();
}

/// Counts how many heads of messages its rank has begun to listen to: all of its peers' at first, and one more for
/// each message that was taken.
template <class Inner>
class listening : public tutti::decorator<Inner> {
public:
  listening(Inner&& inner, std::atomic<int>& count)
      : tutti::decorator<Inner>{std::forward<Inner>(inner)}, count_{count} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    for (const tutti::incoming& one : round.receives) count_ += one.bytes.size() == sizeof(std::uint64_t);
    return this->inner_.exchange(execution, on, round);
  }

private:
  std::atomic<int>& count_;
};
template <class Inner>
listening(Inner&&, std::atomic<int>&) -> listening<Inner>;

/// In each round ranks answer in this order, each for one of its clients at a time.
using answer_order = std::vector<int>;

/// Client c is at rank 1 + c % 3.
answer_order shuffled(std::uint64_t seed) {
  answer_order order;
  for (int c = 0; c < people; ++c) order.push_back(1 + c % 3);
  tutti::random_stream draw{seed};
  for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[draw.below(std::uint32_t(k))]);
  return order;
}
/// Answers when its rank's turn has come.
struct in_turn : named_movers {
  const std::atomic<int>& heard;
  std::vector<int> turns; ///< when as many were heard
  std::size_t next = 0;

  in_turn(const std::atomic<int>& count, const answer_order& order, int rank) : heard{count} {
    for (int r = 0; r < rounds; ++r)
      for (std::size_t k = 0; k < order.size(); ++k) // behind those who listen at first, and those who enter
        if (order[k] == rank) turns.push_back(6 + r * people + int(k));
  }
  template <class Local>
  void train(int client, Local& local, tutti::random_stream random) {
    named_movers::train(client, local, random);
    for (; heard < turns.at(next); std::this_thread::yield()) continue;
    ++next;
  }
};

template <class Reducer>
std::vector<float> at_a_server(const answer_order& order, const Reducer& reducer) {
  std::vector<float> out;
  std::atomic<int> heard{0};
  tutti::threads::run(4, [&](auto& world) {
    trial::model m{0};
    if (world.rank() == 0) {
      listening counted{world, heard};
      tutti::round_server server{counted, m.parameters(), policy, reducer, {.clients = people}};
      while (server.made() < rounds)
        if (server.next().counted != people) throw std::runtime_error{"somebody does not count"};
      server.finish();
      out = m.flat();
    } else {
      in_turn clients{heard, order, world.rank()};
      std::vector<int> mine;
      for (int c = world.rank() - 1; c < people; c += 3) mine.push_back(c);
      tutti::round_client client{world, m.parameters(), descent};
      client.serve(clients, mine);
    }
  });
  return out;
}

} // namespace arrival

using namespace arrival;

BOOST_AUTO_TEST_CASE(whoever_answers_first_the_bits_of_a_server_are_those_of_one_rank) {
  const auto mean = on_one_rank(tutti::reproducible_weighted_mean{}, policy);
  const auto median = on_one_rank(tutti::median{}, policy);
  std::set<answer_order> orders;
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u}) {
    const answer_order order = shuffled(seed);
    orders.insert(order);
    BOOST_CHECK_MESSAGE(trial::same_bits(at_a_server(order, tutti::reproducible_weighted_mean{}), mean), seed);
    if (seed < 3) BOOST_CHECK_MESSAGE(trial::same_bits(at_a_server(order, tutti::median{}), median), seed);
  }
  BOOST_CHECK_EQUAL(orders.size(), 4u);

  std::set<float> sums; // what plain sums of these would come to
  for (const answer_order& order : orders) {
    float sum = 0;
    std::vector<int> next{0, 0, 1, 2};
    for (const int rank : order) sum += move_of(std::exchange(next[std::size_t(rank)], next[std::size_t(rank)] + 3), 1);
    sums.insert(sum);
  }
  BOOST_CHECK_MESSAGE(sums.size() > 1, "these orders show nothing");
}

BOOST_AUTO_TEST_CASE(under_other_numbers_clients_come_to_the_same_bits) {
  const named_movers others{{5, 2, 7, 0, 1, 6, 3, 4}};
  const auto alike = [&](const auto& reducer, const auto& sync) {
    return trial::same_bits(on_one_rank(reducer, sync), on_one_rank(reducer, sync, others));
  };
  BOOST_CHECK(alike(tutti::reproducible_weighted_mean{}, policy));
  BOOST_CHECK(alike(tutti::reproducible_mean{}, tutti::federated{.fraction = 1, .clip = .1}));
  BOOST_CHECK(alike(tutti::reproducible_mean{}, tutti::scaffold{{.fraction = 1}}));
  BOOST_CHECK(alike(tutti::median{}, policy));
  BOOST_CHECK_MESSAGE(!alike(tutti::weighted_mean{}, policy), "these numbers show nothing");
}

BOOST_AUTO_TEST_SUITE_END()
