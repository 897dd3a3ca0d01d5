#include "broken.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/chunked_top_k.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/laws.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/codecs/threshold.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/codecs/two_bit_block.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>

BOOST_AUTO_TEST_SUITE(laws)

namespace {

using tutti::bfloat16, tutti::half;

template <class T, class C>
void lawful_codec(const C& codec, const char* name) {
  const auto report = tutti::check_codec<T>(codec);
  BOOST_CHECK_MESSAGE(report, name << " of " << tutti::element_name<T> << ": " << report.text());
}

template <class... Ts, class C>
void lawful_codec_for(const C& codec, const char* name) {
  (lawful_codec<Ts>(codec, name), ...);
}

// --- codecs that are wrong on purpose -----------------------------------------------------------

struct writes_too_much : tutti::identity {
  template <class T>
  void encode(std::span<const T> values, std::byte* out) const {
    tutti::identity::encode(values, out);
    out[values.size_bytes()] = std::byte{1};
  }
};

struct writes_too_little : tutti::identity {
  template <class T>
  std::size_t bytes(std::size_t n) const {
    return n * sizeof(T) + 1;
  }
};

struct reads_too_much : tutti::identity {
  template <class T>
  void decode(const std::byte* in, std::span<T> out) const {
    tutti::identity::decode(in, out);
    if (!out.empty() && in[out.size_bytes()] != std::byte{0}) out[0] = T{};
  }
};

struct decodes_too_much : tutti::identity {
  template <class T>
  void decode(const std::byte* in, std::span<T> out) const {
    tutti::identity::decode(in, out);
    out.data()[out.size()] = T(1);
  }
};

struct exact_in_name : tutti::cast<bfloat16> {
  static constexpr auto kind = tutti::codec_kind::exact;
};

/// Rounds to a whole number, towards minus infinity.
struct leans : tutti::identity {
  static constexpr auto kind = tutti::codec_kind::additive;
  template <class T>
  void decode(const std::byte* in, std::span<T> out) const {
    tutti::identity::decode(in, out);
    for (T& x : out) x = std::floor(x);
  }
};

/// Takes a little off whenever it can.
struct shrinks : tutti::identity {
  static constexpr auto kind = tutti::codec_kind::additive;
  template <class T>
  void decode(const std::byte* in, std::span<T> out) const {
    tutti::identity::decode(in, out);
    for (T& x : out) x *= T(.875);
  }
};

struct moody : tutti::identity {
  static constexpr auto kind = tutti::codec_kind::opaque;
  template <class T>
  void encode(std::span<const T> values, std::byte* out) const {
    tutti::identity::encode(values, out);
    if (!values.empty()) out[0] = std::byte(calls++);
  }
  mutable unsigned char calls = 0;
};

} // namespace

BOOST_AUTO_TEST_CASE(shipped_codecs_keep_the_laws) {
  lawful_codec_for<float, double, bfloat16, half, std::int8_t, std::uint8_t, std::int32_t, std::uint32_t,
                   std::int64_t, std::uint64_t>(tutti::identity{}, "identity");
  lawful_codec_for<float, double, bfloat16, half>(tutti::cast<bfloat16>{}, "cast<bfloat16>");
  lawful_codec_for<float, double, half>(tutti::cast<half>{}, "cast<half>");
  lawful_codec_for<float, double>(tutti::cast<float>{}, "cast<float>");
  lawful_codec_for<float, double, bfloat16, half>(tutti::int8_block{}, "int8_block");
  lawful_codec_for<float, half>(tutti::int4_block{}, "int4_block");
  lawful_codec_for<float, bfloat16>(tutti::fp8_block<tutti::fp8::e4m3>{}, "fp8_block<e4m3>");
  lawful_codec_for<float, double>(tutti::fp8_block<tutti::fp8::e5m2>{}, "fp8_block<e5m2>");
  lawful_codec_for<float, double, bfloat16, half>(tutti::sign_block{}, "sign_block");
  lawful_codec_for<float, double, bfloat16, half>(tutti::top_k{.1}, "top_k");
  lawful_codec_for<float, half>(tutti::basic_top_k<tutti::int8_block>{.1}, "top_k of int8_block");
  lawful_codec_for<float, bfloat16>(tutti::chunked_top_k{64}, "chunked_top_k");
  lawful_codec<float>(tutti::basic_chunked_top_k<tutti::two_bit_block>{500}, "chunked_top_k of two_bit_block");
  lawful_codec_for<float, double>(tutti::two_bit_block{}, "two_bit_block");
  lawful_codec_for<float, half>(tutti::threshold{.5f}, "threshold");
  lawful_codec_for<float, double, bfloat16>(tutti::error_feedback{tutti::top_k{.1}}, "error_feedback<top_k>");
  lawful_codec_for<float, half>(tutti::error_feedback{tutti::sign_block{}}, "error_feedback<sign_block>");
  lawful_codec<float>(tutti::error_feedback{tutti::cast<bfloat16>{}}, "error_feedback<cast<bfloat16>>");
  lawful_codec<float>(tutti::unsafe_biased{tutti::top_k{.1}}, "unsafe_biased<top_k>");
}

BOOST_AUTO_TEST_CASE(wrong_codecs_are_caught_with_the_law_named) {
  using tutti::check_codec;
  BOOST_CHECK_EQUAL(broken(check_codec<float>(writes_too_much{})), "bytes");
  BOOST_CHECK_EQUAL(broken(check_codec<float>(writes_too_little{})), "bytes");
  BOOST_CHECK_EQUAL(broken(check_codec<std::int32_t>(reads_too_much{})).substr(0, 5), "bytes");
  BOOST_CHECK_EQUAL(broken(check_codec<float>(decodes_too_much{})), "bytes");
  BOOST_CHECK_EQUAL(broken(check_codec<float>(exact_in_name{})), "round trip");
  BOOST_CHECK_EQUAL(broken(check_codec<double>(leans{})), "symmetric");
  BOOST_CHECK_EQUAL(broken(check_codec<double>(shrinks{})), "idempotent");
  BOOST_CHECK(!check_codec<float>(moody{}).keeps("repeatable"));
}

BOOST_AUTO_TEST_SUITE_END()
