// A secure sum as a whole: exact whoever drops out and when, or refused by a sentence, and what is known afterwards.
#include "secure/one_sum.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_protocol)

namespace {

using trial::until;
using words = std::vector<std::uint32_t>;

words values_of(int client, std::size_t n = 5) {
  words out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = std::uint32_t(client * 1'000'003 + int(i) * 7'919) - 500'000u;
  return out;
}
/// The values of five as a client contributes them.
const auto plain_values = [](int client) { return values_of(client); };

words sum_of(const std::vector<int>& clients, std::size_t n = 5) {
  words out(n);
  for (const int c : clients)
    for (std::size_t i = 0; i < n; ++i) out[i] += values_of(c, n)[i];
  return out;
}
bool names(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

/// The error of f, or nothing.
template <class F>
std::string refusal(tutti::error_code code, F&& f) {
  try {
    f();
    return "nothing";
  } catch (const tutti::error& e) {
    BOOST_CHECK_MESSAGE(e.code() == code, e.what());
    return e.what();
  }
}
constexpr auto lost = tutti::error_code::peer_lost;
constexpr auto bad = tutti::error_code::bad_data;
constexpr auto invalid = tutti::error_code::invalid_argument;

const tutti::secure::settings seven{.clients = 7, .values = 5, .word_bits = 32};

} // namespace

BOOST_AUTO_TEST_CASE(the_sum_is_exact_and_nothing_that_travels_is_a_value) {
  for (const int neighbours : {0, 4, 6}) {
    auto how = seven;
    how.neighbours = neighbours;
    trial::one_sum<std::uint32_t> one{how};
    const auto sum = one.run(plain_values, [](int) { return until::end; });
    BOOST_CHECK(std::ranges::equal(sum, sum_of({0, 1, 2, 3, 4, 5, 6})));
    for (int c = 0; c < 7; ++c) {
      const auto told = tutti::secure::masked_message::decoded(one.masked[std::size_t(c)], one.in);
      words y(5);
      std::memcpy(y.data(), told.words.data(), 20);
      for (std::size_t i = 0; i < 5; ++i) BOOST_CHECK(y[i] != values_of(c)[i]);
    }
  }
}

// Every one of four stages, one client in each; with blocks of masks that are full and one that is not.
BOOST_AUTO_TEST_CASE(a_drop_out_at_every_stage_is_recovered) {
  constexpr std::size_t n = 2048 + 3;
  const until stops[] = {until::end,  until::nothing, until::end,    until::shared, until::end, until::advertised,
                         until::masked, until::end,   until::end,    until::shared, until::end, until::end};
  for (const int neighbours : {0, 10}) {
    trial::one_sum<std::uint32_t> one{
        {.clients = 12, .values = n, .word_bits = 32, .neighbours = neighbours, .threshold = 3}};
    const auto sum = one.run([&](int c) { return values_of(c, n); }, [&](int c) { return stops[c]; });
    BOOST_CHECK(std::ranges::equal(sum, sum_of({0, 2, 4, 6, 7, 8, 10, 11}, n)));
    BOOST_CHECK_EQUAL(one.server.recovered(), 2);
    BOOST_CHECK((one.server.survivors() == std::vector<int>{0, 2, 4, 6, 7, 8, 10, 11}));
  }
}

// Four clients, two of three neighbours needed, every way of stopping: there is a sum, of all whose values have come,
// where three say what they hold; of no client both secrets are told, whether there is a sum or not.
BOOST_AUTO_TEST_CASE(whoever_drops_out_and_when_the_sum_is_exact_or_refused) {
  constexpr until ways[] = {until::advertised, until::shared, until::masked, until::end};
  for (int pattern = 0; pattern < 256; ++pattern) {
    const auto stops = [&](int c) { return ways[pattern >> (2 * c) & 3]; };
    int answer = 0;
    std::vector<int> come;
    for (int c = 0; c < 4; ++c) {
      answer += stops(c) == until::end;
      if (stops(c) >= until::masked) come.push_back(c);
    }
    if (come.empty()) continue;
    trial::one_sum<std::uint32_t> one{{.clients = 4, .values = 5, .word_bits = 32, .threshold = 2}};
    try {
      const auto sum = one.run(plain_values, stops);
      BOOST_REQUIRE_MESSAGE(answer >= 3 && std::ranges::equal(sum, sum_of(come)), pattern);
    } catch (const tutti::error& e) {
      BOOST_REQUIRE_MESSAGE(answer < 3 && e.code() == lost, pattern << ": " << e.what());
    }
    std::set<int> told[2];
    for (const auto& bytes : one.revealed)
      for (const auto& share : tutti::secure::revealed_message::decoded(bytes, one.in).of)
        told[share.dropped].insert(share.neighbour);
    for (const int c : told[0]) BOOST_REQUIRE_MESSAGE(!told[1].contains(c), pattern << ": both of client " << c);
  }
}

BOOST_AUTO_TEST_CASE(words_of_64_bits_wrap_around_like_those_of_32) {
  trial::one_sum<std::uint64_t> one{{.clients = 5, .values = 1027, .word_bits = 64}};
  const auto values = [](int c) { return std::vector<std::uint64_t>(1027, std::uint64_t{0} - std::uint64_t(c) * 5); };
  const auto sum = one.run(values, [](int c) { return c == 2 ? until::shared : until::end; });
  BOOST_CHECK(std::ranges::all_of(sum, [](std::uint64_t w) { return w == std::uint64_t{0} - 40; }));
}

BOOST_AUTO_TEST_CASE(fewer_than_the_threshold_are_refused_by_name_at_every_stage) {
  const auto refused = [](until those, int left, const std::string& why) { // of seven, four of six neighbours needed
    trial::one_sum<std::uint32_t> one{seven};
    const std::string told = refusal(
        lost, [&] { one.run(plain_values, [&](int c) { return c < left ? until::end : those; }); });
    BOOST_CHECK_MESSAGE(names(told, why), told);
  };
  refused(until::nothing, 4, "3 neighbours of client 0 are left, and 4 are needed");
  refused(until::advertised, 4, "3 neighbours of client 0 are left, and 4 are needed");
  refused(until::shared, 4, "3 neighbours of client 0 are left, and 4 are needed");
  refused(until::masked, 3, "2 neighbours of client 0 are left, and 4 are needed"); // who say what they hold
  trial::one_sum<std::uint32_t> nobody{seven};
  nobody.to_the_masks(plain_values, [](int) { return until::shared; });
  (void)nobody.server.shares_for(0);
  BOOST_CHECK(names(refusal(lost, [&] { (void)nobody.server.survivors_for(0); }), "the values of nobody have come"));
  trial::one_sum<std::uint32_t> enough{seven};
  const auto sum = enough.run(plain_values, [](int c) { return c < 5 ? until::end : until::shared; });
  BOOST_CHECK(std::ranges::equal(sum, sum_of({0, 1, 2, 3, 4})));
}

// On a ring of four neighbours each the middle is taken out.
BOOST_AUTO_TEST_CASE(survivors_that_fall_apart_are_refused) {
  const tutti::secure::settings how{.clients = 14, .values = 5, .word_bits = 32, .neighbours = 4, .threshold = 2};
  trial::one_sum<std::uint32_t> one{how};
  // The order of the circle: from 0, each time a neighbour of the last that is near to the one before.
  std::vector<int> circle{0};
  const auto near = [&](int a, int b) {
    int common = 0;
    for (const int v : one.in.graph().of(a)) common += one.in.graph().neighbours(v, b);
    return common;
  };
  while (circle.size() < 14)
    for (const int v : one.in.graph().of(circle.back()))
      if (std::ranges::find(circle, v) == circle.end() && near(v, circle.back()) == 2) {
        circle.push_back(v);
        break;
      }
  std::set<int> gone; // two wide, in two places: what is left between them is not connected
  for (const std::size_t at : {3u, 4u, 10u, 11u}) gone.insert(circle[at]);
  const std::string told = refusal(lost, [&] {
    one.run(plain_values, [&](int c) { return gone.contains(c) ? until::nothing : until::end; });
  });
  BOOST_CHECK_MESSAGE(names(told, "those who are left fall apart: the sum over 5 of 10 could be told by itself"), told);
}

// Everything that the server has read, which is no more than messages hold.
BOOST_AUTO_TEST_CASE(no_transcript_holds_shares_of_both_secrets_of_a_client) {
  const until stops[] = {until::end, until::shared, until::end, until::masked, until::end, until::end, until::end,
                         until::shared, until::end};
  trial::one_sum<std::uint32_t> one{{.clients = 9, .values = 5, .word_bits = 32, .threshold = 3}};
  one.run(plain_values, [&](int c) { return stops[c]; });
  std::set<int> of_keys, of_masks;
  for (const auto& bytes : one.revealed)
    for (const auto& share : tutti::secure::revealed_message::decoded(bytes, one.in).of)
      (share.dropped ? of_keys : of_masks).insert(share.neighbour);
  BOOST_CHECK((of_keys == std::set<int>{1, 7}));
  BOOST_CHECK((of_masks == std::set<int>{0, 2, 3, 4, 5, 6, 8}));
}

BOOST_AUTO_TEST_CASE(clients_refuse_lists_of_survivors_that_do_not_fit) {
  const auto told = [](const std::vector<int>& came, const std::vector<int>& dropped, tutti::error_code code) {
    trial::one_sum<std::uint32_t> one{seven}; // client 6 drops out after it has shared, client 5 before
    one.to_the_masks(plain_values, [](int c) {
      return c == 6 ? until::shared : c == 5 ? until::advertised : until::end;
    });
    const auto list = tutti::secure::survivors_message{0, came, dropped}.encoded(one.in);
    const std::string first = refusal(code, [&] { (void)one.clients[0]->reveal(list); });
    if (first != "nothing")
      BOOST_CHECK(names(refusal(invalid, [&] {
                          (void)one.clients[0]->reveal(
                              tutti::secure::survivors_message{0, {1, 2, 3, 4}, {6}}.encoded(one.in));
                        }),
                        "has refused to go on"));
    return first;
  };
  BOOST_CHECK_EQUAL(told({1, 2, 3, 4}, {6}, bad), "nothing");
  BOOST_CHECK(names(told({1, 2, 3, 4, 6}, {6}, bad), "client 6 has come and has dropped out"));
  BOOST_CHECK(names(told({1, 2, 3, 4}, {}, bad), "client 6 has neither come nor dropped out"));
  BOOST_CHECK(names(told({1, 2, 3, 4, 5}, {6}, bad), "whose shares it does not hold"));
  BOOST_CHECK(names(told({1, 2, 3, 4}, {5, 6}, bad), "whose shares it does not hold"));
  BOOST_CHECK(names(told({1, 2, 3}, {4, 6}, lost), "3 neighbours of client 0 have come to the end, and 4 are needed"));
  BOOST_CHECK(names(told({0, 1, 2, 3, 4}, {6}, bad), "client 0 is no neighbour of client 0"));
}

BOOST_AUTO_TEST_CASE(a_client_answers_once) {
  trial::one_sum<std::uint32_t> one{seven};
  one.run(plain_values, [](int) { return until::end; });
  BOOST_CHECK(names(refusal(invalid, [&] { (void)one.clients[3]->reveal(one.survivors[3]); }), "called out of turn"));
  BOOST_CHECK(names(refusal(invalid, [&] { (void)one.clients[3]->advertise(); }), "called out of turn"));
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_masked(one.masked[0]); }), "comes out of turn"));
}

BOOST_AUTO_TEST_CASE(what_comes_twice_or_was_changed_is_refused_and_changes_nothing) {
  trial::one_sum<std::uint32_t> one{seven};
  const auto all = [](int) { return until::end; };
  one.to_the_masks(plain_values, all);
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_masked(one.masked[2]); }), "client 2 says what it has said"));
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_advertised(one.advertised[2]); }), "comes out of turn"));
  for (int c = 0; c < 7; ++c) one.survivors.push_back(one.server.survivors_for(c));
  const auto answer = one.clients[0]->reveal(one.survivors[0]);
  auto changed = tutti::secure::revealed_message::decoded(answer, one.in);
  changed.of[1].dropped = true;
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_revealed(changed.encoded(one.in)); }), "was not asked for"));
  changed.of[1].dropped = false;
  changed.of.pop_back();
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_revealed(changed.encoded(one.in)); }), "tells less than it"));
  BOOST_CHECK(names(refusal(lost, [&] { (void)one.server.sum(); }), "0 neighbours of client 0 are left"));
  one.server.take_revealed(answer);
  BOOST_CHECK(names(refusal(bad, [&] { one.server.take_revealed(answer); }), "has answered before"));
  for (std::size_t c = 1; c < 7; ++c) one.server.take_revealed(one.clients[c]->reveal(one.survivors[c]));
  BOOST_CHECK(std::ranges::equal(one.server.sum(), sum_of({0, 1, 2, 3, 4, 5, 6})));
}

// With shares to spare they do not fit each other; with none the secret is not the one that was promised.
BOOST_AUTO_TEST_CASE(a_wrong_share_is_found_even_where_there_are_none_to_spare) {
  for (const int answers : {7, 5}) // of those four others
    for (const bool dropped : {false, true}) {
      trial::one_sum<std::uint32_t> one{seven};
      one.to_the_masks(plain_values, [&](int c) { return dropped && c == 6 ? until::shared : until::end; });
      for (int c = 0; c < answers - (dropped && answers == 7); ++c) {
        auto told = tutti::secure::revealed_message::decoded(
            one.clients[std::size_t(c)]->reveal(one.server.survivors_for(c)), one.in);
        if (c == 0) told.of[5].numbers[2] += tutti::secure::mersenne_61{1}; // of client 6
        one.server.take_revealed(told.encoded(one.in));
      }
      const std::string why = refusal(bad, [&] { (void)one.server.sum(); });
      BOOST_CHECK_MESSAGE(names(why, "the shares of client 6 do not make its secret"), why);
    }
}

BOOST_AUTO_TEST_CASE(sealed_shares_that_were_changed_or_given_to_another_are_refused) {
  trial::one_sum<std::uint32_t> one{seven};
  for (auto& c : one.clients) one.server.take_advertised(c->advertise());
  std::vector<tutti::secure::message> keys;
  for (auto& c : one.clients) keys.push_back(one.server.keys_for(c->id()));
  for (auto& c : one.clients) one.server.take_shared(c->share(keys[std::size_t(c->id())]));
  auto told = tutti::secure::delivered_message::decoded(one.server.shares_for(1), one.in);
  const auto other = tutti::secure::delivered_message::decoded(one.server.shares_for(2), one.in);
  auto changed = told;
  changed.from[3].shut[7] ^= 1;
  BOOST_CHECK(names(refusal(bad, [&] { (void)one.clients[1]->mask(changed.encoded(one.in), values_of(1)); }),
                    "the shares of client 4 for client 1 were changed on their way"));
  changed = other;
  changed.from[0].shut = told.from[0].shut; // client 0's for client 1
  BOOST_CHECK(names(refusal(bad, [&] { (void)one.clients[2]->mask(changed.encoded(one.in), values_of(2)); }),
                    "the shares of client 0 for client 2 were changed on their way"));
  BOOST_CHECK(names(refusal(bad, [&] { (void)one.clients[3]->mask(told.encoded(one.in), values_of(3)); }),
                    "client 3 is given a message for client 1"));
}

BOOST_AUTO_TEST_CASE(a_key_of_low_order_is_refused) {
  trial::one_sum<std::uint32_t> one{seven};
  for (auto& c : one.clients) one.server.take_advertised(c->advertise());
  auto keys = tutti::secure::keys_message::decoded(one.server.keys_for(0), one.in);
  keys.of[2].keys.sealing = {};
  BOOST_CHECK(names(refusal(bad, [&] { (void)one.clients[0]->share(keys.encoded(one.in)); }), "of low order"));
}

BOOST_AUTO_TEST_CASE(settings_that_cannot_work_are_refused) {
  const auto refused = [](tutti::secure::settings how, const char* why) {
    const std::string told = refusal(invalid, [&] { tutti::secure::session{how}; });
    BOOST_CHECK_MESSAGE(names(told, why), told);
  };
  refused({.clients = 2, .values = 1}, "a secure sum of 2 clients hides nobody");
  refused({.clients = 5, .values = 1, .word_bits = 16}, "have 32 or 64 bits");
  refused({.clients = 9, .values = 1, .neighbours = 3}, "an even number");
  refused({.clients = 9, .values = 1, .neighbours = -2}, "an even number");
  refused({.clients = 9, .values = 1, .neighbours = 4, .threshold = 5}, "5 of 4 neighbours");
  refused({.clients = 9, .values = 1, .threshold = 1}, "1 of 8 neighbours");
  refused({.clients = 9, .values = 1, .threshold = -1}, "-1 of 8 neighbours");
  const tutti::secure::session in{seven};
  BOOST_CHECK(names(refusal(invalid, [&] { tutti::secure::client<std::uint64_t>{in, 0}; }), "other bits"));
  BOOST_CHECK(names(refusal(invalid, [&] { tutti::secure::server<std::uint64_t>{in}; }), "other bits"));
  BOOST_CHECK(names(refusal(invalid, [&] { tutti::secure::client<std::uint32_t>{in, 7}; }), "not in this session"));
}

// Bernstein's vectors for the key 0 and the nonce 0; any one bit of 256 changes all.
BOOST_AUTO_TEST_CASE(masks_are_the_keystream_of_chacha20_under_256_bits) {
  tutti::secure::key zero;
  std::vector<std::uint32_t> stream(2100);
  const tutti::secure::mask once[] = {{zero, false}};
  tutti::secure::add_masks<std::uint32_t>(once, stream);
  BOOST_CHECK_EQUAL(stream[0], 0xade0b876u); // 76 b8 e0 ad a0 f1 3d 90 ...
  BOOST_CHECK_EQUAL(stream[1], 0x903df1a0u);
  BOOST_CHECK_EQUAL(stream[16], 0xbee7079fu); // the second block: 9f 07 e7 be ...
  for (std::size_t bit = 0; bit < 256; ++bit) {
    tutti::secure::key other;
    other.bytes[bit / 8] = static_cast<std::uint8_t>(1 << (bit % 8));
    std::vector<std::uint32_t> changed(4);
    const tutti::secure::mask masks[] = {{other, false}};
    tutti::secure::add_masks<std::uint32_t>(masks, changed);
    BOOST_CHECK(!std::equal(changed.begin(), changed.end(), stream.begin()));
  }
  std::vector<std::uint32_t> begun(stream.begin(), stream.begin() + 100); // no value depends on how many there are
  const tutti::secure::mask back[] = {{zero, true}};
  tutti::secure::add_masks<std::uint32_t>(back, begun);
  tutti::secure::add_masks<std::uint32_t>(back, stream);
  BOOST_CHECK(std::ranges::all_of(begun, [](auto w) { return w == 0; }));
  BOOST_CHECK(std::ranges::all_of(stream, [](auto w) { return w == 0; }));
}

BOOST_AUTO_TEST_CASE(keys_are_other_keys_under_another_name_and_in_another_session) {
  const tutti::secure::key_pair a = tutti::secure::pair_of(trial::seed_of(1));
  const tutti::secure::key_pair b = tutti::secure::pair_of(trial::seed_of(2));
  const std::array<std::uint8_t, 2> in{1, 2}, other{1, 3};
  const auto key = tutti::secure::agreed_key(a, b.open, "one", in);
  BOOST_CHECK(key == tutti::secure::agreed_key(b, a.open, "one", in));
  BOOST_CHECK(!(key == tutti::secure::agreed_key(a, b.open, "two", in)));
  BOOST_CHECK(!(key == tutti::secure::agreed_key(a, b.open, "one", other)));
  tutti::secure::settings next = seven;
  next.round = 1;
  const tutti::secure::session first{seven}, second{next};
  BOOST_CHECK(!std::ranges::equal(first.name(), second.name()));
  BOOST_CHECK(!(tutti::secure::drawn_key() == tutti::secure::drawn_key()));
  tutti::secure::client<std::uint32_t> once{first, 3}, again{first, 3}; // neither seeded by what is known of a client
  BOOST_CHECK(once.advertise() != again.advertise());
}

// RFC 7748, 5.2: 9 times the point 9, the first of the iterated test.
BOOST_AUTO_TEST_CASE(key_agreement_is_x25519) {
  tutti::secure::key nine;
  nine.bytes[0] = 9;
  const std::uint8_t wanted[] = {0x42, 0x2c, 0x8e, 0x7a, 0x62, 0x27, 0xd7, 0xbc};
  BOOST_CHECK(std::equal(std::begin(wanted), std::end(wanted), tutti::secure::pair_of(nine).open.begin()));
}

BOOST_AUTO_TEST_SUITE_END()
