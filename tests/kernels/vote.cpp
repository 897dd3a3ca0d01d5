// The majority vote of messages of signs, counted one by one.
#include "kernels/memory.hpp"

#include <tutti/codecs/sign_block.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/vote.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace vote_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;
using message = std::vector<std::byte>;

template <std::size_t Block> message encoded(const std::vector<float>& values) {
  const tutti::basic_sign_block<Block> codec;
  message wire(codec.template bytes<float>(values.size()));
  codec.template encode<float>(std::span<const float>{values}, wire.data());
  return wire;
}
float scale_at(const message& wire, std::size_t at) {
  float scale;
  std::memcpy(&scale, wire.data() + at, sizeof scale);
  return scale;
}

/// By the definition, bit by bit.
template <std::size_t Block> message counted(const std::vector<message>& of) {
  message out = of[0];
  for (std::size_t at = 0; at < out.size(); at += 4 + Block / 8) {
    double sum = 0;
    for (const auto& wire : of) sum += double(scale_at(wire, at));
    float mean = static_cast<float>(sum / double(of.size()));
    if (std::isnan(mean)) mean = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(out.data() + at, &mean, sizeof mean);
    for (std::size_t i = at + 4; i < out.size() && i < at + 4 + Block / 8; ++i) {
      unsigned byte = 0;
      for (unsigned bit = 0; bit < 8; ++bit) {
        std::size_t votes = 0;
        for (const auto& wire : of) votes += std::to_integer<unsigned>(wire[i]) >> bit & 1;
        byte |= unsigned(2 * votes > of.size()) << bit;
      }
      out[i] = static_cast<std::byte>(byte);
    }
  }
  return out;
}

/// `onto`: the result replaces this message; -1: none. Message k begins `uneven` k words further on.
template <std::size_t Block>
std::string check(const std::vector<message>& of, std::size_t offset, std::size_t uneven, int onto) {
  const message right = counted<Block>(of);
  const std::size_t words = right.size() / 4;
  const auto as_words = [](const std::byte* p) { return reinterpret_cast<const std::uint32_t*>(p); };
  std::vector<guarded<std::byte>> memory;
  for (const auto& wire : of) memory.emplace_back(wire, 4 * (offset + memory.size() * uneven % 4));
  const guarded<std::byte> apart{right.size(), 4 * offset};
  const guarded<std::byte>& out = onto < 0 ? apart : memory[std::size_t(onto)];
  kernels::ballots<16> what{
      {}, out.data(), right.size(), kernels::head_of(words, 4, as_words(out.data())), int(of.size())};
  for (std::size_t k = 0; k < of.size(); ++k) {
    what.in[k] = memory[k].data();
    if (kernels::head_of(words, 4, as_words(out.data()), as_words(what.in[k])) != what.head) what.head = words;
  }
  kernels::run_on_host<32>(3, [&](auto& ctx) { kernels::vote<Block>(ctx, what); });
  if (!out.guards_hold()) return "a guard zone was written to";
  return out.values() == right ? "" : "the bytes differ";
}

BOOST_AUTO_TEST_SUITE(kernels_vote)

BOOST_AUTO_TEST_CASE(the_sign_of_most_and_the_mean_of_scales) {
  for (const std::size_t n : lengths)
    for (const std::size_t count : {1u, 2u, 3u, 8u, 16u}) {
      std::vector<message> of, shorter;
      for (std::size_t k = 0; k < count; ++k) {
        const auto values = random_values<float>(n, 7 * k + n, k == 2, 500);
        of.push_back(encoded<256>(values));
        shorter.push_back(encoded<128>(values));
      }
      BOOST_CHECK_EQUAL(check<256>(of, n % 4, 0, -1), "");
      BOOST_CHECK_EQUAL(check<256>(of, 1, 1, int(count) - 1), "");
      BOOST_CHECK_EQUAL(check<128>(shorter, 2, 0, 0), "");
    }
}

BOOST_AUTO_TEST_CASE(an_even_vote_is_positive_and_a_nan_stays_one) {
  const std::vector<float> up(300, 2), down(300, -4);
  const auto even = counted<256>({encoded<256>(up), encoded<256>(down)});
  std::vector<float> values(300);
  tutti::sign_block{}.decode<float>(even.data(), std::span<float>{values});
  BOOST_CHECK(values == std::vector<float>(300, 3));
  std::vector<float> bad = up;
  bad[299] = NAN;
  const std::vector<message> three{encoded<256>(up), encoded<256>(bad), encoded<256>(up)};
  BOOST_CHECK_EQUAL(check<256>(three, 0, 0, -1), "");
  BOOST_CHECK(!std::isnan(scale_at(counted<256>(three), 0)) && std::isnan(scale_at(counted<256>(three), 36)));
}

BOOST_AUTO_TEST_CASE(of_equal_scales_it_is_the_sign_of_the_mean) {
  const std::size_t n = 777;
  std::vector<message> of;
  std::vector<float> sum(n);
  for (std::uint64_t k = 0; k < 6; ++k) {
    auto values = random_values<float>(n, k, false);
    for (std::size_t i = 0; i < n; ++i) sum[i] += values[i] = values[i] < 0 ? -1.f : 1.f;
    of.push_back(encoded<256>(values));
  }
  const message vote = counted<256>(of), sent = encoded<256>(sum);
  for (std::size_t i = 0; i < vote.size(); ++i)
    if (i % 36 >= 4) BOOST_CHECK(vote[i] == sent[i]);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace vote_kernels
