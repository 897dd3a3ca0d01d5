// A server and clients on ranks of their own: bits of rounds over a population, FedBuff by hand, who comes and goes,
// and messages that are none.
#include "federated/rogues.hpp"
#include "federated/round_message_decoder.hpp"
#include "sync/model.hpp"
#include "training/scratch.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/optimizers/fed_opt.hpp>
#include <tutti/reducers/geometric_median.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/q_fair.hpp>
#include <tutti/training/checkpoint.hpp>

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
    if (client == 11) return {}; // counts where clients count alike
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

namespace {

struct served {
  std::vector<float> model;
  std::vector<std::string> reports;
};
/// Rounds over a population, on one rank.
template <class Reducer>
served alone(const Reducer& reducer, int until) {
  served out;
  tutti::self world;
  trial::model m{0};
  unlike_people people;
  tutti::strategy strategy{world, reducer, policy};
  auto rounds = strategy.rounds(m.parameters(), descent, people, {.seed = 4});
  while (rounds.made() < until) out.reports.push_back(told(rounds.next()));
  out.model = m.flat();
  return out;
}
/// The same of a server and clients, from a checkpoint and into one where their names are not empty.
template <class Reducer>
served on_ranks_of_their_own(int ranks, const Reducer& reducer, int until, const std::string& from = "",
                             const std::string& to = "") {
  served out;
  std::atomic<int> asked{0};
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{0};
    if (world.rank() == 0) {
      tutti::round_server server{world, m.parameters(), policy, reducer, {.seed = 4, .clients = 19}};
      if (!from.empty() && !server.load(from).empty()) throw std::runtime_error{"numbers differ"};
      while (server.made() < until) out.reports.push_back(told(server.next()));
      if (!to.empty()) server.save(to);
      server.finish();
      out.model = m.flat();
    } else {
      unlike_people people;
      std::vector<int> mine;
      for (int c = 0; c < 19; ++c)
        if (c % (ranks - 1) == world.rank() - 1) mine.push_back(c);
      tutti::round_client client{world, m.parameters(), descent};
      asked += client.serve(people, mine);
    }
  });
  BOOST_CHECK_GT(asked, 5 * (until - 3));
  return out;
}
void check_alike(const served& got, const served& wanted, const std::string& what) {
  BOOST_CHECK_MESSAGE(trial::same_bits(got.model, wanted.model), what);
  BOOST_CHECK_MESSAGE(got.reports == wanted.reports,
                      what << ": " << trial::joined(got.reports) << trial::joined(wanted.reports));
}

} // namespace

BOOST_AUTO_TEST_CASE(synchronous_rounds_have_the_bits_of_rounds_over_a_population) {
  const served mean = alone(tutti::reproducible_weighted_mean{}, 5);
  for (const int ranks : {2, 3, 5})
    check_alike(on_ranks_of_their_own(ranks, tutti::reproducible_weighted_mean{}, 5), mean, std::to_string(ranks));
  check_alike(on_ranks_of_their_own(3, tutti::reproducible_mean{}, 5), alone(tutti::reproducible_mean{}, 5), "alike");
  check_alike(on_ranks_of_their_own(3, tutti::median{}, 5), alone(tutti::median{}, 5), "median");
  check_alike(on_ranks_of_their_own(3, tutti::krum{.f = 1}, 5), alone(tutti::krum{.f = 1}, 5), "krum");
}

BOOST_AUTO_TEST_CASE(a_server_goes_on_from_a_checkpoint_with_the_same_bits) {
  const scratch here;
  const std::string folder = here / "three";
  const tutti::reproducible_weighted_mean mean;
  served whole_run = on_ranks_of_their_own(3, mean, 6);
  (void)on_ranks_of_their_own(3, mean, 3, "", folder);
  whole_run.reports.erase(whole_run.reports.begin(), whole_run.reports.begin() + 3);
  for (const int ranks : {2, 4})
    check_alike(on_ranks_of_their_own(ranks, mean, 6, folder), whole_run, "on " + std::to_string(ranks) + " ranks");
}

BOOST_AUTO_TEST_CASE(a_server_says_in_what_a_checkpoint_differs) {
  const scratch here;
  tutti::self world;
  std::vector<double> x{1, 2}, other(3);
  const tutti::federated_by<tutti::fed_adam> adaptive;
  tutti::round_server server{world, x, adaptive, {.seed = 4}};
  server.save(here / "one");
  tutti::round_server reseeded{world, x, adaptive, {.seed = 5}};
  const auto differs = reseeded.load(here / "one");
  BOOST_CHECK_MESSAGE(differs.size() == 1 && differs[0].find("serving_options") != std::string::npos,
                      trial::joined(differs));
  tutti::round_server longer{world, other, adaptive};
  BOOST_CHECK_THROW(longer.load(here / "one"), tutti::error);
  tutti::round_server plain{world, x, tutti::federated{.outer = {.momentum = .9}}};
  BOOST_CHECK_THROW(plain.load(here / "one"), tutti::error); // has no velocity
}

namespace {

using trial::movers;
using trial::rogue;
using trial::whole;

} // namespace

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
  std::vector<std::byte> enter, model, work, update, corrected, asked, silent;
  const d::entered_client people[] = {{3, 7.}, {4, 0.}};
  d::encode_enter(enter, people);
  float values[] = {1, 2, 3, 4, 5};
  const tutti::tensor<float> tensors[] = {{"a", std::span{values}.first(2), {2}},
                                          {"b", std::span{values}.last(3), {3}}};
  d::encode_model<float>(model, 7, tensors, {});
  d::encode_model<float>(corrected, 7, tensors, values);
  d::encode_work(work, {9, 7, 5, 2, .5, {}, {3, 4}, {}});
  d::encode_work(asked, {9, 7, 5, 2, .5, {tutti::client_keeps::variates, true, .5}, {3, 4}, {0, 8}});
  d::encode_update<float>(update, {9, 3, {.examples = 4., .metrics = {{"loss", 2}, {"", 3}}}}, values, values);
  d::encode_update<float>(silent, {9, 3, {}}, values); // of how many examples it does not say: as a zero, and no other
  int read = 0;
  for (const auto* whole_message : {&enter, &model, &corrected, &work, &asked, &update, &silent}) {
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
  const auto refused = [](auto policy_of, tutti::serving_options how, const char* why, auto... by) {
    tutti::self world;
    std::vector<double> x(1);
    std::string said;
    try {
      tutti::round_server server{world, x, policy_of, by..., how};
    } catch (const tutti::error& e) {
      said = e.what();
    }
    BOOST_CHECK_MESSAGE(said.find(why) != std::string::npos, said);
  };
  refused(tutti::federated{}, {.buffer = -1}, "the buffer of a round_server is negative");
  refused(tutti::federated{}, {.clients = 0}, "a round_server waits for less than one client");
  refused(tutti::federated{}, {.population = -1}, "the population of a round_server is negative");
  for (const double bad : {-1., std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    refused(tutti::federated{}, {.staleness = bad}, "staleness of a round_server is negative or not finite");
    refused(tutti::federated{.fraction = bad}, {}, "the fraction of the sync policy");
    refused(tutti::federated{.clip = bad}, {}, "the clip of the sync policy");
    refused(tutti::federated{.proximal = bad}, {}, "proximal of the sync policy");
    refused(tutti::federated_by<tutti::fed_adam>{.outer = {.tau = bad}}, {}, "tau of the outer optimizer");
    refused(tutti::federated{.attendance = {.deadline = bad}}, {}, "the deadline of attendance");
    if (bad != -1) refused(tutti::federated{.outer = {.learning_rate = bad}}, {}, "the outer learning rate");
    if (bad != -1) refused(tutti::federated{.outer = {.momentum = bad}}, {}, "the outer optimizer of the sync policy: ");
  }
  refused(tutti::federated{.epochs = -1}, {}, "a negative number of epochs");
  refused(tutti::federated{.normalized = true}, {}, "a round_server averages differences as they come");
  refused(tutti::q_fair{}, {}, "a round_server averages differences as they come");
  refused(tutti::scaffold{}, {}, "give serving_options::population");
  refused(tutti::scaffold{}, {.buffer = 2, .population = 9}, "a buffer takes whoever is ready - leave one of them out");
  refused(tutti::fed_dyn{}, {.population = 9}, "fed_dyn has no alpha");
  refused(tutti::federated{.attendance = {.least = 0}}, {}, "least of attendance is less than 1");
  refused(tutti::federated{}, {.buffer = 2}, "a rule that compares clients is given a cohort", tutti::median{});
  refused(tutti::federated{}, {}, "norm_clipping: bound is not a positive number", tutti::norm_clipping{.bound = 0});
  const auto descends = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<double> x(1);
    if (world.rank() == 1) tutti::round_client client{world, x, tutti::sgd{.momentum = NAN}};
  });
  BOOST_CHECK_MESSAGE(descends[1].find("the clients' optimizer: momentum") != std::string::npos,
                      trial::joined(descends));
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
