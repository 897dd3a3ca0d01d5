// A pairwise exchange: whoever has a gradient averages its replica with one other's, which does not
// wait for it, and then applies the gradient (Lian, Zhang, Zhang, Liu, "Asynchronous decentralized
// parallel SGD", ICML 2018). A replica that others change while its rank computes belongs to the
// carrier, as a server's does.
#include "bound_by_hand.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct in_pairs {
  using part = tutti::sync_part;
  static constexpr auto carrier = tutti::carried_by::placement; // updates where the replica is
  static constexpr auto repeats = tutti::determinism::none;
};
static_assert(tutti::sync_policy<in_pairs>);

/// The replicas of all ranks, where each of them reaches those of the others.
struct meeting_place {
  explicit meeting_place(int ranks) : replicas(std::size_t(ranks)) {}
  std::mutex mutex;
  std::vector<std::span<float>> replicas;
  int met = 0;
};

template <class Comm> class pairwise final : public tutti::carrier<float> {
public:
  pairwise(Comm& comm, meeting_place& all, std::span<const tutti::place> parts)
      : comm_{comm}, all_{all}, where_{parts.front()},
        room_(where_.size()), draw_{5, 1, std::uint64_t(comm.rank())} {}

  tutti::place owned(std::size_t) const override { return where_; }
  std::span<float> room(std::size_t) override { return room_; }
  bool serves() const override { return true; }
  void attach(std::span<float> values, agreed use) override {
    const std::lock_guard lock{all_.mutex};
    all_.replicas[std::size_t(comm_.rank())] = values;
    use_.emplace(use);
  }
  void offer(std::size_t, std::span<const double>) override {
    const std::lock_guard lock{all_.mutex};
    const auto partner =
        std::size_t(comm_.rank() + 1 + int(draw_.below(std::uint32_t(comm_.size() - 1)))) %
        std::size_t(comm_.size());
    const std::span<float> mine = all_.replicas[std::size_t(comm_.rank())],
                           other = all_.replicas[partner];
    if (!other.empty()) { // has bound already
      for (std::size_t i = 0; i < mine.size(); ++i) mine[i] = other[i] = (mine[i] + other[i]) / 2;
      ++all_.met;
    }
    (*use_)(where_, room_);
  }
  void settle(std::size_t) override {
    const std::lock_guard lock{all_.mutex};
    const std::span<float> mine = all_.replicas[std::size_t(comm_.rank())];
    std::copy(mine.begin(), mine.end(), room_.begin());
  }
  void finish() override {
    tutti::barrier(comm_);
    {
      const std::lock_guard lock{all_.mutex};
      std::fill(room_.begin(), room_.end(), 0.0f);
      for (const std::span<float> replica : all_.replicas)
        for (std::size_t i = 0; i < room_.size(); ++i) room_[i] += replica[i] / float(comm_.size());
    }
    tutti::barrier(comm_);
  }

private:
  Comm& comm_;
  meeting_place& all_;
  tutti::place where_;
  std::vector<float> room_;
  tutti::random_stream draw_;
  std::optional<agreed> use_;
};

} // namespace

// Averaging in pairs moves nothing out of the sum of all replicas.
BOOST_AUTO_TEST_CASE(pairs_that_meet_keep_the_sum_of_all_gradients) {
  constexpr int ranks = 4, steps = 30;
  meeting_place place{ranks};
  std::vector<float> ends(ranks);
  tutti::threads::run(ranks, [&](auto& world) {
    const in_pairs policy;
    std::vector<float> values(5);
    auto trainer =
        bound_by_hand(world, policy, values, tutti::sgd{.learning_rate = 1}, true,
                      [&](auto parts) -> std::unique_ptr<tutti::carrier<float>> {
                        using comm_type = std::remove_reference_t<decltype(world)>;
                        return std::make_unique<pairwise<comm_type>>(world, place, parts);
                      });
    tutti::barrier(world);
    const std::vector<float> gradient(5, float(world.rank()));
    for (int step = 0; step < steps; ++step) trainer.step(gradient);
    trainer.finalize();
    ends[std::size_t(world.rank())] = values[4];
  });
  BOOST_CHECK_EQUAL(place.met, ranks * steps);
  for (const float end : ends) BOOST_CHECK_CLOSE(end, -float(steps) * (0 + 1 + 2 + 3) / 4, 1e-3);
}

BOOST_AUTO_TEST_SUITE_END()
