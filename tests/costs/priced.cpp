// Topologies chosen by their price: the same on all ranks, explained, kept and given again.
#include <tutti/collectives/priced.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/decorator.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/strategy/strategy.hpp>

#include <boost/test/unit_test.hpp>

#include <span>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

BOOST_AUTO_TEST_SUITE(costs)

namespace {

using tutti::collective;

/// By messages only, so that the model of messages decides.
template <class World> auto by_messages(World& world) {
  return tutti::decorator<World&>{world};
}

/// Latency is everything, or bandwidth is.
constexpr tutti::machine_cost slow_start{.within = {1000, 1, 1e-9}, .per_folded_byte = 1e-9};
constexpr tutti::machine_cost slow_wire{.within = {1e-6, 1e-6, 1}, .per_folded_byte = 1e-9};

std::string first_line_behind(const std::string& text) {
  const auto begin = text.find('\n') + 3;
  return text.substr(begin, text.find(' ', begin) - begin);
}

void require(bool right, const std::string& what) {
  if (!right) throw std::runtime_error{what};
}

} // namespace

BOOST_AUTO_TEST_CASE(what_is_chosen_is_what_costs_least) {
  for (const int ranks : {2, 4, 7, 8})
    tutti::threads::run(ranks, [&](auto& world) {
      auto comm = by_messages(world);
      for (const std::size_t bytes : {std::size_t{8}, std::size_t{4096}, std::size_t{1} << 22})
        for (const auto& costs : {slow_start, slow_wire, tutti::machine_cost{}}) {
          const tutti::priced priced{costs};
          std::string chosen;
          priced.template choose<collective::all_reduce, false>(comm, bytes, [&](const auto& t) {
            chosen =
                std::to_string(tutti::price(t, collective::all_reduce, 0, ranks, bytes, 1, costs));
            return 0;
          });
          for (const auto& c :
               tutti::detail::price_all<collective::all_reduce, false>(comm, bytes, costs))
            require(c.microseconds >= std::stod(chosen) * (1 - 1e-6) - 1e-6,
                    std::string{c.name} + " is cheaper than what was chosen");
        }
    });
  tutti::threads::run(8, [](auto& world) {
    auto comm = by_messages(world);
    const auto best = [&](const tutti::machine_cost& costs) {
      return first_line_behind(
          tutti::priced{costs}.explain(collective::all_reduce, comm, std::size_t{1} << 20));
    };
    require(best(slow_start) == "direct", "two rounds are the fewest: " + best(slow_start));
    require(best(slow_wire) != "recursive_doubling", "it sends three times as much");
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

namespace {

/// What a price asks of a communicator.
struct ranks_on_nodes {
  std::vector<int> node_of;
  int rank() const { return 0; }
  int size() const { return int(node_of.size()); }
  std::span<const int> nodes() const { return node_of; }
};

std::string chosen_on(const tutti::priced& priced, const ranks_on_nodes& comm) {
  std::string type;
  priced.choose<collective::all_reduce, false>(comm, std::size_t{1} << 20, [&]<class T>(const T&) {
    type = typeid(T).name();
    return 0;
  });
  return type;
}

} // namespace

// Otherwise ranks that have used it elsewhere before choose differently.
BOOST_AUTO_TEST_CASE(what_was_found_on_other_nodes_does_not_count) {
  const ranks_on_nodes together{{0, 0, 0, 0}}, apart{{0, 0, 1, 1}};
  const tutti::priced fresh{}, used{};
  const std::string on_one = chosen_on(used, together);
  BOOST_TEST(on_one != chosen_on(fresh, apart), "these numbers show nothing");
  BOOST_TEST(chosen_on(used, apart) == chosen_on(fresh, apart));
  BOOST_TEST(chosen_on(used, together) == on_one);
}

BOOST_AUTO_TEST_CASE(every_collective_runs_on_its_choice) {
  for (const int ranks : {1, 2, 3, 5})
    for (const auto& costs : {slow_start, slow_wire, tutti::machine_cost{}})
      tutti::threads::run(ranks, [&](auto& world) {
        const auto all = [&](auto& comm) {
          const tutti::priced by_price{costs};
          const int p = comm.size(), sum = p * (p + 1) / 2;
          for (const std::size_t n : {std::size_t{1}, std::size_t{30}, std::size_t{50000}}) {
            std::vector<int> x(n, comm.rank() + 1);
            tutti::all_reduce(comm, x, by_price);
            require(x[0] == sum && x[n - 1] == sum, "all_reduce");
            for (const int v : tutti::reduce_scatter(comm, x, by_price))
              require(v == sum * p, "reduce_scatter");
            tutti::all_gather(comm, x, by_price);
            require(x[0] == sum * p && x[n - 1] == sum * p, "all_gather");
            tutti::reduce(comm, x, p - 1, by_price);
            tutti::broadcast(comm, x, p - 1, by_price);
            require(x[0] == sum * p * p && x[n - 1] == sum * p * p, "reduce, broadcast");
            std::vector<float> y(n, float(comm.rank()));
            tutti::async_all_reduce(comm, y, by_price, tutti::max{}).wait();
            require(y[0] == float(p - 1), "async_all_reduce");
          }
        };
        all(world);
        auto messages = by_messages(world);
        all(messages);
        tutti::checked careful{world};
        all(careful);
      });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(measured_numbers_are_the_same_on_every_rank_and_can_be_kept) {
  std::vector<std::string> lines(4);
  tutti::threads::run(4, [&](auto& world) {
    const tutti::automatic measured{world};
    lines[std::size_t(world.rank())] = text(measured.costs());
    require(tutti::machine_cost_from(text(measured.costs())) == measured.costs(),
            "what was kept is not what was measured");
    require(measured.costs().within.latency > 0 && measured.costs().per_folded_byte > 0 &&
                measured.costs().shared_epoch > 0,
            "nothing was measured");
    std::vector<float> x(1000, 1.0f);
    tutti::all_reduce(world, x, measured);
    require(x[999] == 4, "a sum is wrong");
  });
  for (const std::string& line : lines) BOOST_CHECK_EQUAL(line, lines[0]);
  for (const char* bad : {"", "1 2 3", "1 2 3 4 5 6 7 8 9 10", "a b c d e f g h i"})
    BOOST_CHECK_EXCEPTION((void)tutti::machine_cost_from(bad), tutti::error,
                          [](const auto& e) { return e.code() == tutti::error_code::bad_data; });
}

BOOST_AUTO_TEST_CASE(an_explanation_names_every_candidate_and_the_chosen_one_first) {
  tutti::threads::run(3, [](auto& world) {
    const std::string text = tutti::priced{}.explain(collective::all_reduce, world, 4096);
    require(text.find("all_reduce of 4096 bytes on 3 ranks:\n  direct") == 0, text);
    for (const char* name : {"recursive_doubling", "halving_doubling", "ring",
                             "pipelined double_tree", "  hierarchical  ", "pipelined hierarchical"})
      require(text.find(name) != std::string::npos, text);
    require(text.find("<- chosen") == text.rfind("<- chosen"), text);
  });
  BOOST_CHECK(true);
}

namespace {

template <class Topology>
using trained = decltype(tutti::strategy{std::declval<tutti::threads::communicator&>(),
                                         std::declval<Topology>()});
static_assert(trained<tutti::priced>::determinism == tutti::determinism::run_to_run);
static_assert(trained<tutti::automatic>::determinism == tutti::determinism::none);

} // namespace

BOOST_AUTO_TEST_CASE(strategies_train_on_it_and_differing_numbers_are_a_mismatch) {
  tutti::threads::run(3, [](auto& world) {
    std::vector<float> values(100, 1.0f), gradient(100, float(world.rank()));
    tutti::strategy strategy{world, tutti::priced{}};
    auto trainer = strategy.bind(values, tutti::sgd{1.0});
    trainer.step(gradient);
    require(values[99] == 0, "a step is wrong");
  });
  std::vector<int> told(2);
  tutti::threads::run(2, [&](auto& world) {
    std::vector<float> values(10);
    tutti::strategy strategy{world, tutti::priced{world.rank() == 0 ? slow_start : slow_wire}};
    try {
      (void)strategy.bind(values, tutti::sgd{1.0});
    } catch (const tutti::error& e) {
      told[std::size_t(world.rank())] = e.code() == tutti::error_code::mismatch;
    }
  });
  BOOST_CHECK(told[0] == 1 && told[1] == 1);
}

// Two waits for the other and two passes over the bytes: 2 s / b at most a tenth of the latter, and of the waits in 32 MiB.
BOOST_AUTO_TEST_CASE(a_bucket_is_as_short_as_its_price_allows) {
  const tutti::link_cost dear{.latency = 1e6, .overhead = 1e6, .per_byte = 1};
  for (const auto& [epoch, wanted] :
       {std::pair{.2, std::size_t{1} << 16}, {10.0, std::size_t{1} << 20}, {100.0, std::size_t{1} << 23}})
    tutti::threads::run(2, [&, epoch = epoch, wanted = wanted](auto& world) {
      const tutti::priced by{{.within = dear, .shared_epoch = epoch, .per_shared_byte = 1.0 / 8000}};
      require(by.bucket_bytes(world) == wanted, "a bucket of " + std::to_string(by.bucket_bytes(world)) + " bytes");
    });
  const tutti::self alone;
  BOOST_CHECK_EQUAL(tutti::priced{}.bucket_bytes(alone), std::size_t{1} << 16); // nothing costs anything
}

BOOST_AUTO_TEST_SUITE_END()
