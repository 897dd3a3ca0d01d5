// error_feedback: nothing is lost, a memory counts exchanges that were complete, and the counter-examples of
// Karimireddy et al. 2019 stall without it and converge with it.
#include "coded.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/one_shot.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

BOOST_AUTO_TEST_SUITE(codecs)

namespace remembering {

using namespace coded;
using tutti::codec_memory;
using tutti::error_feedback;

/// Multiples of 2^-8 of a rank in a step, so that sums of them are exact.
std::vector<float> step_of(int rank, int step, std::size_t n) {
  tutti::random_stream draw{9, std::uint32_t(step), std::uint64_t(rank)};
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(float(int(draw.below(512)) - 256) / 256);
  return out;
}

/// What is wrong when ranks sum their steps: bits that differ, or something that is lost, beyond `close`.
template <class Codec, class Topology>
std::string flaw(int ranks, std::size_t n, const Topology& topology, const Codec& codec, double close) {
  constexpr int steps = 6;
  const auto count = std::size_t(ranks);
  std::vector<std::vector<float>> arrived(count, std::vector<float>(n));
  std::vector<double> missing(n); // what was contributed, less what has arrived and what is remembered
  std::vector<std::vector<double>> kept(count, std::vector<double>(n));
  std::string wrong;
  tutti::threads::run(ranks, [&](auto& world) {
    const auto me = std::size_t(world.rank());
    codec_memory<float> memory;
    for (int k = 0; k < steps; ++k) {
      auto data = step_of(world.rank(), k, n);
      tutti::all_reduce(world, data, topology, codec, memory);
      for (std::size_t i = 0; i < n; ++i) arrived[me][i] += data[i];
    }
    for (std::size_t i = 0; i < n; ++i) kept[me][i] += double(memory.sent()[i]);
    const auto of_results = memory.published();
    const bool is_mine = std::is_same_v<Topology, tutti::recursive_doubling> ? me + 1 == count : true; // there all finish all
    for (std::size_t i = 0; is_mine && i < of_results.size(); ++i)
      kept[me][memory.finishes().begin + i] += double(of_results[i]);
  });
  for (int r = 0; r < ranks; ++r) {
    if (!same_bits(arrived[std::size_t(r)], arrived[0])) return "ranks have different bits";
    for (int k = 0; k < steps; ++k) {
      const auto own = step_of(r, k, n);
      for (std::size_t i = 0; i < n; ++i) missing[i] += double(own[i]);
    }
    for (std::size_t i = 0; i < n; ++i) missing[i] -= kept[std::size_t(r)][i];
  }
  for (std::size_t i = 0; i < n; ++i)
    if (!(std::fabs(missing[i] - double(arrived[0][i])) <= close))
      return "of value " + std::to_string(i) + " is lost " + std::to_string(missing[i] - double(arrived[0][i]));
  return wrong;
}

template <class Codec>
void check_everywhere(const Codec& codec, double close) {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t n : {std::size_t(ranks) - 1, std::size_t{7}, std::size_t{700}}) {
      BOOST_CHECK_EQUAL(flaw(ranks, n, tutti::direct{}, codec, close), "");
      BOOST_CHECK_EQUAL(flaw(ranks, n, tutti::one_shot{}, codec, close), "");
      BOOST_CHECK_EQUAL(flaw(ranks, n, tutti::star{}, codec, close), "");
    }
}

/// Descends from x by sgd on one rank through a codec; returns the last x.
template <class Gradient, class Codec>
std::vector<float> descended(std::vector<float> x, float rate, int steps, Gradient&& gradient, const Codec& codec) {
  tutti::self comm;
  codec_memory<float> memory;
  for (int k = 0; k < steps; ++k) {
    std::vector<float> g = gradient(x, k);
    for (float& v : g) v *= rate;
    if constexpr (tutti::stateful_codec_of<Codec, float>)
      tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
    else
      tutti::all_reduce(comm, g, tutti::direct{}, codec);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= g[i];
  }
  return x;
}

} // namespace remembering

BOOST_AUTO_TEST_CASE(what_is_not_sent_is_remembered_to_the_last_bit) {
  remembering::check_everywhere(tutti::error_feedback{tutti::top_k{.1}}, 0); // sums are exact, so is this
}

BOOST_AUTO_TEST_CASE(what_is_rounded_is_remembered_on_both_ways) {
  remembering::check_everywhere(tutti::error_feedback{tutti::int8_block{}}, 1e-5);
  remembering::check_everywhere(tutti::error_feedback{tutti::sign_block{}}, 1e-4);
  for (const int ranks : {1, 2, 3, 4}) {
    const tutti::error_feedback codec{tutti::cast<tutti::bfloat16>{}};
    BOOST_CHECK_EQUAL(remembering::flaw(ranks, 700, tutti::ring{}, codec, 1e-5), "");
    BOOST_CHECK_EQUAL(remembering::flaw(ranks, 700, tutti::recursive_doubling{}, codec, 1e-5), "");
    BOOST_CHECK_EQUAL(remembering::flaw(ranks, 700, tutti::direct{}, codec, 1e-5), "");
  }
}

BOOST_AUTO_TEST_CASE(the_residual_is_taken_from_what_was_encoded) { // (1, .9) twice through a top-1
  tutti::self comm;
  tutti::codec_memory<float> memory;
  const tutti::error_feedback codec{tutti::top_k{.5}};
  std::vector<float> g{1, .9f};
  tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
  BOOST_CHECK((g == std::vector<float>{1, 0}));
  BOOST_CHECK_EQUAL(memory.sent()[0], 0);
  BOOST_CHECK_EQUAL(memory.sent()[1], .9f);
  g = {1, .9f};
  tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
  BOOST_CHECK((g == std::vector<float>{0, 1.8f}));
  BOOST_CHECK_EQUAL(memory.sent()[0], 1);
  BOOST_CHECK_EQUAL(memory.sent()[1], 0);
  BOOST_CHECK_EQUAL(memory.exchanges(), 2u);
}

BOOST_AUTO_TEST_CASE(decay_forgets_a_part_of_what_was_left_out) {
  tutti::self comm;
  tutti::codec_memory<float> memory;
  const tutti::error_feedback codec{tutti::top_k{.5}, .5};
  for (int k = 0; k < 2; ++k) {
    std::vector<float> g{1, .5f};
    tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
  }
  BOOST_CHECK_EQUAL(memory.sent()[1], .75f);
}

BOOST_AUTO_TEST_CASE(scaled_signs_stall_without_feedback_and_converge_with_it) {
  // Karimireddy et al. 2019, counter-example 3: f(x) = eps |x1 + x2| + |x1 - x2|, signs of which are ever +-(1, -1) from
  // (1, 1) on: x1 + x2 never changes.
  const auto gradient = [](const std::vector<float>& x, int) {
    const float sum = x[0] + x[1] < 0 ? -1.f : 1.f, gap = x[0] < x[1] ? -1.f : 1.f;
    return std::vector<float>{.5f * sum + gap, .5f * sum - gap};
  };
  const auto stalled = remembering::descended({1, 1}, 0x1p-8f, 2000, gradient, tutti::unsafe_biased{tutti::sign_block{}});
  const auto arrived = remembering::descended({1, 1}, 0x1p-8f, 2000, gradient, tutti::error_feedback{tutti::sign_block{}});
  BOOST_CHECK_EQUAL(stalled[0] + stalled[1], 2);
  BOOST_CHECK_SMALL(arrived[0], .05f);
  BOOST_CHECK_SMALL(arrived[1], .05f);
}

BOOST_AUTO_TEST_CASE(a_top_k_stalls_without_feedback_and_converges_with_it) {
  // f(x) = x2^2 / 2, and noise of +-3 in turn along x1: a top-1 of 2 sends the noise, which cancels, and never x2.
  const auto gradient = [](const std::vector<float>& x, int k) {
    return std::vector<float>{k % 2 == 0 ? 3.f : -3.f, x[1]};
  };
  const auto stalled = remembering::descended({0, 1}, .05f, 1000, gradient, tutti::unsafe_biased{tutti::top_k{.5}});
  const auto arrived = remembering::descended({0, 1}, .05f, 1000, gradient, tutti::error_feedback{tutti::top_k{.5}});
  BOOST_CHECK_EQUAL(stalled[1], 1);
  BOOST_CHECK_SMALL(arrived[1], .2f);
}

BOOST_AUTO_TEST_CASE(of_zeros_nothing_is_remembered) { // no block divides by its scale
  const auto check = [](const auto& codec) {
    tutti::self comm;
    tutti::codec_memory<float> memory;
    for (int k = 0; k < 2; ++k) {
      std::vector<float> zeros(300);
      tutti::all_reduce(comm, zeros, tutti::direct{}, tutti::error_feedback{codec}, memory);
      BOOST_CHECK(zeros == std::vector<float>(300));
      for (const auto kept : {memory.sent(), memory.published()})
        BOOST_CHECK(std::ranges::all_of(kept, [](float v) { return v == 0; }));
    }
  };
  check(tutti::int8_block{});
  check(tutti::int4_block{});
  check(tutti::fp8_block<tutti::fp8::e4m3>{});
  check(tutti::sign_block{});
}

BOOST_AUTO_TEST_CASE(signs_of_one_size_are_voted_for_and_an_even_vote_is_positive) {
  std::vector<float> votes[] = {{1, 1, -1, -1}, {1, -1, -1, 1}};
  tutti::threads::run(2, [&](auto& world) {
    tutti::codec_memory<float> memory;
    tutti::all_reduce(world, votes[world.rank()], tutti::star{}, tutti::error_feedback{tutti::sign_block{}}, memory);
  });
  for (const auto& result : votes) BOOST_CHECK((result == std::vector<float>{1, 1, -1, 1})); // half of 2, 0, -2 and 0

  tutti::self comm;
  tutti::codec_memory<float> memory;
  std::vector<float> one{0, 0, 0, 3};
  tutti::all_reduce(comm, one, tutti::direct{}, tutti::error_feedback{tutti::sign_block{}}, memory);
  BOOST_CHECK((one == std::vector<float>(4, .75f)));
  BOOST_CHECK(std::ranges::equal(memory.sent(), std::vector<float>{-.75f, -.75f, -.75f, 2.25f}));
}

BOOST_AUTO_TEST_CASE(a_memory_goes_on_with_data_of_one_length) {
  tutti::self comm;
  tutti::codec_memory<float> memory;
  const tutti::error_feedback codec{tutti::top_k{.5}};
  std::vector<float> g(4, 1.f), other(5, 1.f);
  tutti::all_reduce(comm, g, tutti::direct{}, codec, memory);
  BOOST_CHECK_EXCEPTION(tutti::all_reduce(comm, other, tutti::direct{}, codec, memory), tutti::error,
                        [](const tutti::error& e) {
                          return e.details().code == tutti::error_code::invalid_argument &&
                                 std::string{e.what()}.find("memory is of 4 values, and the data has 5") !=
                                     std::string::npos;
                        });
}

BOOST_AUTO_TEST_CASE(numbers_that_make_no_sense_are_refused_by_name) {
  const auto refused = [](const auto& codec, const char* why) {
    tutti::self comm;
    tutti::codec_memory<float> memory;
    std::vector<float> g(4, 1.f);
    BOOST_CHECK_EXCEPTION(tutti::all_reduce(comm, g, tutti::direct{}, codec, memory), tutti::error,
                          [&](const tutti::error& e) { return std::string{e.what()}.find(why) != std::string::npos; });
  };
  refused(tutti::error_feedback{tutti::top_k{.5}, 1.5}, "error_feedback::decay is not in [0, 1]");
  refused(tutti::error_feedback{tutti::top_k{.5}, double(coded::none)}, "error_feedback::decay is not in [0, 1]");
  refused(tutti::error_feedback{tutti::top_k{0}}, "the fraction of a sparse codec is not in (0, 1]");
  refused(tutti::error_feedback{tutti::top_k{1.5}}, "the fraction of a sparse codec is not in (0, 1]");
}

BOOST_AUTO_TEST_CASE(started_again_and_later_it_goes_on_with_the_same_bits) {
  constexpr std::size_t n = 300;
  const tutti::error_feedback codec{tutti::top_k{.05}};
  tutti::threads::run(3, [&](auto& world) {
    tutti::codec_memory<float> at_once, later, again;
    std::vector<float> a(n), b(n), c(n);
    auto often = tutti::persistent_all_reduce(world, c, tutti::direct{}, codec, again);
    bool same = true;
    for (int k = 0; k < 4; ++k) {
      a = b = remembering::step_of(world.rank(), k, n);
      std::copy(a.begin(), a.end(), c.begin());
      tutti::all_reduce(world, a, tutti::direct{}, codec, at_once);
      tutti::async_all_reduce(world, b, tutti::direct{}, codec, later).wait();
      often.start();
      often.wait();
      same = same && coded::same_bits(a, b) && coded::same_bits(a, c);
    }
    same = same && std::equal(at_once.sent().begin(), at_once.sent().end(), again.sent().begin());
    if (!same) throw std::runtime_error{"the three forms differ"};
  });
}

BOOST_AUTO_TEST_CASE(what_travels_is_what_the_codec_says) {
  constexpr std::size_t n = 1000;
  for (const int ranks : {2, 3}) {
    const tutti::top_k codec{.02};
    std::size_t expected = 0;
    for (int r = 0; r < ranks; ++r) { // each shard once to its owner, and its result to the others
      const tutti::shard s = tutti::shard_of(n, r, ranks);
      const std::size_t length = s.end - s.begin, others = std::size_t(ranks - 1);
      expected += others * (codec.bytes<float>(length) + codec.results(ranks).bytes<float>(length));
    }
    std::vector<std::size_t> sent(std::size_t(ranks), 0);
    tutti::threads::run(ranks, [&](auto& world) {
      tutti::counted comm{world};
      tutti::codec_memory<float> memory;
      auto data = remembering::step_of(world.rank(), 0, n);
      tutti::all_reduce(comm, data, tutti::direct{}, tutti::error_feedback{codec}, memory);
      sent[std::size_t(world.rank())] = std::size_t(comm.sent().bytes);
    });
    BOOST_CHECK_EQUAL(std::accumulate(sent.begin(), sent.end(), std::size_t{0}), expected);
  }
}

BOOST_AUTO_TEST_SUITE_END()
