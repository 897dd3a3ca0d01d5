// The verbs of the host's memory, which those of other memories have to agree with.
#include <tutti/training/host_verbs.hpp>

#include <boost/test/unit_test.hpp>

#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(verbs_of_the_host)

namespace {

using floats = std::vector<float>;
constexpr float infinite = std::numeric_limits<float>::infinity();

} // namespace

BOOST_AUTO_TEST_CASE(what_was_read_of_a_model_is_written_back_where_it_was) {
  std::vector<floats> values{{7, 8, 9}, {}, {2, 3, 4, 5, 6}, {0, 1}}; // counted up in the order of the range
  std::vector<tutti::tensor<float>> tensors;
  for (auto& v : values) tensors.push_back({std::to_string(tensors.size()), v});
  const tutti::flat_model<float> model{tensors};
  tutti::detail::host_verbs<float> memory;
  for (std::size_t begin = 0; begin <= 10; ++begin)
    for (std::size_t end = begin; end <= 10; ++end) {
      floats piece(end - begin), whole(10);
      memory.read(model, {begin, end}, piece);
      for (std::size_t i = 0; i < piece.size(); ++i) BOOST_CHECK_EQUAL(piece[i], float(begin + i));
      for (float& x : piece) x += 100;
      memory.write(model, {begin, end}, piece);
      memory.read(model, {0, 10}, whole);
      for (std::size_t i = 0; i < 10; ++i) BOOST_CHECK_EQUAL(whole[i], float(i + (begin <= i && i < end ? 100 : 0)));
      for (float& x : piece) x -= 100;
      memory.write(model, {begin, end}, piece);
    }
}

BOOST_AUTO_TEST_CASE(one_verdict_on_all_that_was_looked_at) {
  tutti::detail::host_verbs<float> memory;
  const floats a{3, 4}, b{12}, bad{1, infinite};
  memory.look(a, true);
  memory.look(b, true);
  const auto both = memory.found();
  BOOST_CHECK(both.finite);
  BOOST_CHECK_EQUAL(both.squares, 169);
  memory.look(bad, false);
  BOOST_CHECK(!memory.found().finite);
  BOOST_CHECK(memory.found().finite); // nothing since
  memory.look(bad, true);
  memory.forget();
  BOOST_CHECK(memory.found().finite);
  BOOST_CHECK_EQUAL(memory.first_bad(bad), 1u);
  BOOST_CHECK_EQUAL(memory.first_bad(a), 2u);
}

BOOST_AUTO_TEST_CASE(complete_contributions_are_bounded_while_they_are_written) {
  tutti::detail::host_verbs<float> memory;
  memory.bound(8);
  floats from(5000, 3), to(5000, 3);
  const std::span<const float> read{from};
  memory.collect(read, std::span{to}, true, 1.f, 1.f, false);
  memory.collect(read, std::span{to}, true, 1.f, 2.f, true); // (6 + 3) / 2
  BOOST_CHECK_EQUAL(to[4999], 4.5f);
  BOOST_CHECK(memory.is_bounded());
  from[4500] = -8;
  memory.collect(read, std::span{to}, false, 1.f, 1.f, false);
  BOOST_CHECK(memory.is_bounded());
  memory.collect(read, std::span{to}, false, 1.f, 1.f, true);
  BOOST_CHECK(!memory.is_bounded());
  BOOST_CHECK(memory.is_bounded());
}

BOOST_AUTO_TEST_CASE(what_is_elementwise) {
  tutti::detail::host_verbs<float> memory;
  floats p{1, 2}, x{5, 5}, last{1, 1};
  memory.depart(p, x);
  BOOST_CHECK((p == floats{4, 3}));
  memory.keep_share(p, x, .5); // 5 + .5 (p - 5)
  BOOST_CHECK((p == floats{4.5f, 4}));
  memory.track(p, x, last, 2); // p += 10 - 1
  BOOST_CHECK((p == floats{13.5f, 13}));
  BOOST_CHECK((last == floats{10, 10}));
  memory.pull(p, x, last, .1); // p += .1 (5 - 10)
  BOOST_CHECK((p == floats{13, 12.5f}));
  floats bad{infinite, 1};
  memory.scale(bad, 0);
  BOOST_CHECK((bad == floats{0, 0}));
  memory.divide(p, 2);
  memory.scale(p, 4);
  BOOST_CHECK((p == floats{26, 25}));
}

BOOST_AUTO_TEST_CASE(what_is_kept_begins_as_zeros_and_moves_with_its_owner) {
  tutti::detail::host_verbs<double> memory;
  tutti::detail::kept_values<double> kept{memory, 3}, none;
  BOOST_CHECK_EQUAL(kept.span()[2], 0);
  kept.span()[2] = 7;
  none = std::move(kept);
  BOOST_CHECK_EQUAL(none.in({2, 3})[0], 7);
  BOOST_CHECK(kept.span().empty());
}

BOOST_AUTO_TEST_SUITE_END()
