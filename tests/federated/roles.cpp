// A server and clients on ranks of their own: bits of rounds over a population, FedBuff by hand, who comes and goes,
// and messages that are none.
#include "federated/round_message_decoder.hpp"
#include "sync/model.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/reducers/reproducible_sum.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_roles)

namespace {

using tutti::absence;

/// Nineteen clients in noisy steps; one returns a NaN, one writes nothing, one holds nothing.
struct unlike_people {
  int clients() const { return 19; }
  double examples(int client) const { return client == 11 ? 0 : client % 4 + .3; }
  tutti::trained train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    if (client == 7) return {};
    std::vector<float> gradient(local.parameters().size());
    for (int k = 0; k < local.epochs(); ++k) {
      for (float& g : gradient) g = std::ldexp(random.uniform() - .5f, int(random.below(20)) - 10);
      local.step(gradient);
    }
    if (client == 5) local.parameters()[1] = std::numeric_limits<float>::quiet_NaN();
    return {.examples = examples(client) / 2, .metrics = {{"loss", double(random.uniform())}}};
  }
};
const tutti::federated policy{.fraction = .6,
                              .epochs = 2,
                              .outer = {.learning_rate = .7, .momentum = .9},
                              .proximal = .1,
                              .attendance = {.drop_out = .1}};
const tutti::sgd descent{.learning_rate = .3};

std::string told(const tutti::round_report& r) {
  std::string all = std::to_string(r.clients) + " " + std::to_string(r.counted) + r.skipped;
  for (const auto& one : r.left_out) all += " " + std::to_string(one.client) + "/" + std::to_string(int(one.why));
  for (const auto& mean : r.metrics) all += mean.name + std::to_string(std::bit_cast<std::uint64_t>(mean.value));
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(synchronous_rounds_have_the_bits_of_rounds_over_a_population) {
  std::vector<float> wanted;
  std::vector<std::string> reports;
  {
    tutti::self world;
    trial::model m{0};
    unlike_people people;
    tutti::strategy strategy{world, tutti::reproducible_weighted_mean{}, policy};
    auto rounds = strategy.rounds(m.parameters(), descent, people, {.seed = 4});
    while (rounds.made() < 5) reports.push_back(told(rounds.next()));
    wanted = m.flat();
  }
  for (const int ranks : {2, 3, 5}) {
    std::vector<float> got;
    std::vector<std::string> said;
    std::atomic<int> asked{0};
    tutti::threads::run(ranks, [&](auto& world) {
      trial::model m{0};
      if (world.rank() == 0) {
        tutti::round_server server{world, m.parameters(), policy, {.seed = 4, .clients = 19}};
        while (server.made() < 5) said.push_back(told(server.next()));
        server.finish();
        got = m.flat();
      } else {
        unlike_people people;
        std::vector<int> mine;
        for (int c = 0; c < 19; ++c)
          if (c % (ranks - 1) == world.rank() - 1) mine.push_back(c);
        tutti::round_client client{world, m.parameters(), descent};
        asked += client.serve(people, mine);
      }
    });
    BOOST_CHECK_MESSAGE(trial::same_bits(got, wanted), ranks << " ranks");
    BOOST_CHECK_MESSAGE(said == reports, ranks << " ranks: " << trial::joined(said) << trial::joined(reports));
    BOOST_CHECK_GT(asked, 30);
  }
}

namespace {

/// Moves the one value there is down by client / 10, in a step.
struct movers {
  int clients() const { return 9; }
  double examples(int) const { return 3; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    local.step(std::vector<double>{client / 10.});
  }
};
const tutti::sgd whole{.learning_rate = 1};

/// A rank that answers what it likes: sends bytes, takes the work that it is sent.
template <class Comm>
struct rogue {
  tutti::detail::rank_mail<Comm> mail;
  explicit rogue(Comm& comm) : mail{comm, {}, std::size_t{1} << 22} { mail.listen(0); }

  void enter(std::vector<tutti::detail::entered_client> all) {
    std::vector<std::byte> message;
    tutti::detail::encode_enter(message, all);
    mail.send(0, message);
  }
  void depart() {
    std::vector<std::byte> message;
    tutti::detail::message_writer{message, tutti::detail::round_message::depart};
    mail.send(0, message);
  }
  /// Waits for the server's next word; empty when it is over.
  tutti::detail::round_work work() {
    tutti::detail::round_work out;
    bool came = false;
    std::vector<double> model(1);
    mail.wait(
        "test",
        [&](int, std::span<const std::byte> bytes) {
          came = true;
          if (auto one = tutti::detail::decode_work<double>(bytes, model)) out = *one;
        },
        [&] { return came; }, [] { return 0; });
    return out;
  }
  void answer(const tutti::detail::round_work& work, double difference, std::size_t cut = 0, int client = -1) {
    std::vector<std::byte> message;
    const double values[] = {difference};
    tutti::detail::encode_update<double>(message, {work.round, client < 0 ? work.clients[0] : client, {}}, values);
    message.resize(message.size() - cut);
    mail.send(0, message);
  }
  void leave() {
    depart();
    while (!work().clients.empty()) continue;
    mail.wait("test", [](int, std::span<const std::byte>) {}, [&] { return mail.has_told(0); }, [] { return 0; });
  }
};

} // namespace

// Three answers of .1 of a client that is always ready make three steps; then one of .6 comes that was asked before
// them: it counts half. The paper's buffer of two: (.2 + .6 / 2) / 2 = .25 by the same rule.
BOOST_AUTO_TEST_CASE(a_buffer_takes_whoever_is_ready_and_scales_by_staleness) {
  std::atomic<int> made{0};
  std::vector<double> x(1);
  tutti::round_report last;
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, {.buffer = 1, .clients = 2}};
      for (int k = 0; k < 3; ++k) {
        (void)server.next();
        BOOST_CHECK_SMALL(x[0] + .1 * (k + 1), 1e-12);
        made = k + 1;
      }
      last = server.next();
      server.finish();
    } else if (world.rank() == 1) {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      int rounds = 0;
      client.serve(people, std::vector{1}, [&](std::uint32_t) { return ++rounds < 3; });
    } else {
      rogue other{world};
      other.enter({{6, 1}, {7, 1}});
      const auto work = other.work();
      while (made < 3) std::this_thread::yield();
      other.answer(work, .6);
      other.leave();
    }
  });
  BOOST_CHECK_SMALL(x[0] + .6, 1e-12);
  BOOST_CHECK_EQUAL(last.counted, 1);

  x[0] = 0;
  tutti::threads::run(2, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{}, {.buffer = 4, .staleness = 0, .clients = 3}};
      const auto report = server.next();
      BOOST_CHECK(report.clients == 4 && report.counted == 4 && report.metrics.empty());
      server.finish();
    } else {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      client.serve(people, std::vector{2, 4, 6});
    }
  });
  BOOST_CHECK_SMALL(x[0] + (.2 + .4 + .6 + .2) / 4, 1e-12); // its clients take turns
}

BOOST_AUTO_TEST_CASE(what_is_no_answer_is_named_and_the_round_goes_on) {
  std::vector<double> x(1);
  std::vector<tutti::round_report> reports;
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{.fraction = 1}, {.clients = 2}};
      for (int k = 0; k < 6; ++k) reports.push_back(server.next());
      server.finish();
    } else if (world.rank() == 1) {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      client.serve(people, std::vector{1});
    } else {
      rogue other{world};
      other.mail.send(0, std::vector<std::byte>(3)); // before it is anybody
      other.enter({{8, 1}, {8, 9}});                // twice the same
      other.answer(other.work(), 1, 5);             // cut short
      other.answer(other.work(), 1, 0, 7);          // of somebody else
      (void)other.work();
      other.mail.send(0, std::vector<std::byte>(77, std::byte{0xa5}));
      (void)other.work();
      other.mail.send(0, {});
      other.answer(other.work(), .3);
      (void)other.work(); // and leaves without a word
    }
  });
  for (std::size_t k = 0; k < 4; ++k) {
    BOOST_CHECK_MESSAGE(reports[k].who(absence::malformed) == std::vector{8}, "round " << k + 1);
    BOOST_CHECK(reports[k].counted == 1 && reports[k].skipped.empty());
  }
  BOOST_CHECK(reports[0].joined == (std::vector{1, 8}) || reports[0].joined == (std::vector{8, 1}));
  BOOST_CHECK_EQUAL(reports[4].counted, 2);
  BOOST_CHECK(reports[5].who(absence::dropped_out) == std::vector{8} && reports[5].departed == std::vector{8});
  BOOST_CHECK_SMALL(x[0] + 5 * .1 + (3 * .1 + .3) / 4, 1e-12); // weights of 3 and 1 in the fifth
}

BOOST_AUTO_TEST_CASE(clients_come_and_go_between_rounds) {
  std::vector<tutti::round_report> reports;
  std::atomic<int> made{0};
  std::vector<double> x(1);
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{.fraction = 1}};
      while (server.made() < 3 || server.clients() < 2) made = int(server.made()), reports.push_back(server.next());
      while (server.clients() > 1) reports.push_back(server.next());
      server.finish();
    } else {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      if (world.rank() == 1) {
        client.serve(people, std::vector{1});
      } else {
        while (made < 2) std::this_thread::yield();
        int rounds = 0;
        client.serve(people, std::vector{2}, [&](std::uint32_t) { return ++rounds < 2; });
      }
    }
  });
  std::vector<int> joined, departed;
  for (const auto& r : reports) {
    joined.insert(joined.end(), r.joined.begin(), r.joined.end());
    departed.insert(departed.end(), r.departed.begin(), r.departed.end());
    BOOST_CHECK(r.skipped.empty());
  }
  BOOST_CHECK((joined == std::vector{1, 2}));
  BOOST_CHECK(departed == std::vector{2});
  BOOST_CHECK_EQUAL(reports[1].clients, 1);
}

// The rank that is late owes an answer, and is not asked again before it has given it.
BOOST_AUTO_TEST_CASE(who_is_late_is_named_and_heard_of_later) {
  std::vector<tutti::round_report> reports;
  std::atomic<bool> second{false};
  std::vector<double> x(1);
  tutti::threads::run(3, [&](auto& world) {
    if (world.rank() == 0) {
      const tutti::federated until{.fraction = 1, .attendance = {.deadline = .05}};
      tutti::round_server server{world, x, until, {.clients = 2}};
      for (int k = 0; k < 2; ++k) reports.push_back(server.next());
      second = true;
      do reports.push_back(server.next());
      while (reports.back().count(absence::unavailable) > 0);
      server.finish();
    } else if (world.rank() == 1) {
      movers people;
      std::vector<double> mine(1);
      tutti::round_client client{world, mine, whole};
      client.serve(people, std::vector{1});
    } else {
      rogue other{world};
      other.enter({{8, 1}});
      const auto work = other.work();
      while (!second) std::this_thread::yield();
      other.answer(work, 5);
      for (auto next = other.work(); !next.clients.empty(); next = other.work()) other.answer(next, 0);
      other.depart();
      other.mail.wait("test", [](int, auto) {}, [&] { return other.mail.has_told(0); }, [] { return 0; });
    }
  });
  BOOST_CHECK(reports[0].who(absence::late) == std::vector{8} || reports[0].count(absence::late) == 2);
  BOOST_CHECK(reports[1].who(absence::unavailable) == std::vector{8} || reports[1].count(absence::unavailable) > 0);
  double moved = 0; // by .1 of one who weighs 3, and nothing of one who weighs 1: the late 5 is in no sum
  for (const auto& r : reports) {
    const auto counts = [&](int client) {
      return std::ranges::find(r.left_out, client, &tutti::absent_client::client) == r.left_out.end();
    };
    if (counts(1)) moved += .1 * 3 / (3 + counts(8));
  }
  BOOST_CHECK_SMALL(x[0] + moved, 1e-9);
}

BOOST_AUTO_TEST_CASE(who_announces_more_than_can_be_is_not_heard_any_more) {
  tutti::threads::run(2, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::detail::rank_mail mail{world, {}, 100};
      mail.listen(1);
      mail.wait("test", [](int, auto) { BOOST_ERROR("a message came"); }, [&] { return mail.is_gone(1); },
                [] { return 1; });
    } else {
      const tutti::reserved_channel on{world.in_flight()};
      const std::uint64_t length = std::uint64_t{1} << 40;
      const tutti::outgoing to[] = {{0, std::as_bytes(std::span{&length, 1})}};
      auto telling = world.exchange(tutti::host_execution{}, on, {to, {}});
      while (!telling.test()) (void)world.progress();
    }
  });
}

// Every message cut at every byte, and with every byte changed, is none, or is written as it was read.
BOOST_AUTO_TEST_CASE(messages_are_looked_at_before_they_are_believed) {
  namespace d = tutti::detail;
  std::vector<std::byte> enter, work, update;
  const d::entered_client people[] = {{3, 7.}, {4, 0.}};
  d::encode_enter(enter, people);
  const float values[] = {1, 2, 3, 4, 5};
  d::encode_work<float>(work, {9, 5, 2, .5, {3, 4}}, values);
  d::encode_update<float>(update, {9, 3, {.examples = 4., .metrics = {{"loss", 2}, {"", 3}}}}, values);
  int read = 0;
  for (const auto* whole_message : {&enter, &work, &update}) {
    BOOST_CHECK(decoders::try_round_message(*whole_message));
    for (std::size_t n = 0; n < whole_message->size(); ++n) {
      BOOST_CHECK(!decoders::try_round_message(std::span{*whole_message}.first(n)));
      for (const std::byte other : {std::byte{0}, std::byte{0x7f}, std::byte{0x80}, std::byte{0xff}}) {
        auto changed = *whole_message;
        changed[n] = other;
        read += decoders::try_round_message(changed);
      }
    }
    auto longer = *whole_message;
    longer.push_back({});
    BOOST_CHECK(!decoders::try_round_message(longer));
  }
  BOOST_CHECK_GT(read, 0);
  const auto got = d::decode_update<float>(update, 5);
  BOOST_REQUIRE(got);
  BOOST_CHECK(got->told.round == 9 && got->told.client == 3 && *got->told.said.examples == 4);
  BOOST_CHECK(got->told.said.metrics.all()[0].name == "loss" && got->told.said.metrics.all()[1].value == 3);
  BOOST_CHECK(!d::decode_update<float>(update, 4) && !d::decode_update<double>(update, 5));
}

BOOST_AUTO_TEST_CASE(numbers_of_servers_that_cannot_be_are_refused) {
  const auto refused = [](auto policy_of, tutti::serving_options how, const char* why) {
    tutti::self world;
    std::vector<double> x(1);
    std::string said;
    try {
      tutti::round_server server{world, x, policy_of, how};
    } catch (const tutti::error& e) {
      said = e.what();
    }
    BOOST_CHECK_MESSAGE(said.find(why) != std::string::npos, said);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused(tutti::federated{}, {.buffer = -1}, "the buffer of a round_server is negative");
  refused(tutti::federated{}, {.staleness = nan}, "staleness of a round_server is negative or not finite");
  refused(tutti::federated{}, {.clients = 0}, "a round_server waits for less than one client");
  refused(tutti::federated{.epochs = -1}, {}, "a negative number of epochs");
  refused(tutti::federated{.clip = nan}, {}, "the clip of the sync policy");
  refused(tutti::federated{.proximal = -1}, {}, "proximal of the sync policy");
  refused(tutti::federated{.normalized = true}, {}, "a round_server averages differences as they come");
  refused(tutti::scaffold{}, {}, "a round_server averages differences as they come");
  refused(tutti::federated{.attendance = {.least = 0}}, {}, "least of attendance is less than 1");
  const auto swapped = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<double> x(1);
    if (world.rank() == 0)
      tutti::round_client client{world, x, whole};
    else
      tutti::round_server server{world, x, tutti::federated{}};
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(swapped, "rank 0"), trial::joined(swapped));
  const auto other_model = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<double> x(world.rank() == 0 ? 4 : 3);
    if (world.rank() == 0) {
      tutti::round_server server{world, x, tutti::federated{.fraction = 1}};
      (void)server.next();
    } else {
      movers people;
      tutti::round_client client{world, x, whole};
      client.serve(people, std::vector{1});
    }
  });
  BOOST_CHECK_MESSAGE(trial::joined(other_model).find("are no work on a model of 3 values") != std::string::npos,
                      trial::joined(other_model));
}

BOOST_AUTO_TEST_SUITE_END()
