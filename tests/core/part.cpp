#include <tutti/core/determinism.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/options.hpp>
#include <tutti/core/part.hpp>
#include <tutti/core/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using namespace tutti;
using tutti::detail::count_parts, tutti::detail::part_is, tutti::detail::part_type;

struct world {
  using part = communicator_part;
  std::unique_ptr<int> only_moved;
};
struct adds {
  using part = reducer_part;
  int number = 0;
};
struct turns {
  using part = topology_part;
};
struct no_part {};

static_assert(part_is<adds, reducer_part> && part_is<const adds&, reducer_part>);
static_assert(!part_is<adds, codec_part> && !part_is<no_part, reducer_part>);
static_assert(!part_is<int, reducer_part>);
static_assert(count_parts<reducer_part, adds, turns, const adds&, no_part> == 2);
static_assert(count_parts<codec_part> == 0);
static_assert(std::is_same_v<part_type<reducer_part, int, turns, const adds&>, const adds&>);
static_assert(std::is_same_v<part_type<reducer_part, int, turns>, int>);

template <class... Parts>
int picked_number(Parts&&... parts) {
  return tutti::detail::pick<reducer_part, adds>(std::forward<Parts>(parts)...).number;
}

static_assert(determinism::none < determinism::run_to_run);
static_assert(determinism::run_to_run < determinism::rank_count_invariant);
static_assert(name(determinism::rank_count_invariant) == "rank_count_invariant");
static_assert(part_is<at_least<determinism::none>, demand_part> && part_is<options, options_part>);

} // namespace

BOOST_AUTO_TEST_CASE(a_part_is_picked_wherever_it_stands) {
  BOOST_CHECK_EQUAL(picked_number(adds{3}, turns{}), 3);
  BOOST_CHECK_EQUAL(picked_number(turns{}, adds{4}), 4);
  BOOST_CHECK_EQUAL(picked_number(turns{}), 0);
  BOOST_CHECK_EQUAL(picked_number(), 0);
}

BOOST_AUTO_TEST_CASE(a_part_given_by_reference_is_referred_to) {
  adds mine{1};
  tutti::detail::pick<reducer_part, adds>(turns{}, mine).number = 9;
  BOOST_CHECK_EQUAL(mine.number, 9);

  world given{std::make_unique<int>(5)};
  const world taken = tutti::detail::pick<communicator_part, world>(adds{}, std::move(given));
  BOOST_CHECK_EQUAL(*taken.only_moved, 5);
}

BOOST_AUTO_TEST_CASE(options_name_a_moment) {
  using namespace std::chrono_literals;
  constexpr tutti::deadline now{2s};
  BOOST_CHECK((options{.timeout = 100ms}.until(now) == now + 100ms));
  BOOST_CHECK(options{}.timeout == 5min && options{}.weight == 1);
}

BOOST_AUTO_TEST_CASE(a_tensor_is_a_name_and_a_view) {
  std::vector<float> values{1, 2};
  const tensor named{"weights", std::span<float>{values}};
  static_assert(std::is_same_v<decltype(named), const tensor<float>>);

  named.values[1] = 7;

  BOOST_CHECK_EQUAL(named.name, "weights");
  BOOST_CHECK_EQUAL(values[1], 7);
}

BOOST_AUTO_TEST_CASE(this_build_computes_what_it_says) {
  BOOST_CHECK(tutti::detail::arithmetic_is_exact());
  BOOST_CHECK_NO_THROW(tutti::detail::require_exact_arithmetic());
}

BOOST_AUTO_TEST_SUITE_END()
