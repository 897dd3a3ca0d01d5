// Reductions with the update behind them, and casts that remember, against the library's loops, bit for bit.
#include "kernels/memory.hpp"

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/kernels/cast.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/update.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace update_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

template <class O> struct model {
  static constexpr std::size_t slots = tutti::slots_of<O>;
  std::vector<float> values;
  std::array<std::vector<float>, slots> state;

  explicit model(std::size_t n) : values{random_values<float>(n, 50, false)} {
    for (std::size_t s = 0; s < slots; ++s)
      for (const float x : random_values<float>(n, 60 + s, false))
        state[s].push_back(x < 0 ? -x : x); // v is no less than 0
  }
  void step(const O& o, std::int64_t step, const std::vector<float>& gradient, float factor) {
    tutti::optimizer_slots<float, slots> spans;
    for (std::size_t s = 0; s < slots; ++s) spans[s] = state[s];
    tutti::update<float>(o, step, values, gradient, spans, factor);
  }
};

/// run(updated) runs a kernel.
template <class O, class Run>
std::string by_kernel(const model<O>& before, const model<O>& right, std::size_t offset, float factor, Run&& run) {
  constexpr int slots = int(model<O>::slots);
  const guarded<float> values{before.values, offset};
  std::vector<guarded<float>> state;
  kernels::updated<float, slots> what{values.data(), {}, before.values.size(), factor};
  for (std::size_t s = 0; s < std::size_t(slots); ++s) {
    state.emplace_back(before.state[s], offset);
    what.slots[s] = state.back().data();
  }
  run(what);
  if (!values.guards_hold()) return "a guard zone was written to";
  if (auto why = difference(values.values(), right.values); !why.empty()) return why;
  for (std::size_t s = 0; s < std::size_t(slots); ++s)
    if (auto why = difference(state[s].values(), right.state[s]); !why.empty()) return "slot: " + why;
  return {};
}

constexpr int ranks = 3;
constexpr float factor = 0.7f;

template <class O> std::string check_values(const O& o, std::size_t n, std::size_t offset) {
  std::vector<std::vector<float>> of;
  for (std::uint64_t k = 0; k < ranks; ++k) of.push_back(random_values<float>(n, k, false));
  std::vector<float> gradient(n);
  for (std::size_t i = 0; i < n; ++i) gradient[i] = ((of[0][i] + of[1][i]) + of[2][i]) / 3;
  const model<O> before{n};
  model<O> right = before;
  right.step(o, 4, gradient, factor);
  std::vector<guarded<float>> memory;
  for (const auto& row : of) memory.emplace_back(row, offset);
  return by_kernel(before, right, offset, factor, [&](const auto& what) {
    const kernels::rows<float, ranks> rows{{memory[0].data(), memory[1].data(), memory[2].data()},
                                           nullptr,
                                           n,
                                           kernels::head_of(n, 4, memory[0].data(), what.values),
                                           3};
    kernels::run_on_host<32>(2, [&](auto& block) {
      kernels::reduce_and_update<ranks, tutti::slots_of<O>>(block, tutti::mean{}, rows, o.template at<float>(4), what);
    });
  });
}

template <class O> std::string check_messages(const O& o, std::size_t n) {
  const tutti::int8_block codec;
  std::vector<std::vector<std::byte>> wires;
  std::vector<float> gradient(n), decoded(n);
  for (std::uint64_t k = 0; k < ranks; ++k) {
    wires.emplace_back(codec.bytes<float>(n));
    codec.encode<float>(random_values<float>(n, k, false), wires.back().data());
    codec.decode<float>(wires.back().data(), decoded);
    for (std::size_t i = 0; i < n; ++i) gradient[i] = k == 0 ? decoded[i] : gradient[i] + decoded[i];
  }
  for (float& g : gradient) g /= 3;
  const model<O> before{n};
  model<O> right = before;
  right.step(o, 4, gradient, factor);
  return by_kernel(before, right, 0, factor, [&](const auto& what) {
    const std::byte* in[16] = {wires[0].data(), wires[1].data(), wires[2].data()};
    kernels::run_on_host<64>(2, [&](auto& block) {
      kernels::decode_reduce_and_update<kernels::int8_code, 256, tutti::slots_of<O>>(block, tutti::mean{}, in, ranks, 3,
                                                                                     o.template at<float>(4), what);
    });
  });
}

std::string check_cast(std::size_t n, std::size_t offset, bool keeps) {
  const auto values = random_values<float>(n, 1, false), before = random_values<float>(n, 2, false);
  std::vector<float> sent = values, after(n);
  std::vector<std::byte> wire(2 * n);
  const tutti::error_feedback<tutti::cast<tutti::bfloat16>> codec{{}, 0.75};
  codec.encode<float>({before, after}, sent, wire.data(), {});
  const guarded<float> in{values, offset}, memory{before, offset}, out{n, offset};
  const guarded<tutti::bfloat16> to{n, offset};
  const kernels::rounding_with_memory<float, tutti::bfloat16> what{
      in.data(),
      to.data(),
      memory.data(),
      memory.data(),
      keeps ? out.data() : nullptr,
      n,
      kernels::head_of(n, 8, in.data(), memory.data(), to.data(), out.data()),
      0.75f};
  kernels::run_on_host<32>(2, [&](auto& block) { kernels::cast_with_memory(block, what); });
  if (!to.guards_hold() || !memory.guards_hold() || !out.guards_hold()) return "a guard zone was written to";
  if (n > 0 && std::memcmp(to.data(), wire.data(), wire.size()) != 0) return "the bytes differ";
  if (auto why = difference(memory.values(), after); !why.empty()) return "remembered: " + why;
  return keeps ? difference(out.values(), sent) : std::string{};
}

BOOST_AUTO_TEST_SUITE(kernels_update)

BOOST_AUTO_TEST_CASE(steps_equal_the_optimizers) {
  const tutti::sgd sgd{.learning_rate = .1, .momentum = .9, .nesterov = true, .weight_decay = .01};
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1, 3}) {
      BOOST_CHECK_EQUAL(check_values(sgd, n, offset), "");
      BOOST_CHECK_EQUAL(check_values(tutti::adam{.weight_decay = .01}, n, offset), "");
      BOOST_CHECK_EQUAL(check_values(tutti::adamw{}, n, offset), "");
    }
}

BOOST_AUTO_TEST_CASE(steps_out_of_messages_equal_the_optimizers) {
  for (const std::size_t n : {0, 1, 255, 256, 257, 1025}) {
    BOOST_CHECK_EQUAL(check_messages(tutti::adamw{}, n), "");
    BOOST_CHECK_EQUAL(check_messages(tutti::sgd{.momentum = .5}, n), "");
  }
}

BOOST_AUTO_TEST_CASE(casts_remember_as_error_feedback_does) {
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1, 2})
      for (const bool keeps : {false, true}) BOOST_CHECK_EQUAL(check_cast(n, offset, keeps), "");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace update_kernels
