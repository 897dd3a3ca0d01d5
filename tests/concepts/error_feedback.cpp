// error_feedback<top_k>: an opaque codec, and around it one that remembers what was not sent and
// adds it to what is sent next (Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS
// 2018).
#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/laws.hpp>
#include <tutti/core/random.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// The k values of largest magnitude with their positions, k = ceil(fraction * n).
struct top_k {
  using part = tutti::codec_part;
  static constexpr auto kind = tutti::codec_kind::opaque;

  double fraction = 0.1;

  constexpr std::size_t kept(std::size_t n) const {
    const double k = fraction * double(n);
    const auto whole = std::size_t(k);
    return std::min(n, whole + (double(whole) < k));
  }

  template <tutti::element T>
  constexpr std::size_t bytes(std::size_t n) const {
    return kept(n) * (sizeof(std::uint32_t) + sizeof(T));
  }
  template <tutti::element T>
  void encode(std::span<const T> values, std::byte* out) const {
    std::vector<std::uint32_t> order(values.size());
    std::iota(order.begin(), order.end(), 0u);
    const std::size_t k = kept(values.size());
    std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(k), order.end(),
                      [&](std::uint32_t a, std::uint32_t b) {
                        const auto x = std::abs(values[a]), y = std::abs(values[b]);
                        return x > y || (x == y && a < b);
                      });
    for (std::size_t i = 0; i < k; ++i, out += sizeof(std::uint32_t) + sizeof(T)) {
      std::memcpy(out, &order[i], sizeof(std::uint32_t));
      std::memcpy(out + sizeof(std::uint32_t), &values[order[i]], sizeof(T));
    }
  }
  template <tutti::element T>
  void decode(const std::byte* in, std::span<T> out) const {
    std::fill(out.begin(), out.end(), T{});
    for (std::size_t k = kept(out.size()); k > 0; --k, in += sizeof(std::uint32_t) + sizeof(T)) {
      std::uint32_t at;
      std::memcpy(&at, in, sizeof(at));
      std::memcpy(&out[at], in + sizeof(at), sizeof(T));
    }
  }
};

template <tutti::codec C>
struct error_feedback {
  using part = tutti::codec_part;
  static constexpr auto kind = C::kind;
  /// What has been contributed so far and was not sent; empty stands for zeros.
  template <class T>
  using state = std::vector<T>;

  C inner{};

  template <tutti::element T>
  constexpr std::size_t bytes(std::size_t n) const {
    return inner.template bytes<T>(n);
  }
  template <tutti::element T>
  void encode(std::vector<T>& unsent, std::span<const T> values, std::byte* out) const {
    unsent.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) unsent[i] += values[i];
    inner.encode(std::span<const T>{unsent}, out);
    std::vector<T> sent(values.size());
    inner.decode(out, std::span<T>{sent});
    for (std::size_t i = 0; i < values.size(); ++i) unsent[i] -= sent[i];
  }
  template <tutti::element T>
  void decode(const std::byte* in, std::span<T> out) const {
    inner.decode(in, out);
  }
};

static_assert(tutti::codec<top_k> && tutti::stateless_codec_of<top_k, float>);
static_assert(tutti::stateful_codec_of<error_feedback<top_k>, float>);
static_assert(!tutti::stateless_codec_of<error_feedback<top_k>, float>);
static_assert(tutti::codec_of<top_k, double> && tutti::codec_of<error_feedback<top_k>, double>);
static_assert(error_feedback<top_k>::kind == tutti::codec_kind::opaque);

} // namespace

BOOST_AUTO_TEST_CASE(top_k_sends_the_largest_and_nothing_else) {
  const top_k codec{.fraction = .3};
  const std::vector<float> values{.1f, -5, 0, 3, 3, .2f, -.3f};
  std::vector<std::byte> wire(codec.bytes<float>(7));
  std::vector<float> sent(7, 9.f);

  codec.encode(std::span{values}, wire.data());
  codec.decode(wire.data(), std::span{sent});

  BOOST_CHECK_EQUAL(wire.size(), 3 * 8u);
  BOOST_CHECK((sent == std::vector<float>{0, -5, 0, 3, 3, 0, 0}));
  const auto report = tutti::check_codec<float>(codec);
  BOOST_CHECK_MESSAGE(report, report.text());
}

BOOST_AUTO_TEST_CASE(error_feedback_loses_nothing) {
  const error_feedback<top_k> codec{{.fraction = .1}};
  tutti::random_stream draw{3};
  constexpr std::size_t n = 50;
  std::vector<float> contributed(n), arrived(n), unsent, step(n), sent(n);
  std::vector<std::byte> wire(codec.bytes<float>(n));

  for (int k = 0; k < 40; ++k) {
    for (std::size_t i = 0; i < n; ++i) { // multiples of 2^-8, so that all sums are exact
      step[i] = float(int(draw.below(512)) - 256) / 256;
      contributed[i] += step[i];
    }
    codec.encode(unsent, std::span<const float>{step}, wire.data());
    codec.decode(wire.data(), std::span{sent});
    for (std::size_t i = 0; i < n; ++i) arrived[i] += sent[i];
  }

  for (std::size_t i = 0; i < n; ++i) arrived[i] += unsent[i];
  BOOST_CHECK(arrived == contributed);
  BOOST_CHECK(std::count(sent.begin(), sent.end(), 0.f) >= 45);
  const auto report = tutti::check_codec<float>(codec);
  BOOST_CHECK_MESSAGE(report, report.text());
}

BOOST_AUTO_TEST_SUITE_END()
