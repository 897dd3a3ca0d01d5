// Programs that know nothing of it run on simulated ranks as they do on threads.
#include "communicators/on_simulated.hpp"

#include <tutti/tutti.hpp>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(simulated_programs)

namespace {

using all_values = std::vector<std::vector<float>>;

float drawn(int rank, std::size_t i) {
  return float(int((i * 2654435761u + unsigned(rank) * 40503u) % 2001) - 1000) / 7;
}

/// What every rank has after a few collectives.
template <class Run>
all_values by_collectives(int ranks, Run&& run) {
  all_values out(static_cast<std::size_t>(ranks));
  run(ranks, [&](auto& comm) {
    std::vector<float> x(1001);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = drawn(comm.rank(), i);
    tutti::all_reduce(comm, x);
    tutti::all_reduce(comm, x, tutti::ring{}, tutti::mean{}, tutti::cast<tutti::bfloat16>{});
    tutti::broadcast(comm, x, comm.size() - 1);
    auto half = comm.split(comm.rank() % 2, 0);
    tutti::all_reduce(half, x, tutti::halving_doubling{}, tutti::max{});
    out[std::size_t(comm.rank())] = x;
  });
  return out;
}

/// What every rank has trained.
template <class Run, class... Parts>
all_values by_training(int ranks, Run&& run, const Parts&... parts) {
  all_values out(static_cast<std::size_t>(ranks));
  run(ranks, [&](auto& comm) {
    std::vector<float> values(301, 1.0f), gradients(301);
    tutti::strategy strategy{comm, parts...};
    auto trainer = strategy.bind(values, tutti::adam{.learning_rate = .01});
    for (int step = 0; step < 12 && trainer.role() != tutti::role::server; ++step) {
      tutti::compute(comm, 1e-3);
      for (std::size_t i = 0; i < gradients.size(); ++i) gradients[i] = values[i] - drawn(comm.rank() + step, i);
      trainer.step(gradients);
    }
    trainer.finalize();
    out[std::size_t(comm.rank())] = values;
  });
  return out;
}

const auto on_real = [](int ranks, auto&& body) { tutti::threads::run(ranks, body); };
const auto in_virtual_time = [](int ranks, auto&& body) { (void)tutti::simulated::run(ranks, {}, body); };

template <class... Parts>
void same_training(const char* name, const Parts&... parts) {
  for (const int ranks : {1, 2, 3, 5})
    BOOST_CHECK_MESSAGE(by_training(ranks, on_real, parts...) == by_training(ranks, in_virtual_time, parts...),
                        name << " on " << ranks);
}

} // namespace

BOOST_AUTO_TEST_CASE(collectives_have_the_same_bits_as_on_threads) {
  for (const int ranks : {1, 2, 3, 4, 5, 7, 12}) // to 8 by the same default topology
    if (ranks <= 8)
      BOOST_CHECK_MESSAGE(by_collectives(ranks, on_real) == by_collectives(ranks, in_virtual_time), ranks << " ranks");
    else
      BOOST_CHECK(by_collectives(ranks, in_virtual_time) == by_collectives(ranks, in_virtual_time));
}

BOOST_AUTO_TEST_CASE(training_has_the_same_bits_as_on_threads) {
  same_training("synchronous");
  same_training("sharded", tutti::sharded{}, tutti::ring{});
  same_training("local_sgd", tutti::local_sgd{.period = 5}, tutti::ring{});
  same_training("diloco", tutti::diloco{.period = 4});
}

BOOST_AUTO_TEST_CASE(servers_answer_and_nothing_is_lost) {
  for (const bool dedicated : {false, true})
    for (const int staleness : {0, 1, 4, tutti::unbounded}) {
      const auto counts = [&] {
        std::vector<float> last;
        const auto took = tutti::simulated::run(5, {}, [&](auto& comm) {
          std::vector<float> values(101), ones(101, -1.0f);
          tutti::strategy strategy{comm, tutti::star{.servers = 2, .dedicated = dedicated}, tutti::sum{},
                                   tutti::asynchronous{.staleness = staleness}};
          auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1});
          if (trainer.role() == tutti::role::server) trainer.serve();
          for (int step = 0; step < 20 && trainer.role() != tutti::role::server; ++step) {
            comm.compute(1e-3 * (1 + comm.rank()));
            trainer.step(ones);
          }
          trainer.finalize();
          if (comm.rank() == 4) last = values;
        });
        return std::pair{last, took.trace_hash};
      };
      const auto once = counts();
      BOOST_CHECK_MESSAGE(once.first == std::vector<float>(101, dedicated ? 60.0f : 100.0f),
                          "dedicated " << dedicated << ", staleness " << staleness << ": " << once.first.at(0));
      BOOST_CHECK(once == counts());
    }
}

BOOST_AUTO_TEST_CASE(a_thousand_ranks) {
  const auto took = on_simulated(1024, {}, [](auto& comm, report& r) {
    std::vector<std::int32_t> x(2048, comm.rank());
    tutti::all_reduce(comm, x);
    r.check(x[77] == 1023 * 512, "the sum");
  });
  BOOST_CHECK_GT(took.messages, 1024u);
}

// All that bind says, counted.
BOOST_AUTO_TEST_CASE(sixty_four_ranks_bind_in_few_messages) {
  const auto took = tutti::simulated::run(64, {}, [](auto& comm) {
    std::vector<float> values(300, 1.0f);
    tutti::strategy strategy{comm};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = .1});
  });
  std::uint64_t most = 0;
  for (const auto& r : took.ranks) most = (std::max)(most, r.messages);
  BOOST_TEST_MESSAGE("a rank sends " << most << " messages");
  BOOST_CHECK_LE(most, 12u); // twice log2 of 64
}

BOOST_AUTO_TEST_CASE(failures_are_made_to_happen) {
  for (int rank = 0; rank < 3; ++rank)
    for (std::uint64_t round = 0; round < 4; ++round)
      for (const std::uint64_t delay : {std::uint64_t{0}, std::uint64_t{50}}) {
        std::string thrown = "nothing";
        bool right = true;
        try {
          (void)tutti::simulated::run(3, {}, [&](auto& comm) {
            tutti::faulty breaks{comm, tutti::fault{.rank = rank, .round = round, .delay = delay}};
            std::vector<float> x(30, 1.0f);
            tutti::all_reduce(breaks, x, tutti::ring{});
            right = right && x[29] == 3;
          });
        } catch (const tutti::rank_leaves&) {
          thrown = "it leaves";
        }
        BOOST_CHECK_MESSAGE((thrown == "it leaves") == (delay == 0) && right,
                            thrown << ", rank " << rank << " round " << round);
      }
}

BOOST_AUTO_TEST_SUITE_END()
