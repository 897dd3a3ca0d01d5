// Parts that do not make a strategy together.
#include <tutti/collectives/priced_codec.hpp>
#include <tutti/tutti.hpp>

#include <exception>
#include <vector>

namespace {

/// A communicator that cannot tell who is ready.
struct unselective {
  using part = tutti::communicator_part;
  tutti::self inner;

  int rank() const { return 0; }
  int size() const { return 1; }
  auto exchange(tutti::host_execution e, tutti::channel on, const tutti::exchange_round& round) {
    return inner.exchange(e, on, round);
  }
  std::uint64_t progress() { return 0; }
  void idle(std::uint64_t, tutti::deadline) {}
  void revoke(tutti::failure why) { inner.revoke(why); }
  tutti::operations& in_flight() { return inner.in_flight(); }
};
static_assert(tutti::communicator<unselective> && !tutti::selective_communicator<unselective>);

/// A communicator without exchange().
struct unable {
  using part = tutti::communicator_part;
  int rank() const { return 0; }
  int size() const { return 1; }
};

/// A placement without schedules.
struct servers_only {
  using part = tutti::topology_part;
  int server_count(int) const { return 1; }
  bool dedicates() const { return false; }
};

/// Gives no all_reduce, by itself or composed.
struct reduce_only : tutti::star {
  static constexpr bool gives(tutti::collective what) { return what == tutti::collective::reduce; }
};

/// Answers when it is due without being asked about a step.
struct curt {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  int period() const { return 8; }
};
struct clear : curt {
  int period = 8;
};

/// A policy that is one of a kind.
struct unique_policy {
  using part = tutti::sync_part;
  unique_policy() = default;
  unique_policy(unique_policy&&) = default;
};

/// Averages gradients with neighbours; replicas that have owners; clients; what goes with one kind and not the other.
struct mixing {
  using part = tutti::sync_part;
  static constexpr auto carrier = tutti::carried_by::mixing;
};
struct mixed_at_owners : mixing {
  static constexpr auto contribution = tutti::contributes::parameters;
  static constexpr bool owners = true;
};
struct mixed_clients : tutti::federated {
  static constexpr auto contribution = tutti::contributes::parameters;
  static constexpr auto carrier = tutti::carried_by::mixing;
};
struct pulled_parameters : tutti::gossip {
  double pull = 1;
};
struct ratios_of_differences : tutti::no_loco {
  static constexpr bool ratios = true;
};
struct tracks_without_a_graph : tutti::local_sgd {
  static constexpr bool tracks = true;
};
struct pulled_without_a_graph : tutti::diloco {
  double pull = 1;
};
struct paired_parameters : tutti::pairwise_averaging {
  static constexpr auto contribution = tutti::contributes::parameters;
};
/// Answers of another type.
struct wordy : tutti::gossip {
  static constexpr int offers_first = 1;
};

/// Contributes gradients, but not in every step.
struct periodic {
  using part = tutti::sync_part;
  int period = 8;
};

/// Has an outer optimizer, and nothing for it.
struct gradients_outside {
  using part = tutti::sync_part;
  tutti::sgd outer = {};
};

/// Rounds over a population, but not how long a client trains, and rounds that are late.
struct endless {
  using part = tutti::sync_part;
  static constexpr bool over_population = true;
  tutti::sgd outer = {};
};
struct late_rounds : tutti::federated {
  int delay = 1;
};
struct whole_rounds : endless {
  int epochs = 1;
  int cohort(int clients) const { return clients; }
};

/// Closes steps by something that cannot say who may go on.
struct ruleless : tutti::asynchronous {
  struct rule {
    double takes(int, std::int64_t, tutti::deadline) { return 1; }
    bool closes(tutti::deadline) { return true; }
  };
  rule closing(std::span<const std::int64_t>) const { return {}; }
};
/// Has a closing rule, and no servers.
struct closing_without_servers {
  using part = tutti::sync_part;
  auto closing(std::span<const std::int64_t> clocks) const { return tutti::quorum{}.closing(clocks); }
};

/// Rounds that end with nothing.
struct outerless_rounds {
  using part = tutti::sync_part;
  static constexpr bool over_population = true;
  int epochs = 1;
  int cohort(int clients) const { return clients; }
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

/// A codec that has no functions, and one that does not even say what kind it is.
struct wordless {
  using part = tutti::codec_part;
  static constexpr auto kind = tutti::codec_kind::exact;
};
struct unkind {
  using part = tutti::codec_part;
};

/// Contributes how far a rank has come, with and without an optimizer for it, and to servers.
struct differences {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::difference;
};
struct differences_and_a_number : differences {
  double outer = 0.7;
};
struct applied_differences : differences {
  tutti::adam outer = {};
};
struct one_bit_outside : differences {
  tutti::one_bit_adam outer = {};
};
struct served_differences : applied_differences {
  static constexpr auto carrier = tutti::carried_by::placement;
};

/// A reducer in name only.
struct silent {
  using part = tutti::reducer_part;
};

/// Clients that learn nothing.
struct clients_of_none {
  int clients() { return 1; }
  double examples(int) { return 1; }
  void train(int, tutti::local_training<float>&, tutti::random_stream) {}
};

/// Clients who cannot be trained.
struct untrained {
  int clients() { return 1; }
  double examples(int) { return 1; }
};

} // namespace

void makes(tutti::self& comm, unselective& deaf) {
  // REJECT nothing: tutti::strategy: there is no communicator - give tutti::mpi::world\(\)
  // REJECT no_part: tutti: an argument is not a part
  // REJECT two_reducers: tutti: two reducers were given - keep one
  // REJECT two_syncs: tutti: two sync policies were given - keep one
  // REJECT two_communicators: tutti: two communicators were given - keep one
  // REJECT no_communicator: tutti::strategy: this is no communicator
  // REJECT curt_policy: tutti::strategy: an answer of this sync policy has another type .* see tutti/sync/sync_policy.hpp
  // REJECT unique_policy: tutti::strategy: a sync policy is a value that can be copied - hold what cannot by reference
  // REJECT asynchronous_on_ring: tutti::strategy: this sync policy needs servers .* use tutti::star
  // REJECT synchronous_on_servers: tutti::strategy: this sync policy reduces over a schedule, and this topology has none
  // REJECT asynchronous_median: tutti::strategy: this reducer needs every contribution, and servers add up those that come
  // REJECT asynchronous_krum: tutti::strategy: this reducer needs every contribution, and servers add up those that come
  // REJECT asynchronous_max: tutti::strategy: servers add up what arrives, .* use tutti::mean or tutti::sum
  // REJECT asynchronous_weighted_mean: tutti::strategy: a weighted mean needs the weights of all .* use tutti::mean
  // REJECT federated_max: tutti::strategy: federated rounds average the clients .* use tutti::mean, tutti::weighted_mean or a rule
  // REJECT reduce_only: tutti::strategy: every rank needs the result, and this topology does not carry all_reduce
  // REJECT sharded_on_tree: tutti::strategy: a sharded optimizer needs reduce_scatter and all_gather
  // REJECT sharded_on_star: tutti::strategy: a sharded optimizer needs reduce_scatter and all_gather
  // REJECT median_on_ring: tutti::strategy: this reducer needs every contribution, .* use tutti::star or tutti::direct
  // REJECT krum_on_tree: tutti::strategy: this reducer needs every contribution, .* use tutti::star or tutti::direct
  // REJECT opaque_on_ring: tutti::strategy: what this codec writes can only be decoded where all of it meets
  // REJECT remembering_at_servers: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT remembering_graph: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT remembering_clients: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT remembered_parameters: tutti::strategy: this codec sends later what it left out, .* contribute tutti::contributes::difference
  // REJECT stages_at_servers: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT stages_along_a_graph: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT stages_of_clients: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT stages_of_parameters: tutti::strategy: this codec sends later what it left out, .* contribute tutti::contributes::difference
  // REJECT stages_of_a_median: tutti::strategy: what this codec sends in stages is added up, .* use tutti::mean or tutti::sum
  // REJECT weighted_moves: tutti::strategy: this codec sends how far contributions have moved, .* or tutti::error_feedback
  // REJECT corrected_differences: tutti::strategy: dgc keeps the momentum of gradients, .* use tutti::synchronous or tutti::sharded
  // REJECT corrected_at_servers: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT warm_at_servers: tutti::strategy: this codec remembers what it left out, .* or a codec without
  // REJECT exempt_from_momentum: tutti::strategy: dgc keeps the momentum of what it encodes, .* give it without exempt and where_it_pays
  // REJECT priced_momentum: tutti::strategy: dgc keeps the momentum of what it encodes, .* give it without exempt and where_it_pays
  // REJECT one_bit_outer: tutti::strategy: a sync policy that contributes differences, .* makes a common step .* as its member outer
  // REJECT memory_in_strategy: tutti::strategy: a trainer keeps the memory of its codec - leave tutti::codec_memory out
  // REJECT biased_sign: tutti::strategy: this codec is biased, .* use tutti::error_feedback.codec., or tutti::unsafe_biased
  // REJECT biased_top_k: tutti::strategy: this codec is biased, .* use tutti::error_feedback.codec., or tutti::unsafe_biased
  // REJECT feedback_on_ring: tutti::strategy: what this codec writes can only be decoded where all of it meets
  // REJECT blurred_answers: tutti::strategy: parameters themselves travel here, .* use tutti::cast, or reduce gradients
  // REJECT blurred_graph: tutti::strategy: parameters themselves travel here, .* use tutti::cast, or reduce gradients
  // REJECT blurred_replicas: tutti::strategy: parameters themselves travel here, .* use tutti::cast, or reduce gradients
  // REJECT priced_at_servers: tutti::strategy: where_it_pays chooses among parts of a model .* or give the codec without
  // REJECT wordless_codec: tutti::strategy: this codec cannot encode the parameters
  // REJECT unkind_codec: tutti::strategy: this codec cannot encode the parameters
  // REJECT exempt_at_servers: tutti::strategy: exempt picks tensors of a model whose contributions are reduced over a schedule
  // REJECT exempt_graph: tutti::strategy: exempt picks tensors of a model whose contributions are reduced over a schedule
  // REJECT exempt_clients: tutti::strategy: exempt picks tensors of a model whose contributions are reduced over a schedule
  // REJECT exempt_owners: tutti::strategy: exempt sends a contribution in two, and this reducer, or owners of differences
  // REJECT exempt_krum: tutti::strategy: exempt sends a contribution in two, and this reducer, or owners of differences
  // REJECT exempt_and_biased: tutti::strategy: this codec is biased, .* use tutti::error_feedback.codec., or tutti::unsafe_biased
  // REJECT differences: tutti::strategy: a sync policy that contributes differences, .* makes a common step .* as its member outer
  // REJECT differences_and_a_number: tutti::strategy: a sync policy that contributes differences, .* makes a common step
  // REJECT backup_workers_on_ring: tutti::strategy: this sync policy needs servers .* use tutti::star
  // REJECT quorum_median: tutti::strategy: this reducer needs every contribution, and servers add up those that come
  // REJECT quorum_max: tutti::strategy: servers add up what arrives, .* use tutti::mean or tutti::sum
  // REJECT quorum_repeats: tutti::strategy: more determinism is asked for than these parts promise
  // REJECT ruleless: tutti::strategy: what closing.clocks. of this sync policy returns is no closing rule .* see tutti/sync/closing_rule.hpp
  // REJECT closing_without_servers: tutti::strategy: this sync policy says by closing.. when a step at a server closes, .* leave closing out
  // REJECT served_differences: tutti::strategy: servers apply gradients as they come, .* use tutti::asynchronous, or a schedule
  // REJECT periodic_gradients: tutti::strategy: gradients are contributed in every step, .* or contribute tutti::contributes::difference
  // REJECT late_rounds: tutti::strategy: gradients are contributed in every step, and rounds over a population agree in every round
  // REJECT gradients_outside: tutti::strategy: outer steps are made with differences, .* or contribute tutti::contributes::difference
  // REJECT sum_of_parameters: tutti::strategy: the sum of all ranks' parameters is no model - use tutti::mean
  // REJECT endless_rounds: tutti::strategy: rounds over a population ask the sync policy for epochs and cohort
  // REJECT rounds_without_outer: tutti::strategy: a sync policy that contributes differences, or runs rounds over a population, makes a common step .* as its member outer
  // REJECT gossip_on_ring: tutti::strategy: this sync policy averages along a graph, and this topology is none - use tutti::one_peer_exponential
  // REJECT synchronous_on_graph: tutti::strategy: this sync policy reduces over a schedule, and this topology has none
  // REJECT mixed_gradients: tutti::strategy: along a graph the replicas of all ranks are averaged - contribute tutti::contributes::parameters or difference
  // REJECT mixed_at_owners: tutti::strategy: along a graph the replicas of all ranks are averaged - .* leave owners and populations out
  // REJECT mixed_clients: tutti::strategy: along a graph the replicas of all ranks are averaged - .* leave owners and populations out
  // REJECT pairs_on_ring: tutti::strategy: this sync policy averages along a graph, and this topology is none
  // REJECT paired_parameters: tutti::strategy: pairs average replicas that apply gradients of their own - leave contribution
  // REJECT coded_pairs: tutti::strategy: pairs average replicas that apply gradients of their own - leave .* codecs out
  // REJECT summed_pairs: tutti::strategy: a graph has weights of its own - leave the reducer out
  // REJECT weighted_gossip: tutti::strategy: a graph has weights of its own - leave the reducer out
  // REJECT tracks_without_a_graph: tutti::strategy: offers_first, ratios, tracks and pull are answers about a graph, and none carries this
  // REJECT pulled_without_a_graph: tutti::strategy: offers_first, ratios, tracks and pull are answers about a graph, and none carries this
  // REJECT pulled_parameters: tutti::strategy: offers_first, ratios and tracks are about parameters, and pull is about differences
  // REJECT ratios_of_differences: tutti::strategy: offers_first, ratios and tracks are about parameters, and pull is about differences
  // REJECT wordy_gossip: tutti::strategy: an answer of this sync policy has another type .* see tutti/sync/sync_policy.hpp
  // REJECT two_trainings: tutti: two bags of training options were given - merge them
  // REJECT asynchronous_repeats: tutti::strategy: more determinism is asked for than these parts promise .* such as tutti::synchronous
  // REJECT synchronous_any_count: tutti::strategy: more determinism is asked for .* a reducer that promises it
  using tutti::strategy;
#if defined REJECT_nothing
  strategy made{tutti::ring{}, tutti::mean{}};
#elif defined REJECT_no_part
  strategy made{comm, tutti::ring{}, 3};
#elif defined REJECT_two_reducers
  strategy made{comm, tutti::sum{}, tutti::mean{}};
#elif defined REJECT_two_syncs
  strategy made{comm, tutti::synchronous{}, tutti::asynchronous{}};
#elif defined REJECT_two_communicators
  strategy made{comm, tutti::self{}};
#elif defined REJECT_no_communicator
  strategy made{unable{}, tutti::ring{}};
#elif defined REJECT_curt_policy
  strategy made{comm, curt{}};
#elif defined REJECT_asynchronous_on_ring
  strategy made{comm, tutti::ring{}, tutti::asynchronous{}};
#elif defined REJECT_synchronous_on_servers
  strategy made{comm, servers_only{}, tutti::synchronous{}};
#elif defined REJECT_asynchronous_median
  strategy made{comm, tutti::star{}, tutti::median{}, tutti::asynchronous{}};
#elif defined REJECT_asynchronous_krum
  strategy made{comm, tutti::star{}, tutti::krum{}, tutti::asynchronous{}};
#elif defined REJECT_asynchronous_max
  strategy made{comm, tutti::max{}, tutti::asynchronous{}};
#elif defined REJECT_asynchronous_weighted_mean
  strategy made{comm, tutti::star{}, tutti::weighted_mean{}, tutti::asynchronous{}};
#elif defined REJECT_federated_max
  strategy made{comm, tutti::star{}, tutti::max{}, tutti::federated{}};
#elif defined REJECT_reduce_only
  strategy made{comm, reduce_only{}};
#elif defined REJECT_sharded_on_tree
  strategy made{comm, tutti::binomial_tree{}, tutti::sharded{}};
#elif defined REJECT_sharded_on_star
  strategy made{comm, tutti::star{}, tutti::sharded{}};
#elif defined REJECT_median_on_ring
  strategy made{comm, tutti::ring{}, tutti::median{}};
  std::vector<float> values(8);
  auto trainer = made.bind(values, tutti::sgd{}); // says no more
  trainer.optimizer().learning_rate = .5;
  trainer.fail(std::exception_ptr{});
  trainer.step(values);
  trainer.begin(values);
  trainer.ready(0);
  trainer.finish();
  trainer.serve();
  trainer.finalize();
#elif defined REJECT_krum_on_tree
  strategy made{comm, tutti::binomial_tree{}, tutti::krum{}};
#elif defined REJECT_opaque_on_ring
  strategy made{comm, tutti::ring{}, opaque{}};
#elif defined REJECT_remembering_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::error_feedback{tutti::int8_block{}}};
#elif defined REJECT_remembering_graph
  strategy made{comm, tutti::gossip{}, tutti::error_feedback{tutti::int8_block{}}};
#elif defined REJECT_remembering_clients
  strategy made{comm, tutti::direct{}, tutti::federated{}, tutti::error_feedback{tutti::int8_block{}}};
#elif defined REJECT_remembered_parameters
  strategy made{comm, tutti::direct{}, tutti::local_sgd{}, tutti::error_feedback{tutti::top_k{}}};
#elif defined REJECT_corrected_differences
  strategy made{comm, tutti::direct{}, tutti::diloco{}, tutti::dgc{tutti::top_k{}}};
#elif defined REJECT_corrected_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::dgc{tutti::top_k{}}};
#elif defined REJECT_warm_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::warmed_up{tutti::error_feedback{tutti::top_k{}}, 4}};
#elif defined REJECT_exempt_from_momentum
  strategy made{comm, tutti::direct{}, tutti::exempt{tutti::dgc{tutti::top_k{}}}};
#elif defined REJECT_priced_momentum
  strategy made{comm, tutti::direct{}, tutti::where_it_pays{tutti::warmed_up{tutti::dgc{tutti::top_k{}}, 4}, {}, {}}};
#elif defined REJECT_one_bit_outer
  strategy made{comm, one_bit_outside{}};
#elif defined REJECT_memory_in_strategy
  strategy made{comm, tutti::direct{}, tutti::error_feedback{tutti::top_k{}}, tutti::codec_memory<float>{}};
#elif defined REJECT_biased_sign
  strategy made{comm, tutti::direct{}, tutti::sign_block{}};
#elif defined REJECT_biased_top_k
  strategy made{comm, tutti::direct{}, tutti::diloco{}, tutti::top_k{}};
#elif defined REJECT_feedback_on_ring
  strategy made{comm, tutti::ring{}, tutti::error_feedback{tutti::top_k{}}};
#elif defined REJECT_blurred_answers
  strategy made{comm, tutti::asynchronous{}, tutti::int8_block{}};
#elif defined REJECT_blurred_graph
  strategy made{comm, tutti::gossip{}, tutti::int8_block{}};
#elif defined REJECT_blurred_replicas
  strategy made{comm, tutti::direct{}, tutti::local_sgd{}, tutti::int8_block{}};
#elif defined REJECT_priced_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::where_it_pays{tutti::int8_block{}, {}, {}}};
#elif defined REJECT_stages_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::power_sgd{}};
#elif defined REJECT_stages_along_a_graph
  strategy made{comm, tutti::gossip{}, tutti::power_sgd{}};
#elif defined REJECT_stages_of_clients
  strategy made{comm, tutti::federated{}, tutti::power_sgd{}};
#elif defined REJECT_stages_of_parameters
  strategy made{comm, tutti::local_sgd{}, tutti::power_sgd{}};
#elif defined REJECT_stages_of_a_median
  strategy made{comm, tutti::direct{}, tutti::median{}, tutti::power_sgd{}};
#elif defined REJECT_weighted_moves
  strategy made{comm, tutti::direct{}, tutti::weighted_mean{}, tutti::ef21{tutti::top_k{}}};
#elif defined REJECT_wordless_codec
  strategy made{comm, tutti::ring{}, wordless{}};
#elif defined REJECT_exempt_at_servers
  strategy made{comm, tutti::asynchronous{}, tutti::exempt{tutti::int8_block{}}};
#elif defined REJECT_exempt_graph
  strategy made{comm, tutti::gossip{}, tutti::exempt{tutti::int8_block{}}};
#elif defined REJECT_exempt_clients
  strategy made{comm, tutti::direct{}, tutti::federated{}, tutti::exempt{tutti::int8_block{}}};
#elif defined REJECT_exempt_owners
  strategy made{comm, tutti::direct{}, tutti::sharded_diloco{}, tutti::exempt{tutti::int8_block{}}};
#elif defined REJECT_exempt_krum
  strategy made{comm, tutti::direct{}, tutti::krum{}, tutti::exempt{tutti::int8_block{}}};
#elif defined REJECT_exempt_and_biased
  strategy made{comm, tutti::direct{}, tutti::exempt{tutti::sign_block{}}};
#elif defined REJECT_unkind_codec
  strategy made{comm, tutti::ring{}, unkind{}};
#elif defined REJECT_unique_policy
  strategy made{comm, unique_policy{}};
#elif defined REJECT_differences
  strategy made{comm, differences{}};
#elif defined REJECT_differences_and_a_number
  strategy made{comm, differences_and_a_number{}};
#elif defined REJECT_backup_workers_on_ring
  strategy made{comm, tutti::ring{}, tutti::backup_workers{}};
#elif defined REJECT_quorum_median
  strategy made{comm, tutti::star{}, tutti::median{}, tutti::quorum{}};
#elif defined REJECT_quorum_max
  strategy made{comm, tutti::max{}, tutti::quorum{}};
#elif defined REJECT_quorum_repeats
  strategy made{comm, tutti::quorum{}, tutti::at_least<tutti::determinism::run_to_run>{}};
#elif defined REJECT_ruleless
  strategy made{comm, ruleless{}};
#elif defined REJECT_closing_without_servers
  strategy made{comm, closing_without_servers{}};
#elif defined REJECT_served_differences
  strategy made{comm, served_differences{}};
#elif defined REJECT_periodic_gradients
  strategy made{comm, periodic{}};
#elif defined REJECT_late_rounds
  strategy made{comm, late_rounds{}};
#elif defined REJECT_gradients_outside
  strategy made{comm, gradients_outside{}};
#elif defined REJECT_sum_of_parameters
  strategy made{comm, tutti::sum{}, tutti::local_sgd{}};
#elif defined REJECT_endless_rounds
  strategy made{comm, endless{}};
#elif defined REJECT_rounds_without_outer
  strategy made{comm, outerless_rounds{}};
#elif defined REJECT_gossip_on_ring
  strategy made{comm, tutti::ring{}, tutti::gossip{}};
#elif defined REJECT_synchronous_on_graph
  strategy made{comm, tutti::ring_graph{}};
#elif defined REJECT_mixed_gradients
  strategy made{comm, tutti::ring_graph{}, mixing{}};
#elif defined REJECT_mixed_at_owners
  strategy made{comm, tutti::ring_graph{}, mixed_at_owners{}};
#elif defined REJECT_mixed_clients
  strategy made{comm, tutti::ring_graph{}, tutti::mean{}, mixed_clients{}};
#elif defined REJECT_pairs_on_ring
  strategy made{comm, tutti::ring{}, tutti::pairwise_averaging{}};
#elif defined REJECT_paired_parameters
  strategy made{comm, paired_parameters{}};
#elif defined REJECT_coded_pairs
  strategy made{comm, tutti::pairwise_averaging{}, tutti::cast<tutti::bfloat16>{}};
#elif defined REJECT_summed_pairs
  strategy made{comm, tutti::pairwise_averaging{}, tutti::sum{}};
#elif defined REJECT_weighted_gossip
  strategy made{comm, tutti::weighted_mean{}, tutti::gossip{}};
#elif defined REJECT_tracks_without_a_graph
  strategy made{comm, tracks_without_a_graph{}};
#elif defined REJECT_pulled_without_a_graph
  strategy made{comm, pulled_without_a_graph{}};
#elif defined REJECT_pulled_parameters
  strategy made{comm, pulled_parameters{}};
#elif defined REJECT_ratios_of_differences
  strategy made{comm, ratios_of_differences{}};
#elif defined REJECT_wordy_gossip
  strategy made{comm, wordy{}};
#elif defined REJECT_two_trainings
  strategy made{comm, tutti::training_options{.clip = 1}, tutti::training_options{}};
#elif defined REJECT_asynchronous_repeats
  strategy made{comm, tutti::asynchronous{}, tutti::at_least<tutti::determinism::run_to_run>{}};
#elif defined REJECT_synchronous_any_count
  strategy made{comm, tutti::at_least<tutti::determinism::rank_count_invariant>{}};
#else
  strategy defaults{comm};
  strategy any_order{tutti::mean{}, tutti::ring{}, comm, tutti::synchronous{}};
  strategy served{comm, tutti::star{}, tutti::mean{}, tutti::asynchronous{}};
  strategy also_placed{comm, servers_only{}, tutti::asynchronous{}};
  strategy spare{comm, tutti::star{}, tutti::mean{}, tutti::backup_workers{}};
  strategy weighed{comm, tutti::star{}, tutti::weighted_mean{}, tutti::quorum{}};
  strategy deaf_schedule{deaf, tutti::synchronous{}};
  strategy deaf_servers{deaf, tutti::asynchronous{}};
  std::vector<float> parameters(3);
  auto served_by_the_deaf = deaf_servers.bind(parameters, tutti::sgd{});
  strategy robust{comm, tutti::direct{}, tutti::median{}};
  strategy robust_star{comm, tutti::star{}, tutti::krum{}};
  strategy weighted{comm, tutti::weighted_mean{}, tutti::synchronous{}};
  strategy averaged{comm, tutti::star{}, tutti::federated{}};
  strategy shards{comm, tutti::halving_doubling{}, tutti::sharded{}};
  strategy coded{comm, tutti::direct{}, tutti::cast<tutti::bfloat16>{}};
  strategy moved{comm, tutti::direct{}, tutti::ef21{tutti::top_k{}}};
  strategy corrected{comm, tutti::direct{}, tutti::warmed_up{tutti::dgc{tutti::top_k{}}, 4}};
  strategy corrected_shards{comm, tutti::direct{}, tutti::sharded{}, tutti::dgc{tutti::top_k{}}};
  strategy warmed{comm, tutti::direct{}, tutti::diloco{},
                  tutti::exempt{tutti::warmed_up{tutti::error_feedback{tutti::top_k{}}, 4}}};
  strategy staged{comm, tutti::ring{}, tutti::power_sgd{.rank = 2}, tutti::diloco{}};
  strategy repeats{comm, tutti::at_least<tutti::determinism::run_to_run>{}};
  strategy outside{comm, applied_differences{}};
  strategy summed_differences{comm, tutti::sum{}, applied_differences{}};
  strategy from_time_to_time{comm, clear{}};
  strategy robust_average{comm, tutti::direct{}, tutti::median{}, tutti::local_sgd{.period = 8}};
  strategy rounds{comm, whole_rounds{}};
  strategy mixed{comm, tutti::gossip{}, tutti::mean{}, tutti::cast<tutti::bfloat16>{}};
  strategy paired{comm, tutti::pairwise_averaging{}, tutti::ring_graph{}};
  strategy pulled{comm, tutti::no_loco{.pull = 2}, tutti::ring_graph{}};
  strategy options{comm, tutti::training_options{.clip = 1}, tutti::options{}};
#endif
}

/// A memory that nobody has told bind about.
struct elsewhere {
  template <class T>
  struct span {
    using element_type = T;
    T* data() const { return nullptr; }
    std::size_t size() const { return 0; }
  };
  template <class T>
  using verbs = tutti::detail::host_verbs<T>;
  template <class T>
  std::string wrong(span<T>) const {
    return {};
  }
  template <class T>
  span<T> values(std::span<T>) const {
    return {};
  }
};

void binds(tutti::self& comm, std::vector<float>& values, std::vector<tutti::half>& halves) {
  tutti::strategy averaging{comm, tutti::federated{}};
  tutti::strategy training{comm};
  // REJECT bind_integers: tutti::strategy::bind: parameters must be float, double, or bfloat16 or half .* keep a float copy
  // REJECT bind_federated: tutti::strategy::bind: a federated strategy owns its loop - call run\(\)
  // REJECT bind_constants: tutti::strategy::bind: every step changes the parameters, and these are const
  // REJECT bind_temporary: tutti::strategy::bind: the trainer refers to its strategy, .* give the strategy a name
  // REJECT bind_number: tutti::strategy::bind: this is no optimizer - give tutti::sgd, tutti::adam
  // REJECT bind_pieces: tutti::strategy::bind: this optimizer takes whole matrices, .* use tutti::synchronous
  // REJECT bind_served_matrices: tutti::strategy::bind: this optimizer takes whole matrices, and owners and servers
  // REJECT bind_silent: tutti: this reducer has neither combine
  // REJECT bind_elsewhere: tutti::strategy::bind: parameters are in another memory than bind is told - give the memory
  // REJECT bind_moments: tutti::strategy::bind: this optimizer keeps moments of gradients, .* use tutti::sgd without momentum
  // REJECT bind_muon_too: tutti::strategy::bind: this optimizer keeps moments of gradients, .* use tutti::sgd without momentum
  // REJECT bind_summed_momentum: tutti::strategy::bind: for this optimizer its momentum is exchanged, .* use tutti::synchronous
  // REJECT bind_cut_momentum: tutti::strategy::bind: for this optimizer its momentum is exchanged, .* use tutti::synchronous
  // REJECT bind_served_momentum: tutti::strategy::bind: for this optimizer its momentum is exchanged, .* use tutti::synchronous
  // REJECT bind_local_momentum: tutti::strategy::bind: for this optimizer its momentum is exchanged, .* use tutti::synchronous
  // REJECT bind_momentum_in_stages: tutti::strategy::bind: for this optimizer its momentum is exchanged, .* use tutti::synchronous
  // REJECT run_momentum: tutti::strategy::run: this is no elementwise optimizer
  // REJECT step_elsewhere: tutti::trainer: gradients are in another memory than the parameters - give both in the memory
  // REJECT run_halves: tutti::strategy::run: parameters must be float or double
  // REJECT run_synchronous: tutti::strategy::run: only a federated strategy runs a population - add tutti::federated
  // REJECT run_nobody: tutti::strategy::run: this is no population - it needs clients\(\)
#if defined REJECT_bind_integers
  std::vector<int> whole(3);
  auto trainer = training.bind(whole, tutti::sgd{});
#elif defined REJECT_bind_federated
  auto trainer = averaging.bind(values, tutti::sgd{});
#elif defined REJECT_bind_constants
  auto trainer = training.bind(std::as_const(values), tutti::sgd{});
#elif defined REJECT_bind_temporary
  auto trainer = tutti::strategy{comm}.bind(values, tutti::sgd{});
#elif defined REJECT_bind_pieces
  tutti::strategy shards{comm, tutti::sharded{}};
  auto trainer = shards.bind(values, tutti::muon{});
#elif defined REJECT_bind_served_matrices
  tutti::strategy served{comm, tutti::star{}, tutti::asynchronous{}};
  auto trainer = served.bind(values, tutti::muon{});
#elif defined REJECT_bind_moments
  tutti::strategy corrected{comm, tutti::direct{}, tutti::dgc{tutti::top_k{}}};
  auto trainer = corrected.bind(values, tutti::adamw{});
#elif defined REJECT_bind_muon_too
  tutti::strategy corrected{comm, tutti::direct{}, tutti::dgc{tutti::top_k{}}};
  auto trainer = corrected.bind(values, tutti::muon<tutti::adamw>{.momentum = 0});
#elif defined REJECT_bind_summed_momentum
  tutti::strategy sums{comm, tutti::sum{}};
  auto trainer = sums.bind(values, tutti::one_bit_adam{});
#elif defined REJECT_bind_cut_momentum
  tutti::strategy shards{comm, tutti::sharded{}};
  auto trainer = shards.bind(values, tutti::one_bit_adam{});
#elif defined REJECT_bind_served_momentum
  tutti::strategy served{comm, tutti::star{}, tutti::asynchronous{}};
  auto trainer = served.bind(values, tutti::one_bit_adam{});
#elif defined REJECT_bind_local_momentum
  tutti::strategy apart{comm, tutti::diloco{}};
  auto trainer = apart.bind(values, tutti::one_bit_adam{});
#elif defined REJECT_bind_momentum_in_stages
  tutti::strategy staged{comm, tutti::power_sgd{}};
  auto trainer = staged.bind(values, tutti::one_bit_adam{});
#elif defined REJECT_run_momentum
  clients_of_none nobody;
  auto rounds = averaging.rounds(values, tutti::one_bit_adam{}, nobody);
#elif defined REJECT_bind_number
  auto trainer = training.bind(values, 0.1);
#elif defined REJECT_bind_silent
  tutti::strategy silently{comm, silent{}};
  auto trainer = silently.bind(values, tutti::sgd{});
  trainer.step(values);
#elif defined REJECT_bind_elsewhere
  std::vector<tutti::tensor<float, elsewhere>> far(1);
  auto trainer = training.bind(far, tutti::sgd{});
  trainer.step(values);
#elif defined REJECT_step_elsewhere
  auto trainer = training.bind(values, tutti::sgd{});
  trainer.step(std::vector<tutti::tensor<const float, elsewhere>>(1));
#elif defined REJECT_run_synchronous
  clients_of_none nobody;
  training.run(values, nobody);
#elif defined REJECT_run_halves
  clients_of_none nobody;
  averaging.run(halves, nobody);
#elif defined REJECT_run_nobody
  untrained nobody;
  averaging.run(values, nobody);
#else
  auto trainer = training.bind(values, tutti::sgd{});
  auto with_masters = training.bind(halves, tutti::sgd{});
  auto by_momentum = training.bind(values, tutti::one_bit_adam{});
  auto where_it_says = training.bind(values, tutti::sgd{}, tutti::host_memory{});
  clients_of_none nobody;
  averaging.run(values, nobody);
  tutti::strategy{comm, tutti::federated{}}.run(values, nobody); // done when it returns
#endif
}
