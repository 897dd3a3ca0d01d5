// A library that sets a mode of arithmetic on one rank, after it has begun, or on all: every rank ends
// with the bits that it ends with where nobody does.
#include "core/modes.hpp"

#include <boost/test/unit_test.hpp>

#include <tutti/tutti.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace {

using all_results = std::vector<std::vector<float>>; ///< of every rank
using reduce_call = void (*)(tutti::threads::communicator&, std::vector<float>&);

/// Numbers whose sums are subnormal, and some whose sums have to be rounded.
std::vector<float> odd_numbers(int rank, std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i)
    x[i] = i % 2 == 0 ? 1e-41f * float(i % 7 + 1) * float(rank + 1)
                      : 1.0f + 0.37e-7f * float(i % 11) * float(rank + 1);
  return x;
}

/// On five ranks; `who` are those on whom the mode is set, once they have begun.
all_results reduced(const modes::mode& mode, std::vector<int> who, std::size_t n, reduce_call reduce) {
  all_results out(5);
  tutti::threads::run(5, [&](tutti::threads::communicator& world) {
    std::vector<float> x = odd_numbers(world.rank(), n);
    bool here = false;
    for (const int r : who) here = here || r == world.rank();
    const modes::scope set{here ? mode : modes::mode{}};
    reduce(world, x);
    out[std::size_t(world.rank())] = x;
  });
  return out;
}

std::size_t unlike(const std::vector<float>& a, const std::vector<float>& b) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) n += std::memcmp(&a[i], &b[i], sizeof a[i]) != 0;
  return n;
}

template <class... Parts> void changes_nothing(const std::string& name) {
  const reduce_call reduce = [](tutti::threads::communicator& world, std::vector<float>& x) {
    constexpr bool weighs = (std::is_same_v<Parts, tutti::weighted_mean> || ...);
    tutti::all_reduce(world, x, Parts{}..., tutti::options{.weight = weighs ? 0.1 * (world.rank() + 1) : 1});
  };
  for (const std::size_t n : {std::size_t{5}, std::size_t{3000}}) {
    const all_results wanted = reduced({}, {}, n, reduce);
    for (const modes::mode& mode : modes::all())
      for (const auto& who : {std::vector<int>{1}, std::vector<int>{0, 1, 2, 3, 4}}) {
        const all_results got = reduced(mode, who, n, reduce);
        std::size_t wrong = 0;
        for (std::size_t r = 0; r < got.size(); ++r) wrong += unlike(got[r], wanted[r]);
        BOOST_CHECK_MESSAGE(wrong == 0, name << ", " << mode.name << " on " << who.size()
                                             << " of 5 ranks, " << n << " floats: " << wrong
                                             << " of all results are others");
      }
  }
}

} // namespace

BOOST_AUTO_TEST_SUITE(modes_of_arithmetic)

BOOST_AUTO_TEST_CASE(change_no_result_of_a_reduction) {
  changes_nothing<tutti::default_topology>("default topology");
  changes_nothing<tutti::ring>("ring");
  changes_nothing<tutti::recursive_doubling>("recursive_doubling");
  changes_nothing<tutti::halving_doubling, tutti::mean>("mean over halving_doubling");
  changes_nothing<tutti::direct, tutti::weighted_mean>("weighted mean");
  changes_nothing<tutti::ring, tutti::cast<tutti::bfloat16>>("bfloat16 on a ring");
  changes_nothing<tutti::direct, tutti::trimmed_mean>("trimmed mean");
  changes_nothing<tutti::direct, tutti::krum>("krum");
}

BOOST_AUTO_TEST_SUITE_END()
