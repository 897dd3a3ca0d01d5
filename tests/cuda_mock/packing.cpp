// Buckets that many tensors are copied into and out of at once, and votes.
#include "cuda_mock/mocked.hpp"

#include <tutti/cuda/packing.cuh>
#include <tutti/cuda/vote.cuh>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace packing {

using namespace mocked;
using spans = std::vector<cuda::device_span<float>>;

BOOST_AUTO_TEST_SUITE(cuda_packing)

BOOST_AUTO_TEST_CASE(tensors_stand_one_behind_the_other) {
  mock::begin();
  const cuda::stream on;
  const placed<float> a{on, {1, 2, 3}, 1}, none{on, {}}, b{on, {4}}, bucket{on, std::vector<float>(5, 9)};
  const cuda::packing<float> both{on, spans{a.span(), none.span(), b.span()}, bucket.span()};
  const int allocated = mock::calls("cudaMallocAsync"), waited = mock::calls("cudaStreamSynchronize");
  mock::capture(on.handle(), true); // it may be captured
  both.pack();
  mock::capture(on.handle(), false);
  BOOST_CHECK_EQUAL(mock::calls("cudaMallocAsync"), allocated);
  BOOST_CHECK_EQUAL(mock::calls("cudaStreamSynchronize"), waited);
  BOOST_CHECK(bucket.values() == (std::vector<float>{1, 2, 3, 4, 9}));
  float* const values = bucket.span().data();
  mock::enqueue(on.handle(), [=] {
    for (int i = 0; i < 4; ++i) values[i] += 10;
  });
  both.unpack();
  BOOST_CHECK(a.values() == (std::vector<float>{11, 12, 13}) && b.values() == std::vector<float>{14});
  cuda::packing<float>{on, {}, bucket.span()}.pack();
  BOOST_CHECK(mock::races().empty());
}

BOOST_AUTO_TEST_CASE(what_it_refuses) {
  mock::begin();
  const cuda::stream on, elsewhere{1};
  const placed<float> a{on, {1, 2, 3}}, bucket{on, std::vector<float>(4)}, there{elsewhere, {1}};
  const auto refused = [&](const spans& tensors, cuda::device_span<float> into) {
    return refusal([&] { cuda::packing<float>{on, tensors, into}; });
  };
  BOOST_CHECK(says(refused({a.span(), a.span()}, bucket.span()), "values 3 and 3 more of 4 were asked for"));
  BOOST_CHECK(says(refused({a.span().first(2)}, a.span()), "two spans overlap of which one is changed"));
  BOOST_CHECK(says(refused({there.span()}, bucket.span()), "a span is on device 1 and the stream on device 0"));
  BOOST_CHECK(says(refused({a.span()}, there.span()), "a span is on device 1 and the stream on device 0"));
  mock::capture(on.handle(), true);
  BOOST_CHECK(says(refused({a.span()}, bucket.span()), "this stream is being captured - allocate before"));
}

BOOST_AUTO_TEST_CASE(votes_of_messages_and_what_they_refuse) {
  mock::begin();
  const cuda::stream on;
  const tutti::sign_block codec;
  const std::size_t n = 300, bytes = codec.bytes<float>(n);
  const auto encoded = [&](float x) {
    std::vector<std::byte> wire(bytes);
    codec.encode<float>(std::vector<float>(n, x), wire.data());
    return placed<std::byte>{on, wire};
  };
  const auto up = encoded(1), down = encoded(-4);
  const placed<std::byte> out{on, std::vector<std::byte>(bytes + 8)};
  const auto vote = [&](const std::vector<cuda::device_span<const std::byte>>& wires, std::size_t begin,
                        std::size_t length) {
    cuda::majority_vote(on, codec, std::span<const cuda::device_span<const std::byte>>{wires},
                        out.span().subspan(begin, length));
  };
  const int allocated = mock::calls("cudaMallocAsync");
  vote({up.read(), down.read(), down.read()}, 4, bytes);
  BOOST_CHECK_EQUAL(mock::calls("cudaMallocAsync"), allocated);
  std::vector<float> values(n);
  codec.decode<float>(out.values().data() + 4, std::span<float>{values});
  BOOST_CHECK(values == std::vector<float>(n, -3));
  vote({up.read().first(0)}, 0, 0); // of nothing
  const auto refused = [&](auto... given) { return refusal([&] { vote(given...); }); };
  BOOST_CHECK(says(refused(std::vector{up.read()}, std::size_t{0}, bytes - 1), "a message has 46 bytes"));
  BOOST_CHECK(
      says(refused(std::vector{up.read()}, std::size_t{2}, bytes), "begins between two multiples of four bytes"));
  BOOST_CHECK(says(refused(std::vector<cuda::device_span<const std::byte>>{}, std::size_t{0}, bytes),
                   "0 messages were given - give 1 to 16"));
  BOOST_CHECK(says(refusal([&] {
                     const std::vector<cuda::device_span<const std::byte>> wires{out.read().first(bytes)};
                     cuda::majority_vote(on, codec, std::span<const cuda::device_span<const std::byte>>{wires},
                                         out.span().subspan(4, bytes));
                   }),
                   "a result overlaps with a part of what it is made of"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace packing
