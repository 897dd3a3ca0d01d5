// The members of classes, listed and hashed.
#include <tutti/core/members.hpp>

#include <tutti/codecs/cast.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/k_nomial_tree.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>
#include <tutti/topologies/torus.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

BOOST_AUTO_TEST_SUITE(members)

namespace {

struct nothing {};
struct one {
  int a = 1;
};
struct pair_of {
  int x = 1, y = 2;
};
struct nested {
  one first;
  pair_of second;
  double third = 3;
};
struct with_arrays {
  int before = 1;
  int row[3] = {2, 3, 4};
  pair_of pair;
  char name[2] = {'a', 'b'};
};
struct with_owners {
  std::string text = "abc";
  std::vector<double> weights = {1, 2};
  std::array<int, 3> three = {1, 2, 3};
  std::unique_ptr<int> owned;
};
struct with_optional {
  int a = 1;
  std::optional<int> b;
};
struct with_reference {
  int& to;
};
struct twelve {
  int a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12;
};
struct thirteen {
  int a, b, c, d, e, f, g, h, i, j, k, l, m;
};
struct derived : pair_of {
  int more = 3;
};
struct of_its_own : nothing {
  int more = 3;
};
class closed {
public:
  explicit closed(int a) : a_{a} {}

private:
  int a_;
  friend int of(const closed& c) { return c.a_; }
};
class outspoken {
public:
  outspoken(int counts, int does_not) : counts_{counts}, does_not_{does_not} {}
  auto compared() const { return std::tie(counts_); }
  int other() const { return does_not_; }

private:
  int counts_, does_not_;
};
enum class shade { light, dark };
struct of_many_kinds {
  bool on = false;
  shade how = shade::light;
  float width = 0;
  std::chrono::milliseconds rest{5};
  tutti::bfloat16 brief{1.0f};
  const int* where = nullptr;
};

template <class T> std::vector<double> listed(const T& value) {
  std::vector<double> all;
  tutti::for_each_member(value, [&](const auto& m) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(m)>>) all.push_back(double(m));
    else all.push_back(-1);
  });
  return all;
}

} // namespace

static_assert(tutti::member_count<nothing> == 0 && tutti::member_count<one> == 1);
static_assert(tutti::member_count<pair_of> == 2 && tutti::member_count<nested> == 3);
static_assert(tutti::member_count<with_arrays> == 4 && tutti::member_count<with_owners> == 4);
static_assert(tutti::member_count<twelve> == 12 && tutti::member_count<thirteen> == -1);
static_assert(tutti::member_count<derived> == -1 && tutti::member_count<closed> == -1);
static_assert(tutti::member_count<of_its_own> == -1 && tutti::member_count<with_reference> == -1);
static_assert(tutti::member_count<of_many_kinds> == 6);
static_assert(tutti::member_count<tutti::star> == 2 && tutti::member_count<tutti::krum> == 2);
static_assert(tutti::member_count<tutti::pipelined<tutti::ring>> == 2);
static_assert(tutti::member_count<tutti::hierarchical<>> == 3);
static_assert(tutti::member_count<tutti::trimmed_mean> == 1 &&
              tutti::member_count<tutti::torus> == 1);

BOOST_AUTO_TEST_CASE(are_listed_in_their_order) {
  BOOST_TEST(listed(twelve{}) == std::vector<double>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  BOOST_TEST(listed(nested{}) == std::vector<double>({-1, -1, 3}));
  BOOST_TEST(listed(with_arrays{}) == std::vector<double>({1, -1, -1, -1}));
  BOOST_TEST(listed(nothing{}).empty());
}

BOOST_AUTO_TEST_CASE(every_number_counts) {
  const auto differ = [](const auto& usual, const auto& change) {
    auto other = usual;
    BOOST_TEST(tutti::hash_of(other) == tutti::hash_of(usual));
    change(other);
    BOOST_TEST(tutti::hash_of(other) != tutti::hash_of(usual));
  };
  differ(one{}, [](auto& x) { x.a = 2; });
  differ(nested{}, [](auto& x) { x.second.y = 0; });
  differ(nested{}, [](auto& x) { x.third = std::nextafter(3.0, 4.0); });
  differ(with_arrays{}, [](auto& x) { x.row[2] = 0; });
  differ(with_arrays{}, [](auto& x) { x.name[1] = 'c'; });
  differ(twelve{}, [](auto& x) { x.l = 0; });
  differ(of_many_kinds{}, [](auto& x) { x.on = true; });
  differ(of_many_kinds{}, [](auto& x) { x.how = shade::dark; });
  differ(of_many_kinds{}, [](auto& x) { x.width = std::numeric_limits<float>::denorm_min(); });
  differ(of_many_kinds{}, [](auto& x) { x.rest += std::chrono::milliseconds{1}; });
  differ(of_many_kinds{}, [](auto& x) { x.brief = tutti::bfloat16{2.0f}; });
  differ(tutti::krum{}, [](auto& x) { x.keep = 2; });
  differ(tutti::trimmed_mean{}, [](auto& x) { x.trim = 2; });
  differ(tutti::star{}, [](auto& x) { x.servers = 2; });
  differ(tutti::star{}, [](auto& x) { x.dedicated = true; });
  differ(tutti::k_nomial_tree{}, [](auto& x) { x.k = 3; });
  differ(tutti::torus{}, [](auto& x) { x.rows = 3; });
  differ(tutti::pipelined{tutti::ring{}, 4}, [](auto& x) { x.segments = 5; });
  differ(tutti::pipelined{tutti::k_nomial_tree{}, 4}, [](auto& x) { x.inner.k = 5; });
  differ(tutti::hierarchical<>{}, [](auto& x) { x.group = 2; });
  with_owners text, weights;
  text.text = "abd";
  weights.weights.push_back(0);
  BOOST_TEST(tutti::hash_of(text) != tutti::hash_of(with_owners{}));
  BOOST_TEST(tutti::hash_of(weights) != tutti::hash_of(with_owners{}));
}

BOOST_AUTO_TEST_CASE(types_count_and_addresses_do_not) {
  BOOST_TEST(tutti::hash_of(tutti::sum{}) != tutti::hash_of(tutti::max{}));
  BOOST_TEST(tutti::hash_of(tutti::cast<tutti::half>{}) !=
             tutti::hash_of(tutti::cast<tutti::bfloat16>{}));
  const int a = 1;
  of_many_kinds here;
  here.where = &a;
  BOOST_TEST(tutti::hash_of(here) == tutti::hash_of(of_many_kinds{}));
}

// Of a view what it refers to does not count, which may be a rank's own; of a text it does.
BOOST_AUTO_TEST_CASE(views_do_not_count_and_texts_do) {
  struct viewing {
    std::span<const int> seen;
    int own = 1;
  };
  const int here[] = {1, 2}, there[] = {3};
  BOOST_CHECK_EQUAL(tutti::hash_of(viewing{here}), tutti::hash_of(viewing{there}));
  BOOST_CHECK_NE(tutti::hash_of(viewing{here, 1}), tutti::hash_of(viewing{here, 2}));
  BOOST_CHECK_NE(tutti::hash_of(std::string_view{"a"}), tutti::hash_of(std::string_view{"b"}));
}

/// No compiler takes it apart; it says what counts.
struct of_a_union {
  union {
    float f;
    int i;
  };
  int k = 0;
  auto compared() const { return std::tie(k); }
};
BOOST_AUTO_TEST_CASE(a_class_with_an_anonymous_union_says_what_counts) {
  of_a_union a{{1.0f}, 1}, b{{2.0f}, 1}, c{{1.0f}, 2};
  BOOST_CHECK_EQUAL(tutti::hash_of(a), tutti::hash_of(b));
  BOOST_CHECK_NE(tutti::hash_of(a), tutti::hash_of(c));
}

BOOST_AUTO_TEST_CASE(there_is_one_zero_and_one_nan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  BOOST_TEST(tutti::hash_of(0.0) == tutti::hash_of(-0.0));
  BOOST_TEST(tutti::hash_of(nan) == tutti::hash_of(-nan));
  BOOST_TEST(tutti::hash_of(nan) != tutti::hash_of(0.0));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_listed_counts_by_its_type_or_says_what_counts) {
  BOOST_TEST(of(closed{1}) == 1);
  BOOST_TEST(tutti::hash_of(closed{1}) == tutti::hash_of(closed{2}));
  BOOST_TEST(tutti::hash_of(derived{}) == tutti::hash_of(derived{{}, 4}));
  BOOST_TEST(tutti::hash_of(with_optional{1, 2}) == tutti::hash_of(with_optional{1, 2}));
  BOOST_TEST(tutti::hash_of(outspoken{1, 2}) == tutti::hash_of(outspoken{1, 3}));
  BOOST_TEST(tutti::hash_of(outspoken{1, 2}) != tutti::hash_of(outspoken{2, 2}));
  BOOST_TEST(outspoken(1, 2).other() == 2);
}

BOOST_AUTO_TEST_SUITE_END()
