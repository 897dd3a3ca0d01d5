// majority_vote: messages of signs in device memory become one.
#pragma once

#include <tutti/codecs/sign_block.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/kernels/vote.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti::cuda {

namespace detail {

template <class Built, std::size_t Block, std::size_t Most>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    vote_kernel(const __grid_constant__ kernels::ballots<Most> of) {
  device_block<tuning::lanes> block;
  kernels::vote<Block>(block, of);
}

} // namespace detail

/// Of 1 to 16 messages of sign_block and of one length: out has the signs that most of them have, an even vote being
/// positive, whatever their scales; and of each block the mean of their scales (Bernstein, Wang, Azizzadenesheli,
/// Anandkumar, "signSGD", ICML 2018). It is a message of sign_block again, and where all scales are equal its signs are
/// those that `direct` and `star` send behind a sum or a mean. For loops of your own: where scales differ, as they do
/// between ranks, a mean of signs counts each as much as its scale, so that a strategy with sign_block, which has the
/// bits of the host's mean, decodes and reduces in one pass instead (cuda/coding.cuh). `out` may be one of the
/// messages. From run to run. Returns when the work is enqueued; allocates nothing. Cost: one read of each message, one
/// write; 32 signs are counted at a time. Errors: invalid_argument, transport.
template <std::size_t Block, class Built = detail::built_for>
void majority_vote(const stream& on, const basic_sign_block<Block>&,
                   std::span<const device_span<const std::byte>> wires, device_span<std::byte> out) {
  static_assert(Block % 32 == 0 && Block >= 128,
                "tutti::cuda::majority_vote: blocks are not of 128 signs or more, in multiples of 32 - use sign_block");
  namespace kernels = detail::kernels;
  constexpr std::size_t most = tuning::static_contributions;
  const char* const call = "cuda::majority_vote";
  detail::require_one_device(on, call, out);
  const detail::messages from = detail::checked_messages(on, call, wires, out.size());
  detail::require_message(call, out, out.size());
  const auto words = [](const std::byte* p) { return reinterpret_cast<const std::uint32_t*>(p); };
  const std::size_t n = out.size() / 4;
  kernels::ballots<most> of{{}, out.data(), out.size(), kernels::head_of(n, 4, words(out.data())), from.count};
  for (int k = 0; k < from.count; ++k) {
    detail::require_apart(call, out, wires[std::size_t(k)]);
    of.in[k] = from.wires[k];
    if (kernels::head_of(n, 4, words(out.data()), words(of.in[k])) != of.head) of.head = n;
  }
  const unsigned blocks = out.empty() ? 0 : (std::max)(1u, detail::packet_blocks(n, of.head, 4));
  detail::launch(on, call, blocks, &detail::vote_kernel<Built, Block, most>, of);
}

} // namespace tutti::cuda
