// Ranks that disagree, on threads.
#include "collectives/disagreements.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_SUITE(disagreements_on_threads)

BOOST_AUTO_TEST_CASE(are_everybodys_mismatch_on_whatever_way) {
  for (const auto& [ranks, odd] : {std::pair{2, 1}, {5, 0}})
    disagreements::each(ranks == 2, [&, odd = odd](const std::string& name, const std::string& text,
                                                   const auto& call) {
      on_threads(ranks, [&](auto& comm, report& r) {
        disagreements::check(comm, r, odd, name, text, call);
      });
    });
}

// They never wait for anyone, and there is nobody to differ from.
BOOST_AUTO_TEST_CASE(are_none_where_a_rank_is_alone) {
  tutti::self alone;
  std::vector<float> x(3, 1);
  tutti::all_reduce(alone, x, tutti::max{});
  tutti::all_reduce(alone, x, tutti::ring{});
  BOOST_TEST(x == std::vector<float>(3, 1));
}

BOOST_AUTO_TEST_SUITE_END()
