// What docs/secure_aggregation.md shows.
#include <tutti/federated/secure/secure_sum.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_documented)

namespace {

/// Client c answers a tenth of c + 1.
struct counting_people {
  int clients() const { return 9; }
  double examples(int) const { return 2; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream) const {
    local.parameters()[0] += .1f * float(client + 1);
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(rounds_over_a_secure_sum) {
  tutti::self world;
  counting_people people;
  std::vector<float> model(1);
  // example-begin rounds
  tutti::strategy strategy{world, tutti::federated{.fraction = 1, .clip = 1}, tutti::secure_sum{.threshold = 5}};
  const tutti::federated_report report = strategy.run(model, people, {.rounds = 1});
  std::printf("%s\n", report.rounds[0].secure.c_str());
  // example-end rounds
  BOOST_CHECK_EQUAL(report.rounds[0].secure,
                    "secure sum of 9 of 9 clients: 51-bit values in 64-bit words, 8 neighbours each, 5 of them to take "
                    "masks away, drop-outs recovered: 0; hides single clients from a server that follows the protocol "
                    "while fewer than 5 neighbours of a client tell what they hold");
  BOOST_CHECK_CLOSE(model[0], .5f, 1e-4);
}

BOOST_AUTO_TEST_CASE(machines_by_hand) {
  // example-begin machines
  using word = std::uint32_t;
  const tutti::secure::session session{{.clients = 4, .values = 3, .word_bits = 32, .threshold = 2}};
  tutti::secure::server<word> server{session};
  tutti::secure::client<word> ada{session, 0}, ben{session, 1}, cleo{session, 2}, dora{session, 3};

  for (auto* client : {&ada, &ben, &cleo, &dora}) server.take_advertised(client->advertise());
  for (auto* client : {&ada, &ben, &cleo, &dora}) {
    const tutti::secure::message keys = server.keys_for(client->id());
    server.take_shared(client->share(keys));
  }
  const std::vector<word> mine{1, 10, 100};
  for (auto* client : {&ada, &ben, &cleo}) { // dora is not heard of again
    const tutti::secure::message shares = server.shares_for(client->id());
    server.take_masked(client->mask(shares, mine));
  }
  for (auto* client : {&ada, &ben, &cleo}) {
    const tutti::secure::message survivors = server.survivors_for(client->id());
    server.take_revealed(client->reveal(survivors));
  }
  const std::span<const word> sum = server.sum(); // 3, 30, 300
  // example-end machines
  BOOST_CHECK((std::vector<word>(sum.begin(), sum.end()) == std::vector<word>{3, 30, 300}));
}

BOOST_AUTO_TEST_CASE(words_that_have_room) {
  // example-begin words
  // Signed values of 24 bits, and 256 clients at most, in words of 32 bits; 257 would not compile.
  const tutti::secure_sum_in<24, 256, std::uint32_t> half_the_bytes{.neighbours = 32, .threshold = 12};
  // example-end words
  BOOST_CHECK_EQUAL(half_the_bytes.wrong({.clip = 1, .cohort = 100}), "");
}

BOOST_AUTO_TEST_SUITE_END()
