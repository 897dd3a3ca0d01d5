// where_it_pays: parts travel through a codec where that is priced lower, and as they are elsewhere.
#include <tutti/collectives/priced_codec.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(codecs)

namespace priced_parts {

/// Messages cost nothing but what their bytes take; ranks here reach each other's memory, which costs as much a byte.
tutti::machine_cost a_byte(double microseconds) {
  tutti::machine_cost machine{.within = {0, 0, microseconds}, .per_folded_byte = 0, .shared_epoch = 0};
  machine.per_shared_byte = microseconds / 2;
  return machine;
}

struct outcome {
  std::vector<float> parameters;
  std::uint64_t bytes = 0; ///< of rank 1
};

/// Three steps on three ranks, of parts of at most `most` values.
template <class Codec>
outcome trained(const Codec& codec, std::size_t most = 1000) {
  outcome out;
  tutti::threads::run(3, [&](auto& world) {
    tutti::counted comm{world};
    std::vector<float> x(3000, 1), g(3000);
    tutti::strategy strategy{comm, codec};
    auto trainer = strategy.bind(x, tutti::sgd{.learning_rate = .1}, tutti::training_options{.bucket_bytes = 4 * most});
    const auto before = comm.sent().bytes;
    for (int step = 0; step < 3; ++step) {
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = x[i] - float(i % 7) * float(world.rank() + 1);
      trainer.step(g);
    }
    if (world.rank() == 1) out = {x, comm.sent().bytes - before};
  });
  return out;
}

} // namespace priced_parts

BOOST_AUTO_TEST_CASE(a_part_goes_through_the_codec_where_that_is_cheaper) {
  const tutti::error_feedback codec{tutti::top_k{.05}};
  const tutti::coding_cost dear{.encode = 1, .decode = 1};
  const auto plain = priced_parts::trained(tutti::identity{}), coded = priced_parts::trained(codec);
  BOOST_CHECK(plain.parameters != coded.parameters);

  const auto on_slow = priced_parts::trained(tutti::where_it_pays{codec, priced_parts::a_byte(10), dear});
  BOOST_CHECK(on_slow.parameters == coded.parameters);
  BOOST_CHECK_EQUAL(on_slow.bytes, coded.bytes);

  const auto on_fast = priced_parts::trained(tutti::where_it_pays{codec, priced_parts::a_byte(.001), dear});
  BOOST_CHECK(on_fast.parameters == plain.parameters);
}

BOOST_AUTO_TEST_CASE(what_pays_depends_on_how_long_a_part_is) {
  // A message is a microsecond, and a byte next to nothing: ten values are not worth it, a thousand are.
  tutti::threads::run(2, [](auto& world) {
    tutti::machine_cost machine = priced_parts::a_byte(.01);
    machine.within.latency = 1;
    const tutti::where_it_pays codec{tutti::int8_block{}, machine, {.encode = .001, .decode = .001}};
    constexpr auto all_reduce = tutti::collective::all_reduce;
    const bool few = codec.template pays<all_reduce, float>(world, tutti::direct{}, 10);
    const bool many = codec.template pays<all_reduce, float>(world, tutti::direct{}, 1000);
    const std::string text = codec.explain(world, tutti::direct{}, 1000);
    if (world.rank() != 0) return;
    BOOST_CHECK(!few);
    BOOST_CHECK(many);
    BOOST_CHECK_MESSAGE(text.find("1000 values on 2 ranks: as they are ") == 0 && text.ends_with("us  <- chosen\n"), text);
  });
}

BOOST_AUTO_TEST_CASE(measured_prices_are_those_of_rank_0_and_others_are_refused) {
  tutti::threads::run(2, [](auto& world) {
    const tutti::where_it_pays measured{world, tutti::int8_block{}};
    std::vector<double> least{measured.coding.encode, measured.coding.decode}, most = least;
    tutti::all_reduce(world, least, tutti::min{});
    tutti::all_reduce(world, most, tutti::max{});
    if (world.rank() == 0) BOOST_CHECK(least == most && least[0] > 0 && least[1] > 0);

    std::vector<float> x(10);
    tutti::strategy strategy{world, tutti::where_it_pays{tutti::int8_block{}, {}, {.encode = double(world.rank())}}};
    bool refused = false;
    try {
      strategy.bind(x, tutti::sgd{});
    } catch (const tutti::error& e) {
      refused = e.details().code == tutti::error_code::mismatch;
    }
    std::vector<int> all{refused};
    tutti::all_reduce(world, all);
    if (world.rank() == 0) BOOST_CHECK_EQUAL(all[0], 2);
  });
}

BOOST_AUTO_TEST_SUITE_END()
