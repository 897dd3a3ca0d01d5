// dgc: momentum is counted once, of what waits too, and forgotten where something was sent; warmed_up: how much that is.
#include "coded.hpp"

#include <tutti/codecs/chunked_top_k.hpp>
#include <tutti/codecs/dgc.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/random_k.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/codecs/warmed_up.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/one_shot.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(codecs)

namespace corrected {

using namespace coded;

/// Multiples of 2^-8, so that a momentum of a half and sums over a few steps are exact.
std::vector<float> gradient(int rank, int step, std::size_t n) {
  tutti::random_stream draw{11, std::uint32_t(step), std::uint64_t(rank)};
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(float(int(draw.below(512)) - 256) / 256);
  return out;
}

/// The paper's algorithm on one rank, on the whole of its values.
struct plain {
  std::vector<float> u, v;

  std::vector<float> sent(const std::vector<float>& g, float momentum, std::size_t k, bool masks) {
    const std::size_t n = g.size();
    u.resize(n), v.resize(n);
    for (std::size_t i = 0; i < n; ++i) u[i] = momentum * u[i] + g[i], v[i] += u[i];
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return std::fabs(v[a]) > std::fabs(v[b]); });
    std::vector<float> out(n);
    for (std::size_t j = 0; j < k; ++j) {
      const std::size_t i = order[j];
      out[i] = v[i];
      if (masks && v[i] != 0) u[i] = 0;
      v[i] = 0;
    }
    return out;
  }
};

/// What arrives of ones on one rank, step by step.
template <class Codec>
std::vector<double> of_ones(const Codec& codec) {
  tutti::self comm;
  tutti::codec_memory<float> memory;
  std::vector<double> all;
  for (int k = 0; k < 3; ++k) {
    std::vector<float> g(3, 1);
    tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
    all.push_back(double(g[1]));
  }
  return all;
}

} // namespace corrected

BOOST_AUTO_TEST_CASE(momentum_before_a_codec_is_counted_once) {
  const auto close = [](const std::vector<double>& got, const std::vector<double>& wanted) {
    return std::equal(got.begin(), got.end(), wanted.begin(), [](double a, double b) { return std::fabs(a - b) < 1e-6; });
  };
  BOOST_CHECK((close(corrected::of_ones(tutti::dgc{tutti::top_k{1}, .9, false}), {1, 1.9, 2.71})));
  BOOST_CHECK((close(corrected::of_ones(tutti::dgc{tutti::top_k{1}, .9}), {1, 1, 1}))); // all was sent: nothing goes on
}

BOOST_AUTO_TEST_CASE(momentum_correction_is_that_of_the_paper) {
  constexpr int ranks = 3, steps = 6;
  constexpr std::size_t n = 40, k = 6;
  for (const bool masks : {true, false}) {
    std::vector<std::vector<float>> wanted(steps, std::vector<float>(n)), got[ranks];
    corrected::plain each[ranks];
    for (int step = 0; step < steps; ++step)
      for (int r = 0; r < ranks; ++r) {
        const auto sent = each[r].sent(corrected::gradient(r, step, n), .5f, k, masks);
        for (std::size_t i = 0; i < n; ++i) wanted[std::size_t(step)][i] += sent[i];
      }
    bool remembers[ranks] = {};
    tutti::threads::run(ranks, [&](auto& world) {
      const int me = world.rank();
      tutti::codec_memory<float> memory;
      const tutti::dgc codec{tutti::top_k{double(k) / n}, .5, masks};
      for (int step = 0; step < steps; ++step) {
        got[me].push_back(corrected::gradient(me, step, n));
        tutti::all_reduce(world, got[me].back(), tutti::one_shot{}, codec, memory);
      }
      remembers[me] = std::ranges::equal(memory.sent(), each[me].v) && std::ranges::equal(memory.sent(1), each[me].u);
    });
    for (int r = 0; r < ranks; ++r) {
      BOOST_CHECK_MESSAGE(got[r] == wanted, "rank " << r << " has other values, masked: " << masks);
      BOOST_CHECK_MESSAGE(remembers[r], "rank " << r << " remembers something else, masked: " << masks);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_sent_of_nothing_forgets_nothing) { // zeros among the chosen, no values, no numbers
  tutti::self comm;
  tutti::codec_memory<float> memory, none;
  const tutti::dgc codec{tutti::top_k{.5}, .5};
  for (const std::vector<float>& g : {std::vector<float>{1, 0, 0, 0}, {-1, 0, 0, 0}}) { // 1 is sent, and its place masked
    auto values = g;
    tutti::all_reduce(comm, values, tutti::direct{}, codec, memory);
    BOOST_CHECK(values == g);
    BOOST_CHECK_EQUAL(memory.sent(1)[0], 0);
  }
  std::vector<float> empty;
  tutti::all_reduce(comm, empty, tutti::direct{}, codec, none);
  BOOST_CHECK_EQUAL(none.exchanges(), 1u);
  std::vector<float> bad{1, coded::none, coded::infinite};
  tutti::all_reduce(comm, bad, tutti::direct{}, tutti::dgc{tutti::top_k{1}}, none = {});
  BOOST_CHECK(bad[0] == 1 && std::isnan(bad[1]) && bad[2] == coded::infinite);
}

BOOST_AUTO_TEST_CASE(numbers_of_momentum_that_cannot_be) {
  const auto refuses = [](const auto& codec, const char* why) {
    return codec.objection() && std::string{codec.objection()}.find(why) != std::string::npos;
  };
  BOOST_CHECK(refuses((tutti::dgc{tutti::top_k{}, 1.}), "dgc::momentum is not in [0, 1)"));
  BOOST_CHECK(refuses((tutti::dgc{tutti::top_k{}, std::nan("")}), "dgc::momentum is not in [0, 1)"));
  BOOST_CHECK(refuses(tutti::dgc{tutti::top_k{2}}, "fraction"));
  using tutti::dgc, tutti::warmed_up, tutti::top_k;
  BOOST_CHECK(refuses((warmed_up{dgc{top_k{}}, -1}), "warmed_up::steps is negative"));
  BOOST_CHECK(refuses((warmed_up{dgc{top_k{}}, 1, double(coded::infinite)}), "warmed_up::from is not in (0, 1]"));
  BOOST_CHECK(refuses((warmed_up{dgc{top_k{}, 2}, 1}), "dgc::momentum"));
  BOOST_CHECK((!warmed_up{dgc{top_k{}}, 1}.objection()));
}

BOOST_AUTO_TEST_CASE(a_warm_up_sends_a_quarter_of_before_in_each_stage) { // 25, 6.25, 1.5625, .39 and then .1 percent
  const tutti::warmed_up codec{tutti::dgc{tutti::top_k{.001}}, 8};
  const double fractions[] = {.25, .25, .0625, .0625, .015625, .015625, .00390625, .00390625, .001, .001};
  for (std::size_t k = 0; k < std::size(fractions); ++k) {
    BOOST_CHECK_EQUAL(codec.at(k).inner.fraction, fractions[k]);
    BOOST_CHECK_EQUAL(codec.stage(k), int(k / 2));
  }
  BOOST_CHECK_EQUAL(codec.at(1u << 30).inner.fraction, .001);
  BOOST_CHECK_EQUAL((tutti::warmed_up{tutti::dgc{tutti::top_k{.001}}, 0}.at(0).inner.fraction), .001);
  BOOST_CHECK_EQUAL((tutti::warmed_up{tutti::dgc{tutti::top_k{.5}}, 8}.at(0).inner.fraction), .5); // it is more already

  const tutti::warmed_up chunked{tutti::error_feedback{tutti::chunked_top_k{64}}, 2};
  BOOST_CHECK_EQUAL(chunked.at(0).inner.kept, 1024);
  BOOST_CHECK_EQUAL(chunked.at(1).inner.kept, 256);
  BOOST_CHECK_EQUAL(chunked.at(2).inner.kept, 64);
  const tutti::warmed_up drawn{tutti::error_feedback{tutti::random_k{.01}}, 3, .04};
  BOOST_CHECK_EQUAL(drawn.at(2).inner.fraction, .04);
  BOOST_CHECK_EQUAL(drawn.at(3).inner.fraction, .01);
}

BOOST_AUTO_TEST_SUITE_END()
