// Messages of a secure sum: what is wrong with one is named, and the machines' own mistakes as well.
#include "secure/one_sum.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_messages)

namespace {

namespace ts = tutti::secure;
using trial::until;

const ts::settings six{.clients = 6, .values = 2, .word_bits = 32, .neighbours = 4};

template <class F>
void refused(tutti::error_code code, const std::string& why, F&& f) {
  try {
    f();
    BOOST_ERROR("not refused: " << why);
  } catch (const tutti::error& e) {
    BOOST_CHECK_MESSAGE(e.code() == code && std::string{e.what()}.find(why) != std::string::npos,
                        why << " is wanted, but: " << e.what());
  }
}
constexpr auto bad = tutti::error_code::bad_data;
constexpr auto invalid = tutti::error_code::invalid_argument;

std::vector<std::uint32_t> ones(int) { return {1, 1}; }

} // namespace

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_message_is_named) {
  trial::one_sum<std::uint32_t> one{six};
  one.run(ones, [](int) { return until::end; });
  constexpr std::size_t head = ts::detail::head_bytes;
  const auto keys = [&](auto&& change, const std::string& why) {
    ts::message bytes = one.keys[0];
    change(bytes);
    refused(bad, why, [&] { (void)ts::keys_message::decoded(bytes, one.in); });
  };
  keys([](auto& b) { b.resize(head - 1); }, "message 'keys': it ends before its head does");
  keys([](auto& b) { b[0] ^= 1; }, "message 'keys': it is no message of a secure sum");
  keys([](auto& b) { b[4] = 2 ^ 3; }, "message 'keys': it is of another kind");
  keys([](auto& b) { b[7] ^= 1; }, "message 'keys': it is of another session");
  keys([](auto& b) { b[head - 4] = 6; }, "message 'keys': there is no such client: 6");
  keys([](auto& b) { b.resize(head + 3); }, "message 'keys' of client 0: it ends too early");
  keys([](auto& b) { b[head] = 5; }, "message 'keys' of client 0: it tells of more than it holds");
  keys([](auto& b) { b[head + 3] = 0xff; }, "message 'keys' of client 0: it tells of more than it holds");
  keys([](auto& b) { b.push_back(0); }, "message 'keys' of client 0: it goes on behind its end");
  keys([](auto& b) { b[head + 4] = 0; }, "client 0 is no neighbour of client 0");
  keys([](auto& b) { b[head + 4] = 200; }, "client 200 is no neighbour of client 0");
  keys([](auto& b) { std::copy_n(b.begin() + head + 4 + 68, 4, b.begin() + head + 4); },
       "message 'keys' of client 0: its clients are not in ascending order");

  ts::message told = one.revealed[1];
  told[head + 4 + 4] = 2;
  refused(bad, "message 'revealed' of client 1: a share is of a key or of a mask",
          [&] { (void)ts::revealed_message::decoded(told, one.in); });
  told = one.revealed[1];
  std::fill_n(told.begin() + head + 4 + 8, 8, std::uint8_t{0xff});
  refused(bad, "message 'revealed' of client 1: a share is no number of its field",
          [&] { (void)ts::revealed_message::decoded(told, one.in); });
  ts::message values = one.masked[2];
  values.pop_back();
  refused(bad, "message 'masked' of client 2: it ends too early",
          [&] { (void)ts::masked_message::decoded(values, one.in); });
}

BOOST_AUTO_TEST_CASE(messages_of_another_round_are_of_another_session) {
  auto next = six;
  next.round = 1;
  trial::one_sum<std::uint32_t> one{six}, other{next};
  refused(bad, "message 'advertised': it is of another session",
          [&] { other.server.take_advertised(one.clients[0]->advertise()); });
}

BOOST_AUTO_TEST_CASE(mistakes_of_who_runs_the_machines_are_named) {
  trial::one_sum<std::uint32_t> one{six};
  refused(invalid, "client 2 has not come so far", [&] { (void)one.server.keys_for(2); });
  trial::one_sum<std::uint32_t> two{six};
  refused(invalid, "the server was called out of turn", [&] { (void)two.server.shares_for(2); });
  refused(invalid, "the server was called out of turn", [&] { (void)two.server.sum(); });
  two.to_the_masks(ones, [](int c) { return c == 5 ? until::advertised : until::end; });
  refused(bad, "client 5 says what it has said before, or has left something out",
          [&] { two.server.take_masked(std::vector<int>{5}, std::vector<std::uint32_t>{1, 1}); });
  refused(invalid, "a sum of other values than those of the session",
          [&] { two.server.take_masked(std::vector<int>{}, std::vector<std::uint32_t>{1}); });

  trial::one_sum<std::uint32_t> three{six};
  for (auto& c : three.clients) three.server.take_advertised(c->advertise());
  for (auto& c : three.clients) three.server.take_shared(c->share(three.server.keys_for(c->id())));
  const ts::message shares = three.server.shares_for(1);
  refused(invalid, "3 values were given in a session of 2",
          [&] { (void)three.clients[1]->mask(shares, std::vector<std::uint32_t>{1, 2, 3}); });
  ts::masked_sum<std::uint32_t> sum{three.in};
  const ts::message masked = three.clients[2]->mask(three.server.shares_for(2), ones(2));
  BOOST_CHECK_EQUAL(sum.add(masked), 2);
  refused(bad, "the values of client 2 have come before", [&] { sum.add(masked); });
}

// A server that tells a client of shares from a neighbour whose keys it has kept back.
BOOST_AUTO_TEST_CASE(shares_of_a_neighbour_without_keys_are_refused) {
  trial::one_sum<std::uint32_t> one{six};
  for (auto& c : one.clients) one.server.take_advertised(c->advertise());
  auto keys = ts::keys_message::decoded(one.server.keys_for(0), one.in);
  const int kept_back = keys.of.back().neighbour;
  keys.of.pop_back();
  (void)one.clients[0]->share(keys.encoded(one.in));
  ts::delivered_message all{0, {}};
  for (const int v : one.in.graph().of(0)) {
    if (v == kept_back) {
      all.from.push_back({v, {}});
      continue;
    }
    const auto of = ts::shared_message::decoded(one.clients[std::size_t(v)]->share(one.server.keys_for(v)), one.in);
    for (const auto& share : of.to)
      if (share.neighbour == 0) all.from.push_back({v, share.shut});
  }
  refused(bad, "whose keys it was not given", [&] { (void)one.clients[0]->mask(all.encoded(one.in), ones(0)); });
}

BOOST_AUTO_TEST_SUITE_END()
