// A codec that can only decode whole messages: int8 with one scale for all values of a message.
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <vector>

BOOST_AUTO_TEST_SUITE(codecs)

namespace {

template <tutti::codec_kind Kind>
struct scaled_int8 {
  using part = tutti::codec_part;
  static constexpr tutti::codec_kind kind = Kind;

  template <class T>
  std::size_t bytes(std::size_t n) const {
    return sizeof(float) + n;
  }
  template <class T>
  void encode(std::span<const T> values, std::byte* out) const {
    float largest = 0;
    for (const T v : values) largest = std::max(largest, std::abs(float(v)));
    const float scale = largest / 127;
    std::memcpy(out, &scale, sizeof scale);
    for (std::size_t i = 0; i < values.size(); ++i)
      out[sizeof scale + i] =
          static_cast<std::byte>(scale > 0 ? int(std::lround(float(values[i]) / scale)) : 0);
  }
  template <class T>
  void decode(const std::byte* in, std::span<T> out) const {
    float scale = 0;
    std::memcpy(&scale, in, sizeof scale);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = T(float(static_cast<signed char>(in[sizeof scale + i])) * scale);
  }
};
using opaque_int8 = scaled_int8<tutti::codec_kind::opaque>;

/// Worst error of a mean over all ranks and elements, in units of the largest contribution; infinite
/// when two ranks end with different bits.
template <class Topology>
double worst_error(int ranks, std::size_t n, Topology topology) {
  std::vector<std::vector<float>> results(static_cast<std::size_t>(ranks));
  const auto value = [](int rank, std::size_t i) {
    return std::sin(float(i) * 0.37f + float(rank)) * float(1 + rank);
  };
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> data(n);
    for (std::size_t i = 0; i < n; ++i) data[i] = value(world.rank(), i);
    tutti::all_reduce(world, data, tutti::mean{}, topology, opaque_int8{});
    results[std::size_t(world.rank())] = std::move(data);
  });
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double exact = 0;
    for (int r = 0; r < ranks; ++r) exact += double(value(r, i)) / ranks;
    worst = std::max(worst, std::abs(double(results[0][i]) - exact) / ranks);
  }
  for (const auto& other : results)
    if (std::memcmp(other.data(), results[0].data(), n * sizeof(float)) != 0) return INFINITY;
  return worst;
}

} // namespace

BOOST_AUTO_TEST_CASE(encodings_that_cannot_be_cut_are_decoded_whole) {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t n : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, std::size_t{9001}}) {
      // Half a step of the contribution's scale, and half a step of the result's.
      const double bound = 1.01 / 127;
      const double on_direct = worst_error(ranks, n, tutti::direct{});
      const double on_star = worst_error(ranks, n, tutti::star{});
      BOOST_CHECK_MESSAGE(on_direct <= bound, "direct, " << ranks << " ranks, n " << n << ": "
                                                         << on_direct << " > " << bound);
      BOOST_CHECK_MESSAGE(on_star <= bound, "star, " << ranks << " ranks, n " << n << ": "
                                                     << on_star << " > " << bound);
    }
}

BOOST_AUTO_TEST_SUITE_END()
