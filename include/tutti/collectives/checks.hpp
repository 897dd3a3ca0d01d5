// What cannot work does not compile, and one sentence says why and what to write instead.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/codecs/memory.hpp>
#include <tutti/collectives/default_topology.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/reducer.hpp>
#include <tutti/topologies/schedule.hpp>

namespace tutti::detail {

template <class Topology>
constexpr bool carries_or_default(collective what) {
  if constexpr (schedule_topology<Topology>)
    return tutti::carries<Topology>(what);
  else
    return chooses<Topology>;
}

template <class Topology>
constexpr bool gathers_or_default() {
  if constexpr (schedule_topology<Topology>)
    return Topology::gathers;
  else
    return chooses<Topology>;
}

/// The kind of a codec; of what is none, exact, so that it is refused for that reason alone.
template <class C>
inline constexpr codec_kind kind_of = codec_kind::exact;
template <codec C>
inline constexpr codec_kind kind_of<C> = C::kind;

/// Instantiates classes of sentences. Facts and sentences are apart because clang++ gives up a class at
/// the first assertion that fails, and would report every use of its facts as well.
template <class... Sentences>
constexpr void explain() {
  ((void)sizeof(Sentences), ...);
}

template <class... Parts>
struct known_parts_sentences {
  static_assert((has_part<Parts> && ...),
                "tutti: an argument is not a part - parts are reducers, topologies, codecs, sync "
                "policies, communicators and tutti::options; your own type becomes one by naming its "
                "noun: using part = tutti::reducer_part");
  static_assert(count_parts<reducer_part, Parts...> <= 1, "tutti: two reducers were given - keep one");
  static_assert(count_parts<topology_part, Parts...> <= 1,
                "tutti: two topologies were given - keep one, or nest them as in "
                "tutti::pipelined<tutti::ring>");
  static_assert(count_parts<codec_part, Parts...> <= 1, "tutti: two codecs were given - keep one");
  static_assert(count_parts<memory_part, Parts...> <= 1, "tutti: two memories of a codec were given - keep one");
  static_assert(count_parts<sync_part, Parts...> <= 1,
                "tutti: two sync policies were given - keep one");
  static_assert(count_parts<accumulator_part, Parts...> <= 1, "tutti: two accumulators were given - keep one");
  static_assert(count_parts<options_part, Parts...> <= 1,
                "tutti: two option bags were given - merge them into one tutti::options");
  static_assert(count_parts<training_part, Parts...> <= 1,
                "tutti: two bags of training options were given - merge them into one "
                "tutti::training_options");
  static_assert(count_parts<communicator_part, Parts...> <= 1,
                "tutti: two communicators were given - keep one");
};

template <collective What, class Topology>
struct carried {
  static constexpr bool is_schedule =
      schedule_topology<Topology> || chooses<Topology>;
  static constexpr bool fits = !is_schedule || carries_or_default<Topology>(What);
  static constexpr bool value = is_schedule && fits;
};
template <collective What, class Topology>
struct carried_sentences {
  using facts = carried<What, Topology>;
  static_assert(facts::is_schedule,
                "tutti: this topology has no schedule, so no collective runs on it - use ring, "
                "halving_doubling, recursive_doubling, direct, binomial_tree or star");
  static_assert(facts::fits || What != collective::all_reduce,
                "tutti::all_reduce: this topology does not carry it - use ring, halving_doubling, "
                "recursive_doubling, direct, binomial_tree or star");
  static_assert(facts::fits || What != collective::reduce_scatter,
                "tutti::reduce_scatter: this topology does not carry it - use ring, "
                "halving_doubling or direct");
  static_assert(facts::fits || What != collective::all_gather,
                "tutti::all_gather: this topology does not carry it - use ring, halving_doubling or "
                "direct");
  static_assert(facts::fits || What != collective::broadcast,
                "tutti::broadcast: this topology does not carry it - use binomial_tree or star");
  static_assert(facts::fits || What != collective::reduce,
                "tutti::reduce: this topology does not carry it - use binomial_tree or star");
};

template <class Reducer, class T>
struct reducible {
  static constexpr bool is_reducer = reducer_of<Reducer, T>;
  static constexpr bool on_host = runs_on_host<Reducer>;
  static constexpr bool accepts = !is_reducer || accepts_element<Reducer, T>;
  static constexpr bool value = is_reducer && accepts && on_host;
};
template <class Reducer, class T>
struct reducible_sentences {
  using facts = reducible<Reducer, T>;
  static_assert(element<T>, "tutti: this element type cannot be reduced - use float, double, "
                            "tutti::bfloat16, tutti::half, std::complex of float or double, an "
                            "integer, or a small trivially copyable struct under a reducer of your "
                            "own");
  static_assert(!element<T> || facts::is_reducer,
                "tutti: this reducer has neither combine(a, a) with identity<A>(), nor "
                "gather(span), nor an agreement for these elements - see tutti/reducers/reducer.hpp");
  static_assert(facts::on_host, "tutti: this reducer runs in kernels alone, and this call folds on the host - mark its "
                                "functions TUTTI_HD and say execution::both, or give the data to cuda::reduce");
  static_assert(facts::accepts || !std::integral<T>,
                "tutti: this reducer divides, and a division of integers would be truncated - use "
                "tutti::sum, or convert the data to float or double");
  static_assert(facts::accepts || !complex_element<T>,
                "tutti: this reducer does not take complex numbers - use tutti::sum or tutti::mean, "
                "or reduce real and imaginary parts as twice as many real elements");
  static_assert(facts::accepts || numeric_element<T>,
                "tutti: this reducer takes numbers, and the elements are structs - give a reducer of "
                "your own with combine(a, a) and identity<A>(), see examples/custom_reducer.cpp");
};

/// Whether what a codec draws or remembers is named by a memory.
template <class Codec, class T>
inline constexpr bool uses_memory = stateful_codec_of<Codec, T> || codes_by_place<Codec, T>;

template <class Memory, class T>
inline constexpr bool is_memory_of = false;
template <real_element T>
inline constexpr bool is_memory_of<codec_memory<T>, T> = true;

template <class Topology, class Reducer, class Codec, class T, class Memory>
struct compatible {
  static constexpr bool meets =
      !needs_every_contribution<Reducer, T> || gathers_or_default<Topology>();
  static constexpr bool has_tensors = !exempts_tensors<Codec>;
  static constexpr bool knows_when = !changes_in_training<Codec>;
  static constexpr bool coded = codec_of<Codec, T>;
  static constexpr bool on_host = runs_on_host<Codec>;
  static constexpr bool has_memory = !std::is_same_v<Memory, no_codec_memory>;
  static constexpr bool stateless = !coded || has_memory || stateless_codec_of<Codec, T>;
  static constexpr bool remembers_something = !coded || !has_memory || uses_memory<Codec, T>;
  static constexpr bool remembers_these = !has_memory || !remembers_something || is_memory_of<Memory, T>;
  static constexpr bool real = !coded || kind_of<Codec> == codec_kind::exact || real_element<T>;
  static constexpr bool opaque_meets =
      !coded || kind_of<Codec> != codec_kind::opaque || gathers_or_default<Topology>();
  static constexpr bool follows_alike = !detail::follows<Codec> || (std::derived_from<Reducer, sum> && !is_weighted<Reducer>);
  static constexpr bool value =
      meets && coded && on_host && stateless && follows_alike && remembers_something && remembers_these && real &&
      opaque_meets;
};
template <class Topology, class Reducer, class Codec, class T, class Memory>
struct compatible_sentences {
  using facts = compatible<Topology, Reducer, Codec, T, Memory>;
  static_assert(facts::meets, "tutti: this reducer needs every contribution, and this topology folds "
                              "them pairwise - use tutti::direct or tutti::star");
  static_assert(facts::has_tensors, "tutti: exempt picks tensors of a model, and a call has none - give the codec itself, or "
                                    "bind the model to a tutti::strategy");
  static_assert(!staged_codec<Codec, T>, "tutti: this codec sends tensors in stages, whose shapes a call does not know - "
                                         "give it to a tutti::strategy, whose trainer does");
  static_assert(facts::knows_when, "tutti: this codec changes while training goes on, and a call does not know how far that "
                                   "is - give it codec.at(exchange), or the codec to a tutti::strategy");
  static_assert(facts::coded || !facts::has_tensors || !facts::knows_when || staged_codec<Codec, T>,
                "tutti: this codec cannot encode these elements - see tutti/codecs/codec.hpp");
  static_assert(facts::on_host, "tutti: this codec runs in kernels alone, and this call encodes on the host - give one "
                                "with execution::both");
  static_assert(facts::stateless, "tutti: this codec remembers what it left out, and the call has no memory - give it a "
                                  "tutti::codec_memory of the same elements, which outlives it");
  static_assert(facts::follows_alike, "tutti: this codec sends how far contributions have moved, which are added up, each "
                                      "counting the same in every exchange - use tutti::mean or tutti::sum, or "
                                      "tutti::error_feedback");
  static_assert(facts::remembers_something, "tutti: a memory is given, and this codec remembers nothing - leave it out, or "
                                            "use tutti::error_feedback");
  static_assert(facts::remembers_these, "tutti: this memory is of other elements than the data - give a "
                                        "tutti::codec_memory of the type of the data");
  static_assert(facts::real || !std::integral<T>,
                "tutti: a lossy codec of integers would change them silently - use tutti::identity");
  static_assert(facts::real || std::integral<T>,
                "tutti: a lossy codec takes real elements, these are complex or structs - use "
                "tutti::identity");
  static_assert(facts::opaque_meets,
                "tutti: what this codec writes can only be decoded where all of it meets, and this "
                "topology combines on the way - use tutti::direct or tutti::star");
};

/// Everything a reducing collective asks of its parts.
template <collective What, class Topology, class Reducer, class Codec, class T, class Memory = no_codec_memory>
constexpr bool valid_reduction() {
  if constexpr (carried<What, Topology>::value && reducible<Reducer, T>::value)
    return compatible<Topology, Reducer, Codec, T, Memory>::value;
  else
    return false;
}
/// Names the first mistake.
template <collective What, class Topology, class Reducer, class Codec, class T, class Memory = no_codec_memory>
constexpr void explain_reduction() {
  if constexpr (!carried<What, Topology>::value)
    detail::explain<carried_sentences<What, Topology>>();
  else if constexpr (!reducible<Reducer, T>::value)
    detail::explain<reducible_sentences<Reducer, T>>();
  else
    detail::explain<compatible_sentences<Topology, Reducer, Codec, T, Memory>>();
}

} // namespace tutti::detail
