// Messages that are almost right. A few thousand as a test; more with
//   test_secure --run_test=secure_fuzz -- --seconds 600 [--seed S]
#include "secure/one_sum.hpp"
#include "training/arguments.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_fuzz)

namespace {

namespace ts = tutti::secure;
using word = std::uint32_t;

/// What good messages become.
class message_mill {
public:
  explicit message_mill(std::uint64_t seed) : random_{seed} {}

  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
  ts::message changed(ts::message bytes, const std::vector<ts::message>& others) {
    static constexpr std::uint32_t nasty[] = {0, 1, 2, 5, 7, 8, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000};
    for (std::size_t left = 1 + below(3); left > 0; --left) switch (below(7)) {
      case 0: flip(bytes, 1); break;
      case 1: flip(bytes, 256); break;
      case 2: bytes.resize(below(bytes.size() + 1)); break;
      case 3: bytes.resize(bytes.size() + 1 + below(120), std::uint8_t(below(256))); break;
      case 4: // a number, wherever one could stand
        if (bytes.size() >= 4) {
          const std::size_t at = below(2) ? below(bytes.size() - 3) : (std::min)(bytes.size() - 4, 25 + 4 * below(8));
          const std::uint32_t number = nasty[below(std::size(nasty))];
          for (std::size_t k = 0; k < 4; ++k) bytes[at + k] = std::uint8_t(number >> (8 * k));
        }
        break;
      case 5: // the end of another
      {
        const ts::message& other = others[below(others.size())];
        const std::size_t at = below((std::min)(bytes.size(), other.size()) + 1);
        bytes.resize(at);
        bytes.insert(bytes.end(), other.begin() + std::ptrdiff_t(at), other.end());
        break;
      }
      case 6: // a piece again
        if (!bytes.empty()) {
          const std::size_t at = below(bytes.size()), n = (std::min)(bytes.size() - at, below(64));
          const ts::message piece(bytes.begin() + std::ptrdiff_t(at), bytes.begin() + std::ptrdiff_t(at + n));
          bytes.insert(bytes.begin() + std::ptrdiff_t(at), piece.begin(), piece.end());
        }
      }
    return bytes;
  }

private:
  void flip(ts::message& bytes, std::size_t times) {
    if (bytes.empty()) return;
    for (std::size_t k = 1 + below(times); k > 0; --k) bytes[below(bytes.size())] ^= std::uint8_t(1u << below(8));
  }
  std::mt19937_64 random_;
};

template <class Message>
ts::message read_and_written(const ts::message& bytes, const ts::session& in) {
  return Message::decoded(bytes, in).encoded(in);
}
ts::message masked_again(const ts::message& bytes, const ts::session& in) {
  const auto told = ts::masked_message::decoded(bytes, in);
  ts::message out = ts::masked_message::head(in, told.client);
  std::copy(told.words.begin(), told.words.end(), out.end() - std::ptrdiff_t(told.words.size()));
  return out;
}

} // namespace

// A decoder refuses a message by name, or there is one way alone to write what it has read; a machine takes it or
// throws an error of the protocol, and a server that has refused goes on to the exact sum.
BOOST_AUTO_TEST_CASE(messages_that_are_almost_right_are_refused_or_right) {
  using namespace std::chrono;
  const auto until = steady_clock::now() + seconds{std::stoi(argument("--seconds", "0"))};
  message_mill mill{std::stoull(argument("--seed", "1"))};

  const ts::settings how{.clients = 8, .values = 9, .word_bits = 32, .neighbours = 4, .threshold = 2};
  const auto stops = [](int c) { return c == 6 ? trial::until::shared : trial::until::end; };
  trial::one_sum<word> good{how};
  good.run([](int) { return std::vector<word>(9, 5); }, stops);

  // Each kind with its decoder, and a machine that waits for one.
  trial::one_sum<word> waits{how}; // its machines are as the good ones were
  struct kind {
    std::vector<ts::message> good;
    std::function<ts::message(const ts::message&)> again;
    std::function<void(const ts::message&)> feed;
  };
  std::vector<kind> kinds;
  const auto add = [&](const std::vector<ts::message>& all,
                       ts::message (*again)(const ts::message&, const ts::session&), auto machine, auto step) {
    kinds.push_back({all, [&, again](const ts::message& bytes) { return again(bytes, good.in); },
                     [machine, step](const ts::message& bytes) {
                       auto one = machine; // a copy
                       step(one, bytes);
                     }});
  };
  ts::client<word> client = *waits.clients[0];
  ts::server<word> server = waits.server;
  add(good.advertised, read_and_written<ts::advertised_message>, server,
      [](auto& s, const auto& m) { s.take_advertised(m); });
  (void)client.advertise();
  for (const auto& m : good.advertised) server.take_advertised(m);
  add(good.keys, read_and_written<ts::keys_message>, client, [](auto& c, const auto& m) { (void)c.share(m); });
  (void)client.share(server.keys_for(0));
  add(good.shared, read_and_written<ts::shared_message>, server, [](auto& s, const auto& m) { s.take_shared(m); });
  for (const auto& m : good.shared) server.take_shared(m);
  const std::vector<word> values(9, 5);
  add(good.delivered, read_and_written<ts::delivered_message>, client,
      [values](auto& c, const auto& m) { (void)c.mask(m, values); });
  (void)client.mask(server.shares_for(0), values);
  add(good.masked, masked_again, server, [](auto& s, const auto& m) { s.take_masked(m); });
  for (const auto& m : good.masked) server.take_masked(m);
  add(good.survivors, read_and_written<ts::survivors_message>, client,
      [](auto& c, const auto& m) { (void)c.reveal(m); });
  (void)server.survivors_for(0);
  add(good.revealed, read_and_written<ts::revealed_message>, server,
      [](auto& s, const auto& m) { s.take_revealed(m); });

  std::vector<ts::message> all;
  for (const kind& one : kinds) {
    all.insert(all.end(), one.good.begin(), one.good.end());
    for (const ts::message& m : one.good) BOOST_REQUIRE(one.again(m) == m);
  }
  std::uint64_t messages = 0, read = 0, taken = 0;
  for (int wrong = 0; wrong < 3 && (messages < 4000 || steady_clock::now() < until); ++messages) {
    const kind& one = kinds[mill.below(kinds.size())];
    const ts::message bytes = mill.changed(one.good[mill.below(one.good.size())], all);
    std::string why;
    try {
      if (one.again(bytes) != bytes) why = "it is read as something else";
      ++read;
    } catch (const tutti::error& e) {
      if (e.code() != tutti::error_code::bad_data ||
          std::string{e.what()}.find("secure_sum: bad_data: message '") == std::string::npos)
        why = e.what();
    } catch (const std::exception& e) {
      why = e.what();
    }
    try {
      one.feed(bytes);
      ++taken;
    } catch (const tutti::error& e) {
      if (e.code() != tutti::error_code::bad_data && e.code() != tutti::error_code::peer_lost) why = e.what();
    } catch (const std::exception& e) {
      why = e.what();
    }
    if (!why.empty()) {
      ++wrong;
      std::string hex;
      for (const std::uint8_t byte : bytes) hex += "0123456789abcdef"[byte >> 4], hex += "0123456789abcdef"[byte & 15];
      BOOST_ERROR("message " << messages << ": " << why << ": " << hex);
    }
  }
  BOOST_TEST_MESSAGE(messages << " messages, of which " << read << " could be read and " << taken << " were taken");
  BOOST_CHECK(read > 0 && read < messages && taken > 0 && taken < read + 1);
}

BOOST_AUTO_TEST_SUITE_END()
