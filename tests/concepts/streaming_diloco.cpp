// Streaming DiLoCo: replicas train alone; every few steps one fragment of the parameters, in turn,
// is agreed on, and the agreement is applied a few steps later, while training went on (Douillard
// et al., "Streaming DiLoCo with overlapping communication", 2025).
#include <tutti/sync/laws.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <deque>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct streaming_diloco : tutti::sync_defaults {
  static constexpr auto contribution = tutti::contributes::difference;

  int steps = 12;    ///< H: how often each fragment is agreed on
  int fragments = 3; ///< a divisor of it
  int overlap = 2;   ///< how many steps the communication may take

  constexpr int period() const { return steps / fragments; }
  constexpr tutti::fragment_of fragment(std::int64_t exchange) const {
    return {int(exchange % fragments), fragments};
  }
  constexpr int delay() const { return overlap; }
};

static_assert(tutti::sync_policy<streaming_diloco>);
static_assert(streaming_diloco{}.period() == 4 && streaming_diloco{}.quorum(5) == 5);

struct replica {
  double target;
  std::vector<double> parameters, anchor; ///< anchor: what all replicas agreed on last
  std::vector<double> sent;               ///< the parameters when the difference was taken
};

struct agreement {
  std::int64_t due;
  std::size_t begin;
  std::vector<double> mean_difference;
};

class training {
public:
  training(streaming_diloco policy, std::size_t n, std::vector<double> targets)
      : policy_{policy}, n_{n}, exchanges_(std::size_t(policy.fragments)) {
    for (const double t : targets)
      replicas_.push_back({t, std::vector<double>(n), std::vector<double>(n), {}});
  }

  void step() {
    for (auto& r : replicas_)
      for (double& x : r.parameters) x -= .1 * (x - r.target); // the inner optimizer
    ++step_;
    if (step_ % policy_.period() == 0) exchange(step_ / policy_.period() - 1);
    while (!under_way_.empty() && under_way_.front().due <= step_) apply(under_way_.front());
  }

  const std::vector<replica>& replicas() const { return replicas_; }
  const std::vector<int>& exchanges() const { return exchanges_; }

private:
  void exchange(std::int64_t k) {
    const auto [index, count] = policy_.fragment(k);
    const std::size_t begin = tutti::partition::even(n_, count, index);
    const std::size_t end = tutti::partition::even(n_, count, index + 1);
    agreement a{step_ + policy_.delay(), begin, std::vector<double>(end - begin)};
    for (auto& r : replicas_) {
      r.sent = r.parameters;
      for (std::size_t i = begin; i < end; ++i)
        a.mean_difference[i - begin] += (r.anchor[i] - r.parameters[i]) / double(replicas_.size());
    }
    ++exchanges_[std::size_t(index)];
    under_way_.push_back(std::move(a));
  }

  /// The outer optimizer, on the difference; what was learnt meanwhile is kept.
  void apply(const agreement& a) {
    for (auto& r : replicas_)
      for (std::size_t k = 0; k < a.mean_difference.size(); ++k) {
        const std::size_t i = a.begin + k;
        const double meanwhile = r.parameters[i] - r.sent[i];
        r.anchor[i] -= .9 * a.mean_difference[k];
        r.parameters[i] = r.anchor[i] + meanwhile;
      }
    under_way_.pop_front();
  }

  streaming_diloco policy_;
  std::size_t n_;
  std::int64_t step_ = 0;
  std::vector<replica> replicas_;
  std::deque<agreement> under_way_;
  std::vector<int> exchanges_;
};

} // namespace

BOOST_AUTO_TEST_CASE(streaming_diloco_agrees_on_every_fragment_in_turn) {
  training t{{}, 7, {1, 2, 6}};

  for (int k = 0; k < 240; ++k) t.step();

  BOOST_CHECK((t.exchanges() == std::vector<int>{20, 20, 20}));
  BOOST_CHECK(tutti::check_sync_policy(streaming_diloco{}));
  for (const auto& r : t.replicas()) {
    BOOST_CHECK(r.anchor == t.replicas()[0].anchor);
    for (const double x : r.anchor) BOOST_CHECK_SMALL(x - 3, .05);
  }
}

BOOST_AUTO_TEST_SUITE_END()
