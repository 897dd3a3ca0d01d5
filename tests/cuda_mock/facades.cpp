// What starts kernels: launches, refusals, and results on the mock of the runtime.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/codecs/int_block.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/exact_arithmetic.cuh>
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/top_k.cuh>
#include <tutti/cuda/update.cuh>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace facades {

using namespace mocked;
using kernel_memory::random_values;

using spans = std::vector<cuda::device_span<const float>>;

/// All calls that a facade must not make.
inline int waits_and_allocations() {
  int all = 0;
  for (const char* call :
       {"cudaMallocAsync", "cudaFreeAsync", "cudaMallocHost", "cudaStreamSynchronize", "cudaEventSynchronize"})
    all += mock::calls(call);
  return all;
}

/// Contributions 1, 2, 3, ... of n values each, on two streams' device.
struct given {
  explicit given(int count, std::size_t n, std::size_t offset = 0) {
    for (int k = 0; k < count; ++k) {
      rows.emplace_back(n, float(k + 1));
      memory.emplace_back(on, rows.back(), offset + std::size_t(k) % 2);
      in.push_back(memory.back().read());
    }
  }
  cuda::stream on;
  std::vector<std::vector<float>> rows;
  std::vector<placed<float>> memory;
  spans in;
};

BOOST_AUTO_TEST_SUITE(cuda_facades)

BOOST_AUTO_TEST_CASE(reductions_of_every_number_of_contributions) {
  for (const int k : {1, 2, 5, 16})
    for (const std::size_t n : {0, 1, 17, 1000}) {
      mock::begin(std::uint64_t(k));
      const given of{k, n};
      const placed<float> out{of.on, std::vector<float>(n), 1};
      const int before = waits_and_allocations(), launched = cuda::detail::launches;
      cuda::reduce<tutti::sum, float>(of.on, {}, of.in, out.span());
      cuda::reduce_weighted<tutti::mean, float>(of.on, {}, of.in, {}, out.span());
      cuda::reduce<tutti::sum, float>(of.on, {}, of.in, out.span());
      BOOST_CHECK_EQUAL(waits_and_allocations(), before);
      BOOST_CHECK_EQUAL(cuda::detail::launches - launched, n == 0 ? 0 : 3);
      BOOST_CHECK(out.values() == std::vector<float>(n, float(k * (k + 1) / 2)));
    }
}

BOOST_AUTO_TEST_CASE(grids_of_more_values_than_an_int_counts) {
  const std::size_t many = (std::size_t{1} << 32) + 1;
  BOOST_CHECK_EQUAL(cuda::detail::blocks_for(0), 0u);
  BOOST_CHECK_EQUAL(cuda::detail::blocks_for(1), 1u);
  BOOST_CHECK_EQUAL(cuda::detail::blocks_for(257), 2u);
  BOOST_CHECK_EQUAL(cuda::detail::blocks_for(many), cuda::tuning::most_blocks);
  BOOST_CHECK_EQUAL(cuda::detail::packet_blocks(many, many, 4), cuda::tuning::most_blocks); // none is aligned
  BOOST_CHECK_EQUAL(cuda::detail::packet_blocks(1024, 0, 4),
                    2u); // a lane for each packet, and some for what is around them
}

BOOST_AUTO_TEST_CASE(nothing_of_the_callers_is_read_after_the_call) {
  mock::begin();
  const given of{3, 50};
  const placed<float> out{of.on, std::vector<float>(50)};
  {
    auto in = std::make_unique<spans>(of.in);
    auto weights = std::make_unique<std::vector<double>>(3, 1.0);
    cuda::reduce_weighted<tutti::weighted_mean, float>(of.on, {}, *in, *weights, out.span());
    for (auto& span : *in) span = {nullptr, 0, 0};
    for (double& w : *weights) w = -1;
  }
  BOOST_CHECK(out.values() == std::vector<float>(50, 2));
}

BOOST_AUTO_TEST_CASE(many_contributions_and_their_weights) {
  mock::begin();
  const given of{40, 100};
  const placed<float> out{of.on, std::vector<float>(100)};
  std::vector<double> weights(40, 0.0);
  weights[2] = 1, weights[6] = 3; // (3 + 3 * 7) / 4
  cuda::reduce_weighted<tutti::weighted_mean, float>(of.on, {}, of.in, weights, out.span());
  BOOST_CHECK(out.values() == std::vector<float>(100, 6));
  const auto refused = [&](std::vector<double> w) {
    return refusal([&] { cuda::reduce_weighted<tutti::weighted_mean, float>(of.on, {}, of.in, w, out.span()); });
  };
  BOOST_CHECK(says(refused({1}), "1 weights were given for 40 contributions"));
  weights[5] = -1;
  BOOST_CHECK(says(refused(weights), "weight 5 is negative or not finite"));
  weights[5] = NAN;
  BOOST_CHECK(says(refused(weights), "weight 5 is negative or not finite"));
  BOOST_CHECK(says(refused(std::vector<double>(40, 0.0)), "all weights are zero"));
  BOOST_CHECK(says(refusal([&] { cuda::reduce_weighted<tutti::sum, float>(of.on, {}, of.in, weights, out.span()); }),
                   "this reducer has no weights - leave them out"));
}

BOOST_AUTO_TEST_CASE(what_reductions_refuse) {
  mock::begin();
  const given of{17, 8};
  const placed<float> out{of.on, std::vector<float>(8)}, longer{of.on, std::vector<float>(9)};
  const auto refused = [&](const cuda::stream& on, const spans& in, cuda::device_span<float> to) {
    const int launched = cuda::detail::launches;
    const auto why = refusal([&] { cuda::reduce<tutti::sum, float>(on, {}, in, to); });
    BOOST_CHECK_EQUAL(cuda::detail::launches, launched);
    return why;
  };
  const spans two{of.in[0], of.in[1]};
  BOOST_CHECK(says(refused(of.on, of.in, out.span()), "17 contributions were given - give 1 to 16"));
  BOOST_CHECK(says(refused(of.on, {}, out.span()), "0 contributions were given"));
  BOOST_CHECK(says(refused(of.on, two, longer.span()), "spans of 9 and 8 values were given"));
  const cuda::stream elsewhere{1};
  BOOST_CHECK(says(refused(elsewhere, two, out.span()), "a span is on device 0 and the stream on device 1"));
  const auto part = of.memory[0].span();
  BOOST_CHECK(says(refused(of.on, {longer.read().subspan(0, 8), of.in[1]}, longer.span().subspan(1, 8)),
                   "a result overlaps with a part of what it is made of"));
  cuda::reduce<tutti::sum, float>(of.on, {}, two, part); // in place
  BOOST_CHECK(of.memory[0].values() == std::vector<float>(8, 3));
}

BOOST_AUTO_TEST_CASE(medians_and_trimmed_means) {
  mock::begin();
  const given of{5, 300, 1};
  const placed<float> out{of.on, std::vector<float>(300)};
  cuda::reduce<float>(of.on, tutti::median{}, of.in, out.span());
  BOOST_CHECK(out.values() == std::vector<float>(300, 3));
  cuda::reduce<float>(of.on, tutti::trimmed_mean{1}, spans(of.in.begin(), of.in.begin() + 4), out.span());
  BOOST_CHECK(out.values() == std::vector<float>(300, 2.5f));
  const auto refused = [&](int trim) {
    return refusal([&] { cuda::reduce<float>(of.on, tutti::trimmed_mean{trim}, of.in, out.span()); });
  };
  BOOST_CHECK(says(refused(-1), "trimmed_mean: trim is negative"));
  BOOST_CHECK(says(refused(3), "leaves out 3 at each end of 5 contributions - give at least 7"));
  BOOST_CHECK(says(refusal([&] { cuda::reduce<float>(of.on, tutti::median{}, spans(65, of.in[0]), out.span()); }),
                   "65 contributions were given - give 1 to 64"));
}

BOOST_AUTO_TEST_CASE(norms_of_more_tensors_than_a_launch_takes) {
  mock::begin();
  const cuda::stream on;
  const placed<float> one{on, {3, 4}};
  cuda::norm_workspace with{on, 600};
  const int before = waits_and_allocations();
  cuda::judge_norm<float>(on, spans(600, one.read()), with, 1, 50);
  const placed<tutti::bfloat16> out{on, std::vector<tutti::bfloat16>(2)};
  BOOST_CHECK_EQUAL(waits_and_allocations(), before + 1); // the line above
  cuda::scale_and_cast(on, one.read(), out.span(), with.verdict());
  cuda::norm_verdict found;
  cuda::check(cudaMemcpyAsync(&found, with.verdict().data(), sizeof found, cudaMemcpyDefault, on.handle()), "copy");
  BOOST_CHECK_EQUAL(found.squares, 15000);
  BOOST_CHECK_EQUAL(found.finite, 1u);
  BOOST_CHECK_EQUAL(found.factor, float(50 / std::sqrt(15000)));
  BOOST_CHECK_EQUAL(float(out.values()[1]), float(tutti::bfloat16{4 * found.factor}));

  cuda::judge_norm<float>(on, {}, with); // of nothing
  cuda::check(cudaMemcpyAsync(&found, with.verdict().data(), sizeof found, cudaMemcpyDefault, on.handle()), "copy");
  BOOST_CHECK(found.squares == 0 && found.finite == 1 && found.factor == 1);

  const auto refused = [&](std::size_t tensors, double scale, double clip) {
    return refusal([&] { cuda::judge_norm<float>(on, spans(tensors, one.read()), with, scale, clip); });
  };
  BOOST_CHECK(says(refused(2000, 1, 0), "the workspace is for fewer tensors"));
  BOOST_CHECK(says(refused(1, 1, -1), "clip is negative or no number"));
  BOOST_CHECK(says(refused(1, 1, NAN), "clip is negative or no number"));
  BOOST_CHECK(says(refused(1, INFINITY, 0), "scale is not finite"));
}

BOOST_AUTO_TEST_CASE(messages_are_refused_that_are_too_short_or_begin_anywhere) {
  mock::begin();
  const cuda::stream on;
  const std::size_t n = 300;
  const auto values = random_values<float>(n, 1, false);
  const placed<float> data{on, values}, memory{on, std::vector<float>(n)};
  const tutti::int8_block codec;
  std::vector<std::byte> right(codec.bytes<float>(n));
  codec.encode<float>(values, right.data());
  const placed<std::byte> wire{on, std::vector<std::byte>(right.size() + 8)};
  cuda::encode(on, codec, data.read(), wire.span().subspan(4, right.size()));
  const auto whole = wire.values();
  BOOST_CHECK(std::vector<std::byte>(whole.begin() + 4, whole.end() - 4) == right);
  const auto refused = [&](std::size_t begin, std::size_t bytes) {
    return refusal([&] { cuda::encode(on, codec, data.read(), wire.span().subspan(begin, bytes)); });
  };
  BOOST_CHECK(says(refusal([&] {
                     cuda::encode(on, codec, data.read(),
                                  cuda::device_span<std::byte>{reinterpret_cast<std::byte*>(data.span().data()),
                                                               right.size(), 0});
                   }),
                   "two spans overlap of which one is changed - give each memory of its own"));
  BOOST_CHECK(says(refused(0, right.size() - 1), "a message has 307 bytes, and codec.bytes<T>(n) is 308"));
  BOOST_CHECK(says(refused(2, right.size()), "begins between two multiples of four bytes"));
  BOOST_CHECK(says(refusal([&] {
                     cuda::encode(on, tutti::error_feedback<tutti::int8_block>{{}, 2}, {memory.read(), memory.span()},
                                  data.span(), wire.span().first(right.size()));
                   }),
                   "error_feedback::decay is not in [0, 1]"));
  BOOST_CHECK(says(refusal([&] {
                     cuda::decode_and_reduce(on, codec, tutti::mean{},
                                             std::span<const cuda::device_span<const std::byte>>{}, data.span());
                   }),
                   "0 messages were given - give 1 to 16"));
}

BOOST_AUTO_TEST_CASE(what_is_scaled_and_encoded_in_one_pass_has_the_bytes_of_two) {
  mock::begin();
  const cuda::stream on;
  const std::size_t n = 300;
  auto values = random_values<float>(n, 1, false);
  const auto encoded = [&](const auto& codec, bool at_once) {
    const placed<float> data{on, values}, memory{on, std::vector<float>(n, 1)};
    const placed<std::byte> wire{on, std::vector<std::byte>(codec.inner.template bytes<float>(n))};
    cuda::norm_workspace with{on, 1};
    cuda::judge_norm<float>(on, spans{data.read()}, with, 0.5, 0.25);
    if (!at_once) cuda::scale_and_cast(on, data.read(), data.span(), with.verdict());
    cuda::encode(on, codec, {memory.read(), memory.span()}, data.span(), wire.span(),
                 at_once ? with.verdict() : cuda::device_span<const cuda::norm_verdict>{});
    return std::make_pair(wire.values(), std::make_pair(data.values(), memory.values()));
  };
  const tutti::error_feedback<tutti::int8_block> blocks;
  const tutti::error_feedback<tutti::cast<tutti::bfloat16>> casts;
  BOOST_CHECK(encoded(blocks, true) == encoded(blocks, false));
  BOOST_CHECK(encoded(casts, true) == encoded(casts, false));
  values[7] = NAN;
  const auto left = encoded(casts, true);
  BOOST_CHECK(left.first == std::vector<std::byte>(2 * n));
  BOOST_CHECK(left.second.second == std::vector<float>(n, 1));
}

BOOST_AUTO_TEST_CASE(the_k_largest_as_on_the_host) {
  const std::size_t n = 10000;
  const auto values = random_values<float>(n, 1);
  for (const double fraction : {.001, .3}) {
    mock::begin(std::uint64_t(fraction * 1000));
    const tutti::top_k codec{fraction};
    std::vector<std::byte> right(codec.bytes<float>(n));
    codec.encode<float>(values, right.data());
    const cuda::stream on;
    const placed<float> data{on, values, 3};
    const placed<std::byte> wire{on, std::vector<std::byte>(right.size())};
    cuda::top_k_workspace with{on, n};
    const int before = waits_and_allocations();
    for (int again = 0; again < 2; ++again) cuda::encode(on, codec, data.read(), wire.span(), with);
    BOOST_CHECK_EQUAL(waits_and_allocations(), before);
    BOOST_CHECK(wire.values() == right);
  }
  mock::begin();
  const cuda::stream on;
  const placed<float> data{on, values};
  const placed<std::byte> wire{on, std::vector<std::byte>(4 * n + 4)};
  cuda::top_k_workspace with{on, 100};
  const auto refused = [&](double fraction, std::size_t k) {
    return refusal([&] {
      const tutti::top_k codec{fraction};
      cuda::encode(on, codec, data.read().first(k), wire.span().first(codec.bytes<float>(k)), with);
    });
  };
  BOOST_CHECK(says(refused(0.1, n), "the workspace is for fewer values"));
  BOOST_CHECK(says(refused(0.9, 100), "so many values are kept that all of them travel"));
  BOOST_CHECK(says(refused(2, 100), "the fraction of a sparse codec is not in (0, 1]"));
  BOOST_CHECK_EQUAL(refused(0.1, 0), "");
}

BOOST_AUTO_TEST_CASE(builds_that_do_not_compute_as_the_source_says_are_refused) {
  mock::begin();
  const cuda::stream on;
  cuda::require_exact_arithmetic(on);
#if defined(__SSE_MATH__)
  const auto why = refusal([&] {
    tutti::detail::arithmetic_mode::set(0x8000); // flush-to-zero
    cuda::require_exact_arithmetic(on);
  });
  tutti::detail::arithmetic_mode::set(0);
  BOOST_CHECK(says(
      why, "unsafe_build: kernels of this program do not compute as the source says: subnormal numbers are flushed - "
           "drop -use_fast_math"));
#endif
  BOOST_CHECK_EQUAL(cuda::detail::text_of(31),
                    "sums are reassociated, subnormal numbers are flushed, divisions are approximations, "
                    "square roots are approximations, products are fused with sums");
}

BOOST_AUTO_TEST_CASE(steps_of_optimizers) {
  mock::begin();
  const given of{3, 10};
  const placed<float> values{of.on, std::vector<float>(10, 1)}, slot{of.on, std::vector<float>(10)};
  const cuda::device_parameters<float, 1> parameters{values.span(), {slot.span()}};
  const auto step = [&](int count) {
    cuda::update<tutti::mean, tutti::sgd, float>(of.on, {}, spans(of.in.begin(), of.in.begin() + count),
                                                 {.learning_rate = .5}, 1, parameters);
  };
  step(2); // 1 - .5 * 1.5
  BOOST_CHECK(values.values() == std::vector<float>(10, 0.25f));
  BOOST_CHECK(slot.values() == std::vector<float>(10, 1.5f));
  BOOST_CHECK(says(refusal([&] { step(3); }), "3 contributions were given - give 1, 2, 4 or 8, or reduce them first"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace facades
