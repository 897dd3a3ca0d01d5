// A sum of many, with the drop-outs that there are. As a test a few clients; as many as are asked for with
//   test_secure --run_test=secure_large -- --clients 100 --values 1000000 --neighbours 32 --threshold 12
#include "training/arguments.hpp"

#include <tutti/core/random.hpp>
#include <tutti/federated/secure/server.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_large)

// Three in ten drop out, after they have shared their secrets or in the end.
BOOST_AUTO_TEST_CASE(the_sum_is_exact_with_three_in_ten_dropped) {
  namespace ts = tutti::secure;
  const int clients = std::stoi(argument("--clients", "20"));
  const auto n = std::size_t(std::stoull(argument("--values", "5000")));
  const ts::session in{{.clients = clients,
                        .values = n,
                        .word_bits = 32,
                        .neighbours = std::stoi(argument("--neighbours", "10")),
                        .threshold = std::stoi(argument("--threshold", "2"))}};
  const auto drops = [](int client) { return client % 10 == 1 || client % 10 == 4 || client % 10 == 8; };
  const auto values_of = [&](int client) {
    tutti::random_stream random{5, 1, std::uint64_t(client)};
    std::vector<std::uint32_t> out(n);
    for (std::uint32_t& v : out) v = random() >> 8; // of 24 bits
    return out;
  };

  std::vector<std::unique_ptr<ts::client<std::uint32_t>>> all;
  for (int c = 0; c < clients; ++c) all.push_back(std::make_unique<ts::client<std::uint32_t>>(in, c));
  ts::server<std::uint32_t> server{in};
  for (auto& c : all) server.take_advertised(c->advertise());
  std::vector<ts::message> shared;
  for (auto& c : all) shared.push_back(c->share(server.keys_for(c->id())));
  for (const auto& m : shared) server.take_shared(m);
  std::vector<std::uint32_t> wanted(n);
  for (auto& c : all) {
    if (drops(c->id())) continue;
    const std::vector<std::uint32_t> values = values_of(c->id());
    for (std::size_t i = 0; i < n; ++i) wanted[i] += values[i];
    server.take_masked(c->mask(server.shares_for(c->id()), values));
  }
  int silent = 0;
  for (const int c : server.survivors()) {
    const ts::message list = server.survivors_for(c);
    if (c % 10 != 7) // does not answer any more
      server.take_revealed(all[std::size_t(c)]->reveal(list));
    else
      ++silent;
  }
  const auto sum = server.sum();
  BOOST_CHECK(std::equal(sum.begin(), sum.end(), wanted.begin(), wanted.end()));
  BOOST_CHECK_EQUAL(server.recovered(), std::ranges::count_if(all, [&](auto& c) { return drops(c->id()); }));
  BOOST_CHECK(silent > 0);
}

BOOST_AUTO_TEST_SUITE_END()
