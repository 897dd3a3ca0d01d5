// Which codec goes with which way of agreeing: schedules, servers, graphs, clients; and that what all agree on stays.
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

BOOST_AUTO_TEST_SUITE(codecs)

namespace matrix {

using tutti::codec_kind;
using ranks = tutti::threads::communicator;

template <class Topology, class Sync, class Codec>
constexpr bool goes = tutti::detail::strategy_checks<ranks, Topology, tutti::mean, Codec, Sync>::value;
template <class Topology, class Sync, class... Codecs>
constexpr bool all_go = (goes<Topology, Sync, Codecs> && ...);
template <class Topology, class Sync, class... Codecs>
constexpr bool none_goes = (!goes<Topology, Sync, Codecs> && ...);

using tutti::bfloat16, tutti::cast, tutti::ef21, tutti::error_feedback, tutti::exempt, tutti::identity, tutti::int8_agreed,
    tutti::int8_block, tutti::power_sgd, tutti::qsgd, tutti::sign_block, tutti::top_k, tutti::unsafe_biased, tutti::vectors;
using half = cast<tutti::half>;
using fed = error_feedback<top_k>;
using followed = ef21<top_k>;
using spared = exempt<vectors, int8_block>;

// Gradients, and differences, over a schedule where everything meets: all but what is biased.
static_assert(all_go<tutti::direct, tutti::synchronous, identity, half, int8_block, qsgd, fed, followed, power_sgd,
                     int8_agreed, spared, unsafe_biased<sign_block>>);
static_assert(all_go<tutti::direct, tutti::diloco, identity, half, int8_block, qsgd, fed, followed, power_sgd, spared>);
static_assert(none_goes<tutti::direct, tutti::synchronous, top_k, sign_block>);
// Where they are combined on the way: what adds up.
static_assert(all_go<tutti::ring, tutti::synchronous, identity, half, power_sgd, int8_agreed, error_feedback<half>>);
static_assert(none_goes<tutti::ring, tutti::synchronous, int8_block, qsgd, fed, followed>);
// Parameters, which have to stay where all agree; servers answer with them.
static_assert(all_go<tutti::direct, tutti::local_sgd, identity, half>);
static_assert(none_goes<tutti::direct, tutti::local_sgd, int8_block, qsgd, fed, followed, power_sgd, unsafe_biased<top_k>>);
static_assert(all_go<tutti::star, tutti::asynchronous, identity, half>);
static_assert(none_goes<tutti::star, tutti::asynchronous, int8_block, qsgd, fed, followed, power_sgd, spared>);
static_assert(all_go<tutti::one_peer_exponential, tutti::gossip, identity, half>);
static_assert(none_goes<tutti::one_peer_exponential, tutti::gossip, int8_block, qsgd, fed, followed, power_sgd, spared>);
static_assert(all_go<tutti::random_pairs, tutti::no_loco, identity, half>); // which pulls towards parameters
static_assert(none_goes<tutti::random_pairs, tutti::no_loco, int8_block, qsgd, fed, followed, power_sgd, spared>);
// Differences of clients: what needs no memory.
static_assert(all_go<tutti::direct, tutti::federated, identity, half, int8_block, qsgd>);
static_assert(none_goes<tutti::direct, tutti::federated, fed, followed, power_sgd, spared, sign_block>);

/// What is left of .1 on every rank after a hundred steps in which nobody learns anything.
template <class... Parts>
std::vector<float> agreed(float x, const Parts&... parts) {
  std::vector<float> out(4);
  tutti::threads::run(4, [&](auto& world) {
    std::vector<float> values(300, x), nothing(300);
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = .1});
    for (int step = 0; step < 100; ++step) trainer.step(nothing);
    trainer.finalize();
    bool all = true;
    for (const float one : values) all = all && one == values[0];
    out[std::size_t(world.rank())] = all ? values[0] : -1;
  });
  return out;
}

} // namespace matrix

BOOST_AUTO_TEST_CASE(what_all_agree_on_stays_through_a_cast) {
  const float short_one = float(tutti::bfloat16(.1f)); // what a cast says of parameters, it says again
  const std::vector<float> same(4, short_one);
  constexpr tutti::cast<tutti::bfloat16> codec{};
  BOOST_TEST(matrix::agreed(.1f, tutti::gossip{}, codec) == same, boost::test_tools::per_element());
  BOOST_TEST(matrix::agreed(.1f, tutti::local_sgd{.period = 1}, codec) == same, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
