// What a collective cannot do with its topology, reducer, codec and elements.
#include <tutti/collectives/collectives.hpp>
#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/dgc.hpp>
#include <tutti/codecs/ef21.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/exempt.hpp>
#include <tutti/codecs/power_sgd.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/codecs/stochastic.hpp>
#include <tutti/codecs/threshold.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/codecs/warmed_up.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/ring.hpp>

#include <complex>
#include <cstddef>
#include <string>
#include <vector>

namespace {

/// Neighbours of a gossip round: a topology without schedules.
struct neighbours {
  using part = tutti::topology_part;
};

/// A reducer in name only.
struct silent {
  using part = tutti::reducer_part;
};

/// A codec that can only be decoded where all contributions meet.
struct opaque {
  using part = tutti::codec_part;
  static constexpr auto kind = tutti::codec_kind::opaque;
  template <tutti::element T>
  std::size_t bytes(std::size_t n) const { return n; }
  template <tutti::element T>
  void encode(std::span<const T>, std::byte*) const {}
  template <tutti::element T>
  void decode(const std::byte*, std::span<T>) const {}
};

/// A codec without functions.
struct wordless {
  using part = tutti::codec_part;
  static constexpr auto kind = tutti::codec_kind::exact;
};

} // namespace

void all_reduces(tutti::self& comm, std::vector<float>& data, tutti::codec_memory<float>& memory) {
  // REJECT no_schedule: tutti: this topology has no schedule, so no collective runs on it - use ring
  // REJECT no_reducer: tutti: this reducer has neither combine\(a, a\) .* nor gather\(span\)
  // REJECT median_on_ring: tutti: this reducer needs every contribution, .* use tutti::direct or tutti::star
  // REJECT krum_on_ring: tutti: this reducer needs every contribution, .* use tutti::direct or tutti::star
  // REJECT median_on_pipelined: tutti: this reducer needs every contribution, and this topology folds them pairwise
  // REJECT no_codec: tutti: this codec cannot encode these elements
  // REJECT staged_call: tutti: this codec sends tensors in stages, whose shapes a call does not know - give it to a tutti::strategy
  // REJECT moves_to_a_maximum: tutti: this codec sends how far contributions have moved, .* or tutti::error_feedback
  // REJECT forgetful_call: tutti: this codec remembers what it left out, .* give it a tutti::codec_memory of the same
  // REJECT needless_memory: tutti: a memory is given, and this codec remembers nothing - leave it out
  // REJECT memory_of_others: tutti: this memory is of other elements than the data - give a tutti::codec_memory of
  // REJECT two_memories: tutti: two memories of a codec were given - keep one
  // REJECT opaque_on_ring: tutti: what this codec writes can only be decoded where all of it meets
  // REJECT values_by_draws: tutti: this codec cannot encode the values of a sparse one, .* tutti::int8_block or tutti::two_bit_block
  // REJECT values_that_choose: tutti: this codec cannot encode the values of a sparse one, .* tutti::int8_block or tutti::two_bit_block
  // REJECT exempt_in_call: tutti: exempt picks tensors of a model, and a call has none - give the codec itself
  // REJECT dense_dgc: tutti: dgc forgets the momentum of what was sent, .* use tutti::top_k or another sparse codec
  // REJECT endless_call: tutti: this codec changes while training goes on, .* give it codec.at.exchange., or the codec to a tutti::strategy
  // REJECT warm_threshold: tutti: warmed_up raises what part of the values a sparse codec sends, .* tutti::random_k or tutti::chunked_top_k
  // REJECT warm_memoryless: tutti: warmed_up raises what part of the values a sparse codec sends, .* tutti::random_k or tutti::chunked_top_k
  // REJECT krum_lossy: tutti: a reducer that compares whole contributions takes them as they are - use tutti::identity
#if defined REJECT_no_schedule
  tutti::all_reduce(comm, data, neighbours{});
#elif defined REJECT_no_reducer
  tutti::all_reduce(comm, data, silent{});
#elif defined REJECT_median_on_ring
  tutti::all_reduce(comm, data, tutti::ring{}, tutti::median{});
#elif defined REJECT_krum_on_ring
  tutti::all_reduce(comm, data, tutti::ring{}, tutti::krum{});
#elif defined REJECT_median_on_pipelined
  tutti::all_reduce(comm, data, tutti::pipelined{tutti::ring{}}, tutti::median{});
#elif defined REJECT_staged_call
  tutti::all_reduce(comm, data, tutti::power_sgd{});
#elif defined REJECT_moves_to_a_maximum
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::max{}, tutti::ef21{tutti::top_k{}}, memory);
#elif defined REJECT_no_codec
  tutti::all_reduce(comm, data, wordless{});
#elif defined REJECT_forgetful_call
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::error_feedback{tutti::top_k{}});
#elif defined REJECT_needless_memory
  tutti::all_reduce(comm, data, tutti::cast<tutti::bfloat16>{}, memory);
#elif defined REJECT_memory_of_others
  tutti::codec_memory<double> wide;
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::error_feedback{tutti::top_k{}}, wide);
#elif defined REJECT_two_memories
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::error_feedback{tutti::top_k{}}, memory, memory);
#elif defined REJECT_opaque_on_ring
  tutti::all_reduce(comm, data, tutti::ring{}, opaque{});
#elif defined REJECT_values_by_draws
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::basic_top_k<tutti::qsgd>{});
#elif defined REJECT_values_that_choose
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::basic_top_k<tutti::top_k>{});
#elif defined REJECT_exempt_in_call
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::exempt{tutti::top_k{}});
#elif defined REJECT_dense_dgc
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::dgc{tutti::sign_block{}}, memory);
#elif defined REJECT_endless_call
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::warmed_up{tutti::dgc{tutti::top_k{}}, 4}, memory);
#elif defined REJECT_warm_threshold
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::warmed_up{tutti::dgc{tutti::threshold{}}, 4}.at(0), memory);
#elif defined REJECT_warm_memoryless
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::warmed_up{tutti::top_k{}, 4}.at(0));
#elif defined REJECT_krum_lossy
  tutti::all_reduce(comm, data, tutti::krum{}, tutti::cast<tutti::bfloat16>{});
#else
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::median{});
  tutti::all_reduce(comm, data, tutti::star{}, tutti::krum{});
  tutti::all_reduce(comm, data, tutti::direct{}, opaque{});
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::basic_top_k<tutti::cast<tutti::bfloat16>>{});
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::error_feedback{tutti::top_k{}}, memory);
  tutti::all_reduce(comm, data, tutti::error_feedback{tutti::cast<tutti::half>{}}, memory);
  tutti::all_reduce(comm, data, tutti::direct{}, tutti::warmed_up{tutti::dgc{tutti::top_k{}}, 4}.at(0), memory);
  tutti::all_reduce(comm, data, tutti::cast<tutti::bfloat16>{});
#endif
}

void starts(tutti::self& comm, std::vector<float>& data) {
  // REJECT krum_async: tutti: this reducer makes an agreement while the data is on its way - call the blocking form
#if defined REJECT_krum_async
  tutti::async_all_reduce(comm, data, tutti::krum{}).wait();
#else
  tutti::async_all_reduce(comm, data, tutti::median{}).wait();
#endif
}

/// Agrees on the largest of all ranks' first elements, and sums.
struct agreeing_sum {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::max;
  constexpr std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T>
  void observe(std::span<const T> mine, std::span<double> numbers) const {
    numbers[0] = double(mine[0]);
  }
  tutti::sum agreed(std::span<const double>) const { return {}; }
};

void starts_again(tutti::self& comm, std::vector<float>& data) {
  // REJECT persistent_agreement: tutti: this reducer makes an agreement on the data, which is other data at every start
  // REJECT persistent_krum: tutti: this reducer makes an agreement while the data is on its way - call the blocking form
#if defined REJECT_persistent_agreement
  tutti::persistent_all_reduce(comm, data, agreeing_sum{}).start();
#elif defined REJECT_persistent_krum
  tutti::persistent_all_reduce(comm, data, tutti::krum{}).start();
#else
  tutti::async_all_reduce(comm, data, agreeing_sum{}).wait();
  tutti::persistent_all_reduce(comm, data, tutti::median{}).start();
#endif
}

void of_integers(tutti::self& comm, std::vector<int>& data) {
  // REJECT mean_of_integers: tutti: this reducer divides, and a division of integers would be truncated - use tutti::sum
  // REJECT weighted_mean_of_integers: tutti: this reducer divides
  // REJECT mean_of_shorts: tutti: this reducer divides, and a division of integers would be truncated - use tutti::sum
  // REJECT median_of_integers: tutti: this reducer divides
  // REJECT lossy_integers: tutti: a lossy codec of integers would change them silently - use tutti::identity
#if defined REJECT_mean_of_integers
  tutti::all_reduce(comm, data, tutti::mean{});
#elif defined REJECT_weighted_mean_of_integers
  tutti::all_reduce(comm, data, tutti::weighted_mean{});
#elif defined REJECT_mean_of_shorts
  std::vector<short> shorts(data.size());
  tutti::all_reduce(comm, shorts, tutti::mean{});
#elif defined REJECT_median_of_integers
  tutti::all_reduce(comm, data, tutti::median{});
#elif defined REJECT_lossy_integers
  tutti::all_reduce(comm, data, tutti::cast<tutti::half>{});
#else
  tutti::all_reduce(comm, data, tutti::sum{}, tutti::identity{});
  std::vector<short> shorts(data.size());
  tutti::all_reduce(comm, shorts);
#endif
}

namespace {

struct nearest {
  float distance;
  int rank;
};

/// The least distance, and of equal ones the lowest rank.
struct least_distance {
  using part = tutti::reducer_part;
  template <class A>
  constexpr A identity() const { return {3e38f, 1 << 30}; }
  template <class A>
  constexpr A combine(A a, A b) const {
    return b.distance < a.distance || (b.distance == a.distance && b.rank < a.rank) ? b : a;
  }
};

} // namespace

void of_other_elements(tutti::self& comm, std::vector<char>& letters, std::vector<std::byte>& raw,
                       std::vector<signed char>& bytes, nearest& one,
                       std::vector<std::complex<float>>& waves) {
  // REJECT of_char: tutti: this element type cannot be reduced - use float, double
  // REJECT of_bytes: tutti: this element type cannot be reduced - use float, double
  // REJECT sum_of_structs: tutti: this reducer takes numbers, and the elements are structs - give a reducer of
  // REJECT later_sum_of_structs: tutti: this reducer takes numbers, and the elements are structs
  // REJECT least_of_complex: tutti: this reducer does not take complex numbers - use tutti::sum or tutti::mean
  // REJECT median_of_complex: tutti: this reducer does not take complex numbers
  // REJECT lossy_complex: tutti: a lossy codec takes real elements, these are complex or structs - use tutti::identity
#if defined REJECT_of_char
  tutti::all_reduce(comm, letters);
#elif defined REJECT_of_bytes
  tutti::reduce(comm, raw);
#elif defined REJECT_sum_of_structs
  tutti::all_reduce(comm, one);
#elif defined REJECT_later_sum_of_structs
  tutti::async_all_reduce(comm, one, tutti::max{}).wait();
#elif defined REJECT_least_of_complex
  tutti::all_reduce(comm, waves, tutti::min{});
#elif defined REJECT_median_of_complex
  tutti::all_reduce(comm, waves, tutti::median{});
#elif defined REJECT_lossy_complex
  tutti::all_reduce(comm, waves, tutti::cast<tutti::half>{});
#else
  tutti::all_reduce(comm, bytes);
  tutti::broadcast(comm, letters); // copying takes any trivially copyable type
  tutti::all_gather(comm, raw);
  tutti::all_reduce(comm, one, least_distance{});
  tutti::all_reduce(comm, waves, tutti::mean{});
#endif
}

void on_what_does_not_carry_it(tutti::self& comm, std::vector<float>& data) {
  // REJECT scatter_on_tree: tutti::reduce_scatter: this topology does not carry it - use ring, halving_doubling or direct
  // REJECT gather_on_star: tutti::all_gather: this topology does not carry it - use ring, halving_doubling or direct
  // REJECT broadcast_on_ring: tutti::broadcast: this topology does not carry it - use binomial_tree or star
  // REJECT reduce_on_direct: tutti::reduce: this topology does not carry it - use binomial_tree or star
  // REJECT async_scatter_on_tree: tutti::reduce_scatter: this topology does not carry it
#if defined REJECT_scatter_on_tree
  tutti::reduce_scatter(comm, data, tutti::binomial_tree{});
#elif defined REJECT_gather_on_star
  tutti::all_gather(comm, data, tutti::star{});
#elif defined REJECT_broadcast_on_ring
  tutti::broadcast(comm, data, 0, tutti::ring{});
#elif defined REJECT_reduce_on_direct
  tutti::reduce(comm, data, 0, tutti::direct{});
#elif defined REJECT_async_scatter_on_tree
  tutti::async_reduce_scatter(comm, data, tutti::binomial_tree{}).wait();
#else
  tutti::reduce_scatter(comm, data, tutti::halving_doubling{});
  tutti::async_reduce_scatter(comm, data, tutti::direct{}).wait();
  tutti::all_gather(comm, data, tutti::direct{});
  tutti::broadcast(comm, data, 0, tutti::star{});
  tutti::reduce(comm, data, 0, tutti::binomial_tree{});
#endif
}

namespace {

/// Gives all_gather and nothing else.
struct gather_only : tutti::direct {
  static constexpr bool gives(tutti::collective what) { return what == tutti::collective::all_gather; }
};

} // namespace

void on_half_a_topology(tutti::self& comm, std::vector<float>& data) {
  // REJECT all_reduce_on_gather_only: tutti::all_reduce: this topology does not carry it - use ring, halving_doubling
#if defined REJECT_all_reduce_on_gather_only
  tutti::all_reduce(comm, data, gather_only{});
#else
  tutti::all_gather(comm, data, gather_only{});
#endif
}

void of_strings(tutti::self& comm, std::vector<std::string>& texts, std::vector<char>& bytes) {
  // REJECT of_strings: tutti: only trivially copyable elements can be moved between ranks - send the bytes
  // REJECT gather_strings: tutti: only trivially copyable elements can be moved between ranks
#if defined REJECT_of_strings
  tutti::broadcast(comm, texts);
#elif defined REJECT_gather_strings
  tutti::gather(comm, texts, texts);
#else
  tutti::broadcast(comm, bytes);
  tutti::gather(comm, bytes, bytes);
  (void)texts;
#endif
}

// REJECT pipelined_star: tutti::pipelined: a star has one round each way, nothing can overlap
#if defined REJECT_pipelined_star
inline constexpr tutti::pipelined segments{tutti::star{}};
#else
inline constexpr tutti::pipelined segments{tutti::binomial_tree{}};
#endif
