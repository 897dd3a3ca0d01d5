// ef21: what all believe of each rank follows what it has, their mean arrives, and what diverges without it does not.
#include "codecs/coded.hpp"

#include <tutti/codecs/ef21.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/one_shot.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(beliefs)

namespace {

using floats = std::vector<float>;

struct outcome {
  floats arrived, believed, agreed; ///< the last result, and what this rank's memory holds
  double apart = 0;                 ///< squares of what it contributes and is not believed yet
};
/// Every rank contributes the same again and again.
template <class Codec>
std::vector<outcome> repeated(int ranks, int times, const Codec& codec) {
  std::vector<outcome> all(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    outcome& mine = all[std::size_t(world.rank())];
    const floats own = coded::drawn(400, std::uint64_t(world.rank() + 1));
    tutti::codec_memory<float> memory;
    for (int k = 0; k < times; ++k) {
      mine.arrived = own;
      tutti::all_reduce(world, mine.arrived, tutti::direct{}, tutti::mean{}, codec, memory);
    }
    mine.believed.assign(memory.sent().begin(), memory.sent().end());
    mine.agreed.assign(memory.agreed().begin(), memory.agreed().end());
    mine.apart = coded::squares(coded::difference(own, mine.believed));
  });
  return all;
}

/// f_r(x) = (a_r x)^2 + |x|^2 / 4, a_r two everywhere and -3 at r (Beznosikov, Horvath, Richtarik, Safaryan, "On biased
/// compression for distributed learning", JMLR 2023, example 1): the norm of x after some steps from (1, 1, 1).
template <class... Parts>
double descended(int steps, float rate, bool remembers, const Parts&... parts) {
  double norm = 0;
  std::uint64_t counted = 0;
  tutti::threads::run(3, [&](auto& world) {
    tutti::codec_memory<float> memory;
    floats x(3, 1.0f), a(3, 2.0f);
    a[std::size_t(world.rank())] = -3;
    for (int k = 0; k < steps; ++k) {
      const float by = 2 * (a[0] * x[0] + a[1] * x[1] + a[2] * x[2]);
      floats g(3);
      for (std::size_t i = 0; i < 3; ++i) g[i] = by * a[i] + x[i] / 2;
      if constexpr ((tutti::stateful_codec_of<Parts, float> || ...))
        tutti::all_reduce(world, g, tutti::one_shot{}, tutti::mean{}, parts..., memory);
      else
        tutti::all_reduce(world, g, tutti::one_shot{}, tutti::mean{}, parts...);
      for (std::size_t i = 0; i < 3; ++i) x[i] -= rate * g[i];
    }
    if (world.rank() == 0) {
      norm = std::sqrt(coded::squares(x));
      counted = memory.exchanges();
    }
  });
  BOOST_CHECK_EQUAL(counted, remembers ? std::uint64_t(steps) : 0);
  return norm;
}

} // namespace

BOOST_AUTO_TEST_CASE(beliefs_approach_what_stays_and_their_mean_arrives) {
  const tutti::ef21 codec{tutti::top_k{.1}};
  const double whole[] = {coded::squares(coded::drawn(400, 1)), coded::squares(coded::drawn(400, 2)),
                          coded::squares(coded::drawn(400, 3))};
  for (const int times : {1, 3, 8, 12}) {
    const auto all = repeated(3, times, codec);
    for (std::size_t r = 0; r < 3; ++r) {
      BOOST_CHECK_LE(all[r].apart, std::pow(.9, times) * whole[r]); // lemma of a contraction by .1, each time
      BOOST_CHECK(coded::same_bits(all[r].arrived, all[0].arrived));
      BOOST_CHECK(coded::same_bits(all[r].arrived, all[r].agreed));
    }
    double off = 0;
    for (std::size_t i = 0; i < 400; ++i)
      off = std::max(off, std::abs(double(all[0].agreed[i]) -
                                   (double(all[0].believed[i]) + double(all[1].believed[i]) + double(all[2].believed[i])) / 3));
    BOOST_CHECK_SMALL(off, 1e-6);
  }
  BOOST_CHECK_SMALL(repeated(3, 12, codec)[1].apart, 1e-12); // each tenth once
}

BOOST_AUTO_TEST_CASE(results_that_lose_something_catch_up) {
  const auto all = repeated(2, 12, tutti::ef21{tutti::int8_block{}});
  const floats a = coded::drawn(400, 1), b = coded::drawn(400, 2);
  double off = 0;
  for (std::size_t i = 0; i < 400; ++i)
    off = std::max(off, std::abs(double(all[0].arrived[i]) - (double(a[i]) + double(b[i])) / 2));
  BOOST_CHECK_SMALL(off, 1e-5);
  BOOST_CHECK(coded::same_bits(all[0].arrived, all[1].arrived));
}

BOOST_AUTO_TEST_CASE(what_diverges_without_it_converges) {
  BOOST_CHECK_GT(descended(200, .05f, false, tutti::top_k{.3}), 1e6);
  BOOST_CHECK_LT(descended(600, .02f, true, tutti::ef21{tutti::top_k{.3}}), 1e-2);
}

BOOST_AUTO_TEST_CASE(a_call_that_fails_leaves_what_is_believed) {
  tutti::codec_memory<float> memory;
  const tutti::ef21 codec{tutti::top_k{.5}};
  tutti::self comm, other;
  floats x{3, 1}, shorter(1);
  tutti::all_reduce(comm, x, tutti::direct{}, codec, memory);
  BOOST_CHECK((x == floats{3, 0}));
  BOOST_CHECK_THROW(tutti::all_reduce(comm, shorter, tutti::direct{}, codec, memory), tutti::error);
  BOOST_CHECK_EQUAL(memory.sent()[0], 3);
  BOOST_CHECK_EQUAL(memory.agreed()[0], 3);
  BOOST_CHECK_EQUAL(memory.exchanges(), 1u);
  BOOST_CHECK_EXCEPTION(tutti::all_reduce(other, x, tutti::direct{}, tutti::ef21{tutti::top_k{0}}, memory), tutti::error,
                        [](const tutti::error& e) {
                          return std::string{e.what()}.find("fraction of a sparse codec") != std::string::npos;
                        });
}

BOOST_AUTO_TEST_SUITE_END()
