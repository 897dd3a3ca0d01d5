// Gossip: after every step a rank takes the weighted mean of its own parameters and its neighbours'
// (Lian et al., "Can decentralized algorithms outperform centralized algorithms?", NeurIPS 2017, in
// the order adapt, then combine). The policy is two answers, the graph a carrier.
#include "bound_by_hand.hpp"

#include <tutti/communicators/reserved_channel.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/topologies/mixing.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct gossip {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  static constexpr auto carrier = tutti::carried_by::mixing;
};
static_assert(tutti::sync_policy<gossip>);

/// Both neighbours on a ring and the rank itself, a third of each.
struct thirds {
  using part = tutti::topology_part;
  template <class Emit> void mix(std::int64_t /*round*/, int rank, int size, Emit&& emit) const {
    for (const int r : {(rank + size - 1) % size, rank, (rank + 1) % size})
      emit(tutti::neighbour{r, 1.0 / 3});
  }
};
static_assert(tutti::mixing_topology<thirds>);

/// One message to each neighbour and one from it. Weights are symmetric, so who is heard is told.
template <class Comm, tutti::mixing_topology Graph>
class mixing final : public tutti::carrier<float> {
public:
  mixing(Comm& comm, Graph graph, std::span<const tutti::place> parts)
      : comm_{comm}, graph_{graph}, channel_{comm.in_flight()} {
    for (const tutti::place where : parts)
      pieces_.push_back({where, std::vector<float>(where.size())});
  }
  tutti::place owned(std::size_t part) const override { return pieces_[part].where; }
  std::span<float> room(std::size_t part) override { return pieces_[part].values; }
  void offer(std::size_t part, std::span<const double>) override {
    piece& p = pieces_[part];
    p.terms.clear();
    graph_.mix(round_++, comm_.rank(), comm_.size(), [&](tutti::neighbour from) {
      p.terms.push_back(
          {from, std::vector<float>(from.rank == comm_.rank() ? 0 : p.values.size())});
    });
    std::vector<tutti::outgoing> sends;
    std::vector<tutti::incoming> receives;
    for (auto& [from, values] : p.terms)
      if (!values.empty()) {
        sends.push_back({from.rank, std::as_bytes(std::span{p.values})});
        receives.push_back({from.rank, std::as_writable_bytes(std::span{values})});
      }
    p.exchange.emplace(
        comm_.exchange(tutti::host_execution{}, channel_, {sends, receives}));
  }
  void settle(std::size_t part) override {
    piece& p = pieces_[part];
    while (!p.exchange->test())
      comm_.idle(comm_.progress(), tutti::clock::now() + std::chrono::milliseconds{1});
    p.exchange.reset();
    for (std::size_t i = 0; i < p.values.size(); ++i) {
      double mixed = 0;
      for (const auto& [from, values] : p.terms)
        mixed += from.weight * double(values.empty() ? p.values[i] : values[i]);
      p.values[i] = float(mixed);
    }
  }

private:
  using handle = decltype(std::declval<Comm&>().exchange(
      tutti::host_execution{}, tutti::channel{}, std::declval<const tutti::exchange_round&>()));
  struct term {
    tutti::neighbour from;
    std::vector<float> values; ///< none of this rank's own
  };
  struct piece {
    tutti::place where;
    std::vector<float> values;
    std::vector<term> terms = {};
    std::optional<handle> exchange = {};
  };

  Comm& comm_;
  Graph graph_;
  tutti::reserved_channel channel_;
  std::int64_t round_ = 0;
  std::vector<piece> pieces_;
};

} // namespace

BOOST_AUTO_TEST_CASE(gossip_takes_the_means_of_neighbours_after_every_step) {
  constexpr int ranks = 5, steps = 6;
  std::vector<std::vector<float>> got(ranks);
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> values(3), gradient(3);
    const gossip policy;
    auto trainer =
        bound_by_hand(world, policy, values, tutti::sgd{.learning_rate = 0.1}, false,
                      [&](auto parts) -> std::unique_ptr<tutti::carrier<float>> {
                        using comm_type = std::remove_reference_t<decltype(world)>;
                        return std::make_unique<mixing<comm_type, thirds>>(world, thirds{}, parts);
                      });
    for (int step = 0; step < steps; ++step) {
      for (std::size_t i = 0; i < 3; ++i) gradient[i] = values[i] - float(world.rank());
      trainer.step(gradient);
    }
    got[std::size_t(world.rank())] = values;
  });

  std::vector<double> x(ranks);
  for (int step = 0; step < steps; ++step) {
    for (int r = 0; r < ranks; ++r) x[std::size_t(r)] -= 0.1 * (x[std::size_t(r)] - r);
    const std::vector<double> before = x;
    for (int r = 0; r < ranks; ++r)
      x[std::size_t(r)] = (before[std::size_t((r + ranks - 1) % ranks)] + before[std::size_t(r)] +
                           before[std::size_t((r + 1) % ranks)]) /
                          3;
  }
  for (int r = 0; r < ranks; ++r)
    BOOST_CHECK_MESSAGE(std::abs(got[std::size_t(r)][2] - x[std::size_t(r)]) < 1e-5,
                        "rank " << r << " has " << got[std::size_t(r)][2] << ", not "
                                << x[std::size_t(r)]);
  BOOST_CHECK(tutti::check_sync_policy(gossip{}));
}

BOOST_AUTO_TEST_SUITE_END()
