// chunked_top_k, and sparse codecs of quantised values: what arrives, bytes, bounds, and messages that are corrupted.
#include "coded.hpp"

#include <tutti/codecs/chunked_top_k.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/codecs/random_k.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/codecs/two_bit_block.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/one_shot.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

BOOST_AUTO_TEST_SUITE(codecs)

namespace chunked {

using namespace coded;

/// What is left of the largest ones of every chunk, in the obvious way.
std::vector<float> largest(const std::vector<float>& x, std::size_t of_a_chunk) {
  std::vector<float> out(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += 4096) {
    const std::size_t length = std::min<std::size_t>(4096, x.size() - begin);
    const std::size_t k = (of_a_chunk * length + 4095) / 4096;
    std::vector<std::size_t> order(length);
    std::iota(order.begin(), order.end(), begin);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return std::fabs(x[a]) > std::fabs(x[b]); });
    for (std::size_t j = 0; j < k; ++j) out[order[j]] = x[order[j]];
  }
  return out;
}
std::size_t places(const std::vector<float>& y) {
  return y.size() - std::size_t(std::count(y.begin(), y.end(), 0.f));
}
bool is_refused(const auto& codec, const std::vector<std::byte>& wire, std::size_t n) {
  std::vector<float> out(n);
  try {
    codec.decode(wire.data(), std::span{out});
  } catch (const tutti::error& e) {
    return e.details().code == tutti::error_code::bad_data &&
           std::string{e.what()}.find("a message of a codec is corrupted") != std::string::npos;
  }
  return false;
}
/// Two numbers of twelve bits.
void write_two(std::byte* to, unsigned a, unsigned b) {
  const unsigned both = a | b << 12;
  for (unsigned i = 0; i < 3; ++i) to[i] = static_cast<std::byte>(both >> (8 * i) & 255);
}

} // namespace chunked

BOOST_AUTO_TEST_CASE(the_largest_of_every_chunk_arrive) {
  for (const std::size_t n : {0u, 1u, 63u, 100u, 4095u, 4096u, 4097u, 10000u})
    for (const int k : {1, 2, 3, 64, 1000}) {
      const tutti::chunked_top_k codec{k};
      const auto x = chunked::drawn(n, n + std::size_t(k));
      const auto y = chunked::sent(codec, x);
      BOOST_CHECK(chunked::same_bits(y, chunked::largest(x, std::size_t(k))));
      const double lost = chunked::squares(chunked::difference(x, y));
      BOOST_CHECK_LE(lost, (1 - double(k) / 4096) * chunked::squares(x) * (1 + 1e-12));
    }
  const std::vector<double> wide{0, 3, -3, 1};
  BOOST_CHECK((chunked::sent(tutti::chunked_top_k{1024}, wide) == std::vector<double>{0, 3, 0, 0}));
}

BOOST_AUTO_TEST_CASE(ties_of_a_chunk_go_to_the_low_index_and_what_is_no_number_is_largest) {
  std::vector<float> x(9000, -.25f);
  auto y = chunked::sent(tutti::chunked_top_k{2}, x);
  for (const std::size_t at : {0u, 1u, 4096u, 4097u, 8192u}) BOOST_CHECK_EQUAL(y[at], -.25f);
  BOOST_CHECK_EQUAL(chunked::places(y), 5u); // of the last 808 values one
  x[4000] = chunked::infinite, x[4095] = chunked::none;
  y = chunked::sent(tutti::chunked_top_k{2}, x);
  BOOST_CHECK(std::isinf(y[4000]) && std::isnan(y[4095]) && y[0] == 0);
}

BOOST_AUTO_TEST_CASE(indices_have_twelve_bits) {
  std::vector<float> x(4096);
  for (const int k : {1, 2, 3, 64}) {
    const std::size_t expected = std::size_t(12 * k + 7) / 8; // 2, 3, 5 and 96
    BOOST_CHECK_EQUAL(tutti::chunked_top_k{k}.bytes<float>(4096), expected + 4 * std::size_t(k));
    BOOST_CHECK_EQUAL(tutti::chunked_top_k{k}.bytes<float>(3 * 4096), 3 * expected + 12 * std::size_t(k));
  }
  BOOST_CHECK_EQUAL(tutti::chunked_top_k{3}.bytes<float>(4097), 5u + 2 + 4 * 4); // one of the last one
  x[0] = 1, x[4095] = -1, x[2000] = .5f;
  for (const int k : {2, 3, 4}) {
    const auto y = chunked::sent(tutti::chunked_top_k{k}, x);
    BOOST_CHECK(y[0] == 1 && y[4095] == -1 && y[2000] == (k > 2 ? .5f : 0));
  }
}

BOOST_AUTO_TEST_CASE(where_indices_save_nothing_all_places_travel) {
  const auto x = chunked::drawn(5000);
  for (const int k : {3000, 4096}) {
    BOOST_CHECK_EQUAL(tutti::chunked_top_k{k}.bytes<float>(5000), 20000u);
    BOOST_CHECK(chunked::same_bits(chunked::sent(tutti::chunked_top_k{k}, x), chunked::largest(x, std::size_t(k))));
  }
  const tutti::basic_top_k<tutti::int8_block> quantised{.5};
  BOOST_CHECK_EQUAL(quantised.bytes<float>(1000), tutti::int8_block{}.bytes<float>(1000));
  const auto chosen = chunked::sent(tutti::top_k{.5}, x);
  BOOST_CHECK(chunked::sent(quantised, x) == chunked::sent(tutti::int8_block{}, chosen));
}

BOOST_AUTO_TEST_CASE(results_of_chunks_have_room_for_what_all_have_sent) {
  const tutti::chunked_top_k codec{64};
  BOOST_CHECK_EQUAL(codec.results(7).kept_of(4096), 448u);
  BOOST_CHECK_EQUAL(codec.results(7).kept_of(10), 7u); // of ten values one each
  BOOST_CHECK_EQUAL(codec.results(100).kept_of(4096), 4096u);
  BOOST_CHECK_EQUAL(codec.results(100).bytes<float>(4096), 4 * 4096u);
}

BOOST_AUTO_TEST_CASE(corrupted_indices_of_a_chunk_are_refused) {
  const auto x = chunked::drawn(4097);
  const tutti::chunked_top_k codec{2};
  const auto good = chunked::encoded(codec, x);
  const auto with = [&](unsigned a, unsigned b, unsigned last) {
    auto wire = good;
    chunked::write_two(wire.data(), a, b);
    wire[3] = static_cast<std::byte>(last & 255), wire[4] = static_cast<std::byte>(last >> 8);
    return wire;
  };
  BOOST_CHECK(!chunked::is_refused(codec, with(0, 4095, 0), 4097));
  BOOST_CHECK(chunked::is_refused(codec, with(7, 7, 0), 4097));
  BOOST_CHECK(chunked::is_refused(codec, with(8, 7, 0), 4097));
  for (const unsigned last : {1u, 2u, 4095u}) BOOST_CHECK(chunked::is_refused(codec, with(0, 4095, last), 4097));
}

BOOST_AUTO_TEST_CASE(chosen_values_may_be_quantised) {
  const auto x = chunked::drawn(20000, 3);
  const auto check = [&](const auto& codec, const auto& values, const std::vector<float>& exact, std::size_t indices,
                         double close) {
    const auto y = chunked::sent(codec, x);
    const std::size_t k = chunked::places(exact);
    BOOST_CHECK_EQUAL(codec.template bytes<float>(x.size()), indices + values.template bytes<float>(k));
    std::vector<float> chosen;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (exact[i] != 0) chosen.push_back(exact[i]);
    const auto quantised = chunked::sent(values, chosen);
    std::size_t next = 0;
    for (std::size_t i = 0; i < x.size(); ++i) BOOST_CHECK_EQUAL(y[i], exact[i] != 0 ? quantised[next++] : 0);
    BOOST_CHECK_LE(chunked::squares(chunked::difference(chosen, quantised)), close * chunked::squares(chosen));
  };
  const auto of_all = chunked::sent(tutti::top_k{.05}, x), of_chunks = chunked::largest(x, 64);
  check(tutti::basic_top_k<tutti::int8_block>{.05}, tutti::int8_block{}, of_all, 4000, 1e-4);
  check(tutti::basic_top_k<tutti::two_bit_block>{.05}, tutti::two_bit_block{}, of_all, 4000, .02);
  check(tutti::basic_chunked_top_k<tutti::two_bit_block>{64}, tutti::two_bit_block{}, of_chunks, 4 * 96 + 86, .02);
}

BOOST_AUTO_TEST_CASE(random_places_may_be_quantised) {
  const auto x = chunked::drawn(5000);
  const auto through = [&](const auto& codec) {
    std::vector<std::byte> wire(codec.template bytes<float>(x.size()));
    std::vector<float> y(x.size());
    codec.encode(std::span{x}, wire.data(), {});
    codec.decode(wire.data(), std::span{y}, {});
    return y;
  };
  using quantised = tutti::basic_random_k<tutti::int8_block>;
  const auto exact = through(tutti::random_k{.1, 7}), y = through(quantised{.1, 7});
  BOOST_CHECK_EQUAL((quantised{.1}.bytes<float>(5000)), tutti::int8_block{}.bytes<float>(500));
  BOOST_CHECK_LE(chunked::squares(chunked::difference(exact, y)), 1e-4 * chunked::squares(exact));
  for (std::size_t i = 0; i < x.size(); ++i) BOOST_CHECK(exact[i] != 0 || y[i] == 0);
}

BOOST_AUTO_TEST_CASE(numbers_of_chunks_are_refused_by_name) {
  std::vector<float> g(4, 1.f);
  for (const int wrong : {0, -1, 4097})
    tutti::threads::run(1, [&](auto& world) {
      BOOST_CHECK_EXCEPTION(tutti::all_reduce(world, g, tutti::direct{}, tutti::chunked_top_k{wrong}), tutti::error,
                            [](const tutti::error& e) {
                              return std::string{e.what()}.find("chunked_top_k::kept is not in 1 to 4096") !=
                                     std::string::npos;
                            });
    });
}

BOOST_AUTO_TEST_CASE(quantised_chunks_lose_nothing_with_feedback_and_send_what_they_say) {
  const tutti::error_feedback codec{tutti::basic_chunked_top_k<tutti::two_bit_block>{64}};
  const auto check = [&](const auto& topology, std::size_t n, std::size_t bytes_of_all) {
    constexpr std::size_t ranks = 3;
    std::vector<std::vector<float>> arrived(ranks, std::vector<float>(n));
    std::vector<std::vector<double>> missing(ranks, std::vector<double>(n));
    std::vector<std::size_t> bytes(ranks);
    tutti::threads::run(int(ranks), [&](auto& world) {
      const auto me = std::size_t(world.rank());
      tutti::counted comm{world};
      tutti::codec_memory<float> memory;
      for (std::uint64_t step = 0; step < 4; ++step) {
        auto x = chunked::drawn(n, 10 * step + me);
        for (std::size_t i = 0; i < n; ++i) missing[me][i] += double(x[i]);
        tutti::all_reduce(comm, x, topology, codec, memory);
        for (std::size_t i = 0; i < n; ++i) arrived[me][i] += x[i];
      }
      bytes[me] = std::size_t(comm.sent().bytes);
      for (std::size_t i = 0; i < n; ++i) missing[me][i] -= double(memory.sent()[i]);
      for (std::size_t i = 0; i < memory.published().size(); ++i)
        missing[me][memory.finishes().begin + i] -= double(memory.published()[i]);
    });
    BOOST_CHECK(chunked::same_bits(arrived[0], arrived[1]) && chunked::same_bits(arrived[0], arrived[2]));
    double most = 0;
    for (std::size_t i = 0; i < n; ++i)
      most = std::max(most, std::fabs(missing[0][i] + missing[1][i] + missing[2][i] - double(arrived[0][i])));
    BOOST_CHECK_LE(most, 1e-5);
    BOOST_CHECK_EQUAL(std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}), 4 * bytes_of_all);
  };
  // Over one_shot each message goes to two others; over direct shards of 4,096 do, and results of three times as many.
  check(tutti::one_shot{}, 3 * 4096, 6 * codec.inner.bytes<float>(3 * 4096));
  check(tutti::direct{}, 3 * 4096, 6 * (codec.inner.bytes<float>(4096) + codec.inner.results(3).bytes<float>(4096)));
  check(tutti::direct{}, 2, 2 * 2 * (codec.inner.bytes<float>(1) + codec.inner.results(3).bytes<float>(1)));
}

BOOST_AUTO_TEST_SUITE_END()
