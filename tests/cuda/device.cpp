// The kernels on a GPU, where there is one, against the library on the host, bit for bit.
#include "cuda/kernels.hpp"
#include "kernels/memory.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/collectives/arithmetic.hpp>
#include <tutti/cuda/runtime.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/norm.hpp>
#include <tutti/kernels/vote.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/distances.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/training/host_verbs.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace device_kernels {

using namespace kernel_memory;
using on_device::rows;

inline bool there_is_none() {
  if (tutti::cuda::device_count() > 0) return false;
  std::puts("skipped: there is no GPU here");
  return true;
}

template <class T> rows<T> contributions(int count, std::size_t n, bool special = true) {
  rows<T> all;
  for (int k = 0; k < count; ++k) all.push_back(random_values<T>(n, std::uint64_t(k) + 1, special));
  return all;
}
template <class T, class R, class C = tutti::identity>
std::vector<T> wanted(const R& r, const std::vector<const std::byte*>& in, std::size_t n,
                      const std::vector<double>& weights, double total, const C& codec = {}) {
  const auto math = tutti::detail::arithmetic_of<T>(r, codec);
  std::vector<T> out(n);
  math.unite(math, in, weights, reinterpret_cast<std::byte*>(out.data()), n, 0, total);
  return out;
}
template <class Row> std::vector<const std::byte*> addresses(const std::vector<Row>& of) {
  std::vector<const std::byte*> in;
  for (const auto& row : of) in.push_back(reinterpret_cast<const std::byte*>(row.data()));
  return in;
}

BOOST_AUTO_TEST_SUITE(cuda_device)

BOOST_AUTO_TEST_CASE(reductions_equal_the_host) {
  if (there_is_none()) return;
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1, 3})
      for (const int k : {1, 2, 3, 8, 13, 16}) {
        const auto in = contributions<float>(k, n);
        const auto from = addresses(in);
        BOOST_CHECK_EQUAL(difference(on_device::sum(in, offset), wanted<float>(tutti::sum{}, from, n, {}, k)), "");
        BOOST_CHECK_EQUAL(difference(on_device::mean(in, offset), wanted<float>(tutti::mean{}, from, n, {}, k)), "");
        const auto halves = contributions<tutti::bfloat16>(k, n);
        BOOST_CHECK_EQUAL(difference(on_device::mean(halves, offset),
                                     wanted<tutti::bfloat16>(tutti::mean{}, addresses(halves), n, {}, k)),
                          "");
        if (k < 3) continue;
        const std::vector<double> weights(std::size_t(k), 0.5);
        BOOST_CHECK_EQUAL(
            difference(on_device::weighted_mean(in, weights, offset),
                       wanted<float>(tutti::weighted_mean{}, from, n, std::vector<double>(std::size_t(k), 1.0), k)),
            "");
        const auto right = wanted<float>(tutti::reproducible_sum{}, from, n, {}, k);
        BOOST_CHECK_EQUAL(difference(on_device::reproducible_sum(in, offset), right), "");
        BOOST_CHECK_EQUAL(difference(on_device::reproducible_sum({in.rbegin(), in.rend()}, offset), right), "");
        BOOST_CHECK_EQUAL(difference(on_device::median(in, offset), wanted<float>(tutti::median{}, from, n, {}, k)),
                          "");
        BOOST_CHECK_EQUAL(
            difference(on_device::trimmed_mean(in, 1, offset), wanted<float>(tutti::trimmed_mean{1}, from, n, {}, k)),
            "");
      }
}

BOOST_AUTO_TEST_CASE(codecs_write_the_bytes_of_the_host) {
  if (there_is_none()) return;
  const auto check = [](on_device::codec by, const auto& codec, std::size_t n, std::size_t offset) {
    const auto values = random_values<float>(n, 3, by != on_device::codec::bfloat16, 500),
               before = random_values<float>(n, 4, false);
    std::vector<float> sent = values, after(n);
    std::vector<std::byte> wire(codec.template bytes<float>(n));
    tutti::error_feedback<std::remove_cvref_t<decltype(codec)>>{codec, 0.75}.template encode<float>(
        {before, after}, sent, wire.data(), {});
    const auto got = on_device::encode(by, values, before, 0.75, offset);
    BOOST_CHECK(got.wire == wire);
    BOOST_CHECK_EQUAL(difference(got.sent, sent), "");
    BOOST_CHECK_EQUAL(difference(got.memory, after), "");
  };
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1}) {
      check(on_device::codec::int8, tutti::int8_block{}, n, offset);
      check(on_device::codec::fp8, tutti::fp8_block<tutti::fp8::e4m3>{}, n, offset);
      check(on_device::codec::signs, tutti::sign_block{}, n, offset);
      check(on_device::codec::bfloat16, tutti::cast<tutti::bfloat16>{}, n, offset);
    }
}

BOOST_AUTO_TEST_CASE(what_is_too_long_is_clipped_while_it_is_encoded) {
  if (there_is_none()) return;
  const tutti::int8_block codec;
  for (const std::size_t n : {2, 257, 4099}) {
    std::vector<float> values(n), half(n);
    values[0] = 3, values[n - 1] = -4; // 5 long, and to be 2.5
    for (std::size_t i = 0; i < n; ++i) half[i] = values[i] / 2;
    std::vector<std::byte> right(codec.bytes<float>(n)), nothing = right;
    codec.encode<float>(half, right.data());
    BOOST_CHECK(on_device::encode_clipped(values, 2.5, 1) == right);
    values[n / 2] = NAN;
    BOOST_CHECK(on_device::encode_clipped(values, 2.5, 1) == nothing);
  }
}

BOOST_AUTO_TEST_CASE(the_k_largest_have_the_bytes_of_the_host) {
  if (there_is_none()) return;
  for (const std::size_t n : lengths)
    for (const double fraction : {.01, .3})
      for (const std::size_t offset : {0, 1}) {
        const tutti::top_k codec{fraction};
        if (codec.bytes<float>(n) == 4 * n) continue; // all values would travel
        const auto values = random_values<float>(n, 9);
        std::vector<std::byte> right(codec.bytes<float>(n));
        codec.encode<float>(values, right.data());
        BOOST_CHECK(on_device::top_k(values, fraction, offset) == right);
      }
}

BOOST_AUTO_TEST_CASE(the_k_largest_of_many_and_of_equal_values) {
  if (there_is_none()) return;
  const std::size_t n = (std::size_t{1} << 20) + 3;
  std::vector<float> two(n, -1.5f);
  for (std::size_t i = 0; i < n; i += 3) two[i] = 2;
  for (const auto& values : {random_values<float>(n, 9, true, 1000), std::vector<float>(n, 3.0f), two})
    for (const double fraction : {.0001, .01, .34}) {
      const tutti::top_k codec{fraction};
      std::vector<std::byte> right(codec.bytes<float>(n));
      codec.encode<float>(values, right.data());
      for (int again = 0; again < 3; ++again) BOOST_CHECK(on_device::top_k(values, fraction, 1) == right);
    }
}

BOOST_AUTO_TEST_CASE(votes_have_the_bytes_of_the_body_on_the_host) {
  if (there_is_none()) return;
  namespace kernels = tutti::detail::kernels;
  const tutti::sign_block codec;
  for (const std::size_t n : lengths)
    for (const std::size_t count : {1u, 2u, 5u, 16u}) {
      std::vector<std::vector<std::byte>> wires;
      kernels::ballots<16> of{};
      for (const auto& row : contributions<float>(int(count), n)) {
        wires.emplace_back(codec.bytes<float>(n));
        codec.encode<float>(row, wires.back().data());
      }
      std::vector<std::byte> right(wires[0].size());
      for (const auto& wire : wires) of.in[of.count++] = wire.data();
      of.out = right.data();
      of.bytes = right.size();
      of.head = right.size() / 4;
      kernels::run_on_host<32>(1, [&](auto& block) { kernels::vote<256>(block, of); });
      for (const std::size_t offset : {0, 1}) BOOST_CHECK(on_device::majority_vote(wires, offset) == right);
    }
}

BOOST_AUTO_TEST_CASE(buckets_are_packed_and_unpacked) {
  if (there_is_none()) return;
  rows<float> tensors;
  std::vector<float> right;
  for (const std::size_t n : {0, 1, 3, 100000, 17, 0, 257, 4099}) {
    tensors.push_back(random_values<float>(n, n, false));
    right.insert(right.end(), tensors.back().begin(), tensors.back().end());
  }
  right.push_back(-1);
  std::vector<float> bucket(right.size(), -1);
  BOOST_CHECK(on_device::packed_and_unpacked(tensors, bucket) == tensors);
  BOOST_CHECK(bucket == right);
}

BOOST_AUTO_TEST_CASE(this_build_computes_as_the_source_says) {
  if (there_is_none()) return;
  on_device::require_exact_arithmetic();
}

BOOST_AUTO_TEST_CASE(steps_equal_the_host) {
  if (there_is_none()) return;
  const auto check = [](const auto& reducer, const auto& o, std::size_t n, const auto& run) {
    auto state = contributions<float>(int(tutti::slots_of<std::remove_cvref_t<decltype(o)>>) + 1, n, false);
    for (std::size_t s = 1; s < state.size(); ++s)
      for (float& x : state[s]) x = x < 0 ? -x : x;
    const auto in = contributions<float>(4, n, false);
    const auto gradient = wanted<float>(reducer, addresses(in), n, {}, 4);
    const auto got = run(in, state);
    tutti::optimizer_slots<float, tutti::slots_of<std::remove_cvref_t<decltype(o)>>> slots;
    for (std::size_t s = 0; s < slots.size(); ++s) slots[s] = state[s + 1];
    tutti::update<float>(o, 3, state[0], gradient, slots, 0.7f);
    for (std::size_t s = 0; s < state.size(); ++s) BOOST_CHECK_EQUAL(difference(got[s], state[s]), "");
  };
  for (const std::size_t n : lengths) {
    check(tutti::mean{}, tutti::adamw{}, n,
          [](const auto& in, const auto& state) { return on_device::adamw_step(in, state, 1); });
    check(tutti::sum{}, tutti::sgd{.learning_rate = .1, .momentum = .9, .weight_decay = .01}, n,
          [](const auto& in, const auto& state) { return on_device::sgd_step(in, state, 0); });
  }
}

BOOST_AUTO_TEST_CASE(messages_are_decoded_reduced_and_applied_as_on_the_host) {
  if (there_is_none()) return;
  for (const std::size_t n : lengths) {
    const tutti::int8_block codec;
    std::vector<std::vector<std::byte>> wires;
    for (const auto& row : contributions<float>(3, n, false)) {
      wires.emplace_back(codec.bytes<float>(n));
      codec.encode<float>(row, wires.back().data());
    }
    const auto gradient = wanted<float>(tutti::mean{}, addresses(wires), n, {}, 3, codec);
    BOOST_CHECK_EQUAL(difference(on_device::decode_and_reduce(wires, n, 1), gradient), "");
    rows<float> state(3, std::vector<float>(n, 0.5f));
    const auto got = on_device::adamw_step_of_messages(wires, state);
    tutti::update<float>(tutti::adamw{}, 3, state[0], gradient, {state[1], state[2]}, 0.7f);
    for (std::size_t s = 0; s < 3; ++s) BOOST_CHECK_EQUAL(difference(got[s], state[s]), "");
  }
}

BOOST_AUTO_TEST_CASE(norms_have_the_bits_of_the_body_on_the_host) {
  if (there_is_none()) return;
  namespace kernels = tutti::detail::kernels;
  constexpr int lanes = 256, blocks = 1024; // of cuda/tuning.hpp
  const rows<float> tensors{random_values<float>(5, 1, false), {}, random_values<float>(100003, 2, false)};
  kernels::tensor_list<float, 4> list{};
  for (const auto& t : tensors) {
    constexpr std::size_t chunk = 4 * lanes * kernels::chunk_rounds;
    const auto k = std::size_t(list.count++);
    list.data[k] = t.data();
    list.n[k] = t.size();
    list.chunks_before[k + 1] = list.chunks_before[k] + (t.size() + chunk - 1) / chunk;
  }
  std::vector<kernels::found_norm> found(blocks);
  kernels::run_on_host<lanes>(blocks, [&](auto& block) { kernels::sum_squares(block, list, found.data()); });
  kernels::norm_verdict right{};
  kernels::run_on_host<lanes>(1,
                              [&](auto& block) { kernels::judge_norm(block, found.data(), blocks, 0.5, 1.0, &right); });
  for (const std::size_t offset : {0, 1}) {
    const auto got = on_device::judge(tensors, 0.5, 1.0, offset);
    BOOST_CHECK_EQUAL(got.squares, right.squares);
    BOOST_CHECK_EQUAL(got.factor, right.factor);
    BOOST_CHECK(got.finite);
    std::vector<tutti::bfloat16> rounded;
    for (const float x : tensors[0]) rounded.push_back(tutti::bfloat16{x * right.factor});
    BOOST_CHECK_EQUAL(difference(got.rounded, rounded), "");
  }
}

BOOST_AUTO_TEST_CASE(contributions_equal_the_host) {
  if (there_is_none()) return;
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1})
      for (const bool adds : {false, true}) {
        const auto from = random_values<tutti::bfloat16>(n, 3);
        const auto to = random_values<float>(n, 4);
        std::vector<float> right = to;
        tutti::detail::collect_values(from.data(), right.data(), n, adds, .7f, 3.f);
        BOOST_CHECK_EQUAL(difference(on_device::collect(from, to, adds, .7f, 3.f, offset), right), "");
      }
}
BOOST_AUTO_TEST_CASE(distances_are_those_of_the_host) {
  if (there_is_none()) return;
  for (const std::size_t n : {1u, 1025u, 1100003u}) {
    const auto in = contributions<float>(7, n, false);
    std::vector<const float*> all;
    for (const auto& row : in) all.push_back(row.data());
    std::vector<double> right(64);
    tutti::detail::measure_distances(tutti::gathered_rows<float>{all, n}, right);
    BOOST_CHECK_EQUAL(kernel_memory::apart(on_device::distances(in, true, 1), right, 2e-6), "");
  }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace device_kernels
