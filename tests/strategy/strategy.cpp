// A strategy: parts in any order, defaults, who owns the communicator, what it promises.
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(strategy)

namespace {

template <class S>
using topology_of = typename S::topology_type;

/// A reducer that promises the same bits for any rank count: integers do not round.
struct exact_count : tutti::sum {
  static constexpr tutti::determinism repeats = tutti::determinism::rank_count_invariant;
};

} // namespace

BOOST_AUTO_TEST_CASE(parts_come_in_any_order) {
  tutti::self world;
  tutti::strategy a{world, tutti::ring{}, tutti::sum{}, tutti::cast<tutti::half>{}, tutti::sharded{}};
  tutti::strategy b{tutti::sharded{}, tutti::cast<tutti::half>{}, world, tutti::sum{}, tutti::ring{}};
  using A = decltype(a);
  using B = decltype(b);
  static_assert(std::is_same_v<topology_of<A>, tutti::ring> &&
                std::is_same_v<topology_of<B>, tutti::ring>);
  static_assert(std::is_same_v<A::reducer_type, B::reducer_type>);
  static_assert(std::is_same_v<A::codec_type, B::codec_type>);
  static_assert(std::is_same_v<A::sync_type, B::sync_type>);
  static_assert(std::is_same_v<A::comm_type, B::comm_type>);
  BOOST_CHECK(&a.comm() == &world && &b.comm() == &world);
}

BOOST_AUTO_TEST_CASE(what_is_left_out_has_a_default) {
  tutti::self world;
  using plain = decltype(tutti::strategy{world});
  static_assert(std::is_same_v<plain::topology_type, tutti::default_topology>);
  static_assert(std::is_same_v<plain::reducer_type, tutti::mean>);
  static_assert(std::is_same_v<plain::codec_type, tutti::identity>);
  static_assert(std::is_same_v<plain::sync_type, tutti::synchronous>);
  using served = decltype(tutti::strategy{world, tutti::asynchronous{}});
  static_assert(std::is_same_v<served::topology_type, tutti::star>);
  using rounds = decltype(tutti::strategy{world, tutti::federated{}});
  static_assert(std::is_same_v<rounds::reducer_type, tutti::weighted_mean>);
  BOOST_CHECK_EQUAL((tutti::strategy{world, tutti::asynchronous{}}.topology().servers), 1);
  BOOST_CHECK_EQUAL((tutti::strategy{world, tutti::star{.servers = 3}, tutti::asynchronous{}}
                         .topology().servers), 3);
}

BOOST_AUTO_TEST_CASE(an_lvalue_communicator_is_referred_to_and_an_rvalue_owned) {
  tutti::self world;
  tutti::counted counted{world};
  tutti::strategy refers{counted};
  tutti::strategy owns{tutti::counted{tutti::self{}}};
  static_assert(std::is_same_v<decltype(refers)::comm_type, decltype(owns)::comm_type> == false);
  BOOST_CHECK(&refers.comm() == &counted);

  std::vector<float> values(3);
  owns.bind(values, tutti::sgd{}).step(values);
  BOOST_CHECK_EQUAL(owns.comm().sent().bytes, 0u);
}

BOOST_AUTO_TEST_CASE(a_strategy_promises_what_policy_and_reducer_promise) {
  tutti::self world;
  using tutti::determinism;
  static_assert(decltype(tutti::strategy{world})::determinism == determinism::run_to_run);
  static_assert(decltype(tutti::strategy{world, tutti::asynchronous{}})::determinism ==
                determinism::none);
  static_assert(decltype(tutti::strategy{world, exact_count{}})::determinism ==
                determinism::rank_count_invariant);
  tutti::strategy asked{world, exact_count{}, tutti::at_least<determinism::rank_count_invariant>{}};
  (void)asked;
  BOOST_CHECK_EQUAL(name(decltype(tutti::strategy{world})::determinism), "run_to_run");
}

BOOST_AUTO_TEST_CASE(options_of_the_strategy_hold_unless_bind_is_given_others) {
  tutti::self world;
  tutti::strategy skipping{world, tutti::training_options{.non_finite = tutti::non_finite::skip}};
  std::vector<float> values(2), bad(2, 0.0f);
  bad[0] = 1e38f * 1e38f;
  auto lenient = skipping.bind(values, tutti::sgd{});
  lenient.step(bad);
  BOOST_CHECK_EQUAL(lenient.skipped(), 1);

  auto strict = skipping.bind(values, tutti::sgd{}, tutti::training_options{});
  BOOST_CHECK_THROW(strict.step(bad), tutti::error);
}

BOOST_AUTO_TEST_SUITE_END()
