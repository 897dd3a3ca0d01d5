// cast<W> in collectives: how far the result may be off, the same bits on all ranks, bytes on the
// wire.
#include <tutti/codecs/cast.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/core/random.hpp>

#include "topologies/chosen.hpp"

#include <boost/test/unit_test.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(codecs)

namespace {

using trial::chosen;
using trial::kind_name;
using trial::kinds;
using tutti::bfloat16;
using tutti::collective;
using tutti::half;

/// Half a unit in the last place, relative: 8 and 11 significant bits.
template <class W> constexpr double unit_roundoff = std::is_same_v<W, bfloat16> ? 0x1p-8 : 0x1p-11;

/// Numbers of very different sizes, whose sums cancel and round; in the normal range of half.
float some_number(int rank, std::size_t i) {
  tutti::random_stream draw{i, std::uint32_t(rank)};
  const float sign = draw.below(2) == 0 ? 1.0f : -1.0f;
  return sign * std::ldexp(1.0f + draw.uniform(), int(draw.below(12)) - 4);
}

template <class W, class T> T rounded(T x) {
  return tutti::element_cast<T>(float(tutti::element_cast<W>(float(x))));
}

/// What a run left behind: every rank's values, and what it sent.
template <class T> struct outcome {
  std::vector<std::vector<T>> values;
  std::vector<tutti::sent_traffic> sent;
};

/// all_reduce of the sum of some_number on every rank.
template <class T, class Topology, class Codec>
outcome<T> summed(int ranks, std::size_t n, const Topology& topology, const Codec& codec) {
  outcome<T> out{std::vector<std::vector<T>>(std::size_t(ranks)),
                 std::vector<tutti::sent_traffic>(std::size_t(ranks))};
  tutti::threads::run(ranks, [&](auto& world) {
    const auto r = std::size_t(world.rank());
    tutti::counted comm{world};
    for (std::size_t i = 0; i < n; ++i) out.values[r].push_back(T(some_number(world.rank(), i)));
    tutti::all_reduce(comm, out.values[r], topology, codec);
    out.sent[r] = comm.sent();
  });
  return out;
}

/// What is wrong with an outcome; W is what contributions and results were rounded to.
template <class W, class T> std::string flaw(const outcome<T>& out) {
  const auto ranks = out.values.size();
  for (std::size_t r = 1; r < ranks; ++r)
    if (std::memcmp(out.values[r].data(), out.values[0].data(), out.values[0].size() * sizeof(T)) !=
        0)
      return "rank " + std::to_string(r) + " has other bits than rank 0";
  for (std::size_t i = 0; i < out.values[0].size(); ++i) {
    double exact = 0, magnitudes = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      const double x = float(rounded<W>(T(some_number(int(r), i))));
      exact += x;
      magnitudes += std::abs(x);
    }
    const T got = out.values[0][i];
    const double result = float(got);
    const double bound =
        unit_roundoff<W> * std::abs(result) + double(ranks - 1) * 0x1p-24 * magnitudes;
    if (!(std::abs(result - exact) <= bound))
      return "value " + std::to_string(i) + " is " + std::to_string(result) + " instead of " +
             std::to_string(exact) + ", the bound is " + std::to_string(bound);
    if (float(rounded<W>(got)) != float(got))
      return "value " + std::to_string(i) + " is not what the wire can hold";
  }
  return {};
}

/// Calls visit(name, topology) for every topology that carries all_reduce: they all do.
template <class Visit> void on_every_topology(Visit&& visit) {
  visit("default", tutti::default_topology{});
  for (int k = 0; k < kinds<false>; ++k) visit(kind_name<false>(k), chosen<false>{k});
  for (int k = 0; k < kinds<true>; ++k) visit(kind_name<true>(k), chosen<true>{k});
}

template <class W, class T, class Codec>
void check_bound_everywhere(const char* what, const Codec& codec) {
  on_every_topology([&](const char* name, const auto& topology) {
    for (const int ranks : {1, 2, 3, 5, 7})
      for (const std::size_t n : {std::size_t(ranks - 1), std::size_t{700}}) {
        const std::string wrong = flaw<W>(summed<T>(ranks, n, topology, codec));
        BOOST_CHECK_MESSAGE(wrong.empty(), what << " on " << name << ", " << ranks << " ranks, n "
                                                << n << ": " << wrong);
      }
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(floats_as_bfloat16_are_within_the_bound_and_equal_on_all_ranks) {
  check_bound_everywhere<bfloat16, float>("float as bfloat16", tutti::cast<bfloat16>{});
}

BOOST_AUTO_TEST_CASE(floats_as_half_are_within_the_bound_and_equal_on_all_ranks) {
  check_bound_everywhere<half, float>("float as half", tutti::cast<half>{});
}

// Without a codec a partial sum of bfloat16 travels as float: the same bound.
BOOST_AUTO_TEST_CASE(sums_of_bfloat16_are_rounded_once) {
  check_bound_everywhere<bfloat16, bfloat16>("bfloat16", tutti::identity{});
}

BOOST_AUTO_TEST_CASE(a_sum_of_many_small_terms_is_not_lost_between_encoding_and_result) {
  // 1 + 6 * 2^-8: were a partial sum rounded to bfloat16, each 2^-8 would be a tie and fall to 1.
  on_every_topology([](const char* name, const auto& topology) {
    tutti::threads::run(7, [&](auto& world) {
      std::vector<float> x(9, world.rank() == 3 ? 1.0f : 0x1p-8f);
      tutti::all_reduce(world, x, topology, tutti::cast<bfloat16>{});
      if (x[8] != 1.0f + 6 * 0x1p-8f)
        throw std::runtime_error{std::string{name} + " rounds on the way"};
    });
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(means_of_half_neither_overflow_nor_vanish) {
  const auto mean_of = [](int ranks, float x) {
    float out = 0;
    tutti::threads::run(ranks, [&](auto& world) {
      std::vector<float> data(9, x);
      tutti::all_reduce(world, data, tutti::mean{}, tutti::ring{}, tutti::cast<half>{});
      if (world.rank() == 0) out = data[4];
    });
    return out;
  };
  BOOST_CHECK_EQUAL(mean_of(2, 40000), 40000); // whose sum no half holds
  BOOST_CHECK_EQUAL(mean_of(2, 6e-8f), 0x1p-24f); // half of which none holds
  BOOST_CHECK_EQUAL(mean_of(8, 60000), 60000);
}

// Of P roundings of partial sums of 1 to P terms, and P of terms and one of the sum, in squares and units of a term's:
// 1 + ... + P and 2 P, 36 and 16 of eight. So a ring of the same bytes that rounds at every hop is off 1.5 times as far.
BOOST_AUTO_TEST_CASE(a_ring_that_rounds_at_every_hop_is_further_off) {
  constexpr int ranks = 8;
  constexpr std::size_t n = 20'000;
  const auto value = [](int rank, std::size_t i) {
    tutti::random_stream draw{i, std::uint32_t(rank)};
    float x = -6; // about normal
    for (int k = 0; k < 12; ++k) x += draw.uniform();
    return x;
  };
  std::vector<float> ours(n);
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> data(n);
    for (std::size_t i = 0; i < n; ++i) data[i] = value(world.rank(), i);
    tutti::all_reduce(world, data, tutti::ring{}, tutti::cast<bfloat16>{});
    if (world.rank() == 0) ours = data;
  });
  double own = 0, hops = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double exact = 0;
    float hop = 0;
    for (int r = 0; r < ranks; ++r) {
      exact += double(value(r, i));
      hop = rounded<bfloat16>(hop + value(r, i));
    }
    own += (ours[i] - exact) * (ours[i] - exact);
    hops += (hop - exact) * (hop - exact);
  }
  BOOST_TEST_MESSAGE("rounded at every hop: " << std::sqrt(hops / own) << " times as far off");
  BOOST_CHECK_GT(std::sqrt(hops / own), 1.3);
}

BOOST_AUTO_TEST_CASE(bytes_on_the_wire_are_those_of_the_wire_type_wherever_all_contributions_meet) {
  for (const int ranks : {2, 3, 5})
    for (const std::size_t n : {std::size_t{1}, std::size_t{1000}}) {
      const auto check = [&](const char* name, const auto& topology, collective first,
                             std::size_t first_bytes, collective second) {
        const auto out = summed<float>(ranks, n, topology, tutti::cast<bfloat16>{});
        for (int r = 0; r < ranks; ++r) {
          const tutti::layout where{r, ranks};
          const auto there = tutti::traffic_of(topology, first, 0, where, n);
          const auto back = tutti::traffic_of(topology, second, 0, where, n);
          const auto& sent = out.sent[std::size_t(r)];
          const std::size_t bytes = there.elements * first_bytes + back.elements * 2;
          BOOST_CHECK_MESSAGE(sent.bytes == bytes &&
                                  sent.messages == there.messages + back.messages,
                              name << ", " << ranks << " ranks, n " << n << ": rank " << r
                                   << " sent " << sent.bytes << " bytes instead of " << bytes);
        }
      };
      check("direct", tutti::direct{}, collective::reduce_scatter, 2, collective::all_gather);
      check("star", tutti::star{}, collective::reduce, 2, collective::broadcast);
      // Partial sums travel as float, finished values as bfloat16.
      check("ring", tutti::ring{}, collective::reduce_scatter, 4, collective::all_gather);
      check("tree", tutti::binomial_tree{}, collective::reduce, 4, collective::broadcast);
    }
}

namespace {

/// Whether every bit pattern of W is what decoding and encoding it again gives; any NaN is a NaN.
template <class W> std::string changed_pattern() {
  const tutti::cast<W> codec;
  for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
    const auto bits = std::uint16_t(pattern);
    std::byte wire[2], again[2];
    float value = 0;
    std::memcpy(wire, &bits, 2);
    codec.template decode<float>(wire, std::span{&value, 1});
    codec.template encode<float>(std::span<const float>{&value, 1}, again);
    if (std::memcmp(wire, again, 2) == 0) continue;
    float second = 0;
    codec.template decode<float>(again, std::span{&second, 1});
    if (!(std::isnan(value) && std::isnan(second))) return "pattern " + std::to_string(pattern);
  }
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(what_was_decoded_is_encoded_to_the_same_again) {
  BOOST_CHECK_EQUAL(changed_pattern<bfloat16>(), "");
  BOOST_CHECK_EQUAL(changed_pattern<half>(), "");
}

BOOST_AUTO_TEST_CASE(encoding_rounds_to_the_nearest_and_ties_to_even) {
  const tutti::cast<bfloat16> codec;
  for (int k = 0; k < 100'000; ++k) {
    const float x = some_number(k, 5) * (1 + float(k) * 0x1p-20f);
    std::byte wire[2];
    float got = 0;
    codec.encode<float>(std::span<const float>{&x, 1}, wire);
    codec.decode<float>(wire, std::span{&got, 1});
    // The two neighbours of x that have only the upper half of its bits.
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const float below = std::bit_cast<float>(bits & 0xffff0000u);
    const float above = std::bit_cast<float>((bits & 0xffff0000u) + 0x10000u);
    const double to_below = std::abs(double(x) - below), to_above = std::abs(double(above) - x);
    const bool even_below = (bits & 0x10000u) == 0;
    const float expected =
        to_below < to_above || (to_below == to_above && even_below) ? below : above;
    if (got != expected) BOOST_FAIL(x << " becomes " << got << " instead of " << expected);
  }
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(a_group_of_one_rounds_like_any_other) {
  on_every_topology([](const char* name, const auto& topology) {
    const auto out = summed<float>(1, 50, topology, tutti::cast<bfloat16>{});
    bool same = true;
    for (std::size_t i = 0; i < 50; ++i)
      same = same && out.values[0][i] == rounded<bfloat16>(some_number(0, i));
    BOOST_CHECK_MESSAGE(same, name);
  });
}

BOOST_AUTO_TEST_CASE(infinities_and_nans_pass_and_what_is_too_large_becomes_infinite) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  on_every_topology([&](const char* name, const auto& topology) {
    tutti::threads::run(3, [&](auto& world) {
      const float first = world.rank() == 1 ? inf : 1.0f;
      std::vector<float> x{first, world.rank() == 2 ? NAN : 1.0f, 50'000.0f, -1.0f};
      tutti::all_reduce(world, x, topology, tutti::cast<half>{});
      if (x[0] != inf || !std::isnan(x[1]) || x[2] != inf || x[3] != -3.0f)
        throw std::runtime_error{std::string{name} + " changes what is not finite"};
    });
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(reduce_and_reduce_scatter_are_within_the_bound_too) {
  constexpr int ranks = 5;
  constexpr std::size_t n = 333;
  const auto check = [&](const char* name, collective what, const auto& topology) {
    std::vector<float> collected(n);
    tutti::threads::run(ranks, [&](auto& world) {
      std::vector<float> mine;
      for (std::size_t i = 0; i < n; ++i) mine.push_back(some_number(world.rank(), i));
      const tutti::cast<bfloat16> codec;
      if (what == collective::reduce) {
        tutti::reduce(world, mine, 2, topology, codec);
        if (world.rank() == 2) collected = mine;
      } else {
        const auto shard = tutti::reduce_scatter(world, mine, topology, codec);
        const auto has = tutti::shard_of(n, world.rank(), ranks);
        std::copy(shard.begin(), shard.end(), collected.begin() + std::ptrdiff_t(has.begin));
      }
    });
    const std::string wrong = flaw<bfloat16>(outcome<float>{{std::size_t{ranks}, collected}, {}});
    BOOST_CHECK_MESSAGE(wrong.empty(), name << ": " << wrong);
  };
  const auto check_carried = [&](const char* name, const auto& topology) {
    for (const collective what : {collective::reduce, collective::reduce_scatter})
      if (topology.carried(what)) check(name, what, topology);
  };
  for (int k = 0; k < kinds<false>; ++k) check_carried(kind_name<false>(k), chosen<false>{k});
  for (int k = 0; k < kinds<true>; ++k) check_carried(kind_name<true>(k), chosen<true>{k});
}

BOOST_AUTO_TEST_SUITE_END()
