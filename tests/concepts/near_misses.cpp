// For every concept, and every way to fail it, the type that only just does not satisfy it; beside
// it the smallest type that does.
#include <tutti/codecs/identity.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/mixing.hpp>
#include <tutti/topologies/placement.hpp>
#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

namespace concepts::near_misses {

// --- core ---------------------------------------------------------------------------------------

static_assert(tutti::element<float> && tutti::element<tutti::half> && tutti::element<std::int8_t>);
static_assert(!tutti::element<bool> && !tutti::element<char> && !tutti::element<long double>);
static_assert(!tutti::element<long double> && !tutti::element<const float> &&
              !tutti::element<float&>);
static_assert(tutti::real_element<tutti::bfloat16> && !tutti::real_element<std::int64_t>);

// --- schedules ----------------------------------------------------------------------------------

struct silent { // a schedule of nothing
  using part = tutti::topology_part;
  static constexpr bool gathers = false;
  static constexpr bool gives(tutti::collective) { return true; }
  int chunks(int) const { return 1; }
  int rounds(tutti::collective, int) const { return 0; }
  template <class Emit>
  void schedule(tutti::collective, int, const tutti::layout&, Emit&&) const {}
};
static_assert(tutti::schedule_topology<silent>);

struct not_a_topology : silent {
  using part = tutti::codec_part;
};
struct gives_by_value : silent {
  bool gives(tutti::collective) const { return true; }
};
struct gathers_in_words : silent {
  static constexpr std::string_view gathers = "no";
};
struct chunks_unsaid : silent {
  void chunks() const;
};
struct rounds_by_size_chunks_by_layout : silent {
  int chunks(const tutti::layout&) const;
};
struct rounds_that_change : silent {
  int rounds(tutti::collective, int);
};
struct emits_something_else : silent {
  void schedule(tutti::collective, int, const tutti::layout&, void (*)(int)) const;
};
static_assert(!tutti::schedule_topology<not_a_topology>);
static_assert(!tutti::schedule_topology<gives_by_value>);
static_assert(!tutti::schedule_topology<gathers_in_words>);
static_assert(!tutti::schedule_topology<chunks_unsaid>);
static_assert(!tutti::schedule_topology<rounds_by_size_chunks_by_layout>);
static_assert(!tutti::schedule_topology<rounds_that_change>);
static_assert(!tutti::schedule_topology<emits_something_else>);

// --- placements and mixings ---------------------------------------------------------------------

struct one_server {
  using part = tutti::topology_part;
  int server_count(int) const { return 1; }
  bool dedicates() const { return false; }
};
static_assert(tutti::placement_topology<one_server>);

struct servers_unsaid : one_server {
  void server_count() const;
};
struct dedicates_how_many : one_server {
  int dedicates() const;
};
static_assert(!tutti::placement_topology<servers_unsaid>);
static_assert(!tutti::placement_topology<dedicates_how_many>);
static_assert(!tutti::placement_topology<silent> && !tutti::schedule_topology<one_server>);

struct hermit { // mixes with itself
  using part = tutti::topology_part;
  template <class Emit>
  void mix(std::int64_t, int rank, int, Emit&& emit) const {
    emit(tutti::share{rank, rank, 1});
  }
};
static_assert(tutti::mixing_topology<hermit>);

struct without_weights : hermit {
  void mix(std::int64_t, int, int, void (*)(int)) const;
};
static_assert(!tutti::mixing_topology<without_weights> && !tutti::mixing_topology<silent>);

// --- reducers -----------------------------------------------------------------------------------

struct last { // as small as a folding reducer gets (and no lawful one)
  using part = tutti::reducer_part;
  template <class A>
  A identity() const;
  template <class A>
  A combine(A, A) const;
};
static_assert(tutti::folding_reducer<last, float> && tutti::reducer_of<last, std::int8_t>);
static_assert(!tutti::gathering_reducer<last, float> && !tutti::agreeing_reducer<last>);

struct not_a_reducer : last {
  using part = tutti::sync_part;
};
struct without_identity : last {
  template <class A>
  A identity(A) const;
};
struct combines_to_double : last {
  double combine(float, float) const;
};
struct combines_in_place : last {
  template <class A>
  A combine(A, A);
};
struct only_one {
  using part = tutti::reducer_part;
  only_one(only_one&&);
};
static_assert(!tutti::reducer<not_a_reducer> && !tutti::folding_reducer<not_a_reducer, float>);
static_assert(tutti::reducer<without_identity> && !tutti::folding_reducer<without_identity, float>);
static_assert(!tutti::folding_reducer<combines_to_double, float>);
static_assert(!tutti::folding_reducer<combines_in_place, float>);
static_assert(!tutti::reducer<only_one> && !tutti::reducer<float>);
static_assert(!tutti::folding_reducer<last, bool>);

struct first_of {
  using part = tutti::reducer_part;
  template <class A>
  A gather(std::span<A>) const;
};
struct gathers_one : first_of {
  template <class A>
  A gather(A) const;
};
static_assert(tutti::gathering_reducer<first_of, tutti::half>);
static_assert(tutti::needs_every_contribution<first_of, float>);
static_assert(!tutti::gathering_reducer<gathers_one, float>);

struct agreeing {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::max;
  std::size_t agreement(std::size_t, int) const;
  last agreed(std::span<const double>) const;
};
struct observing : agreeing {
  template <class T>
  void observe(std::span<const T>, std::span<double>) const;
};
struct agrees_on_no_reducer : observing {
  double agreed(std::span<const double>) const;
};
struct agreement_unsaid : observing {
  void agreement() const;
};
struct combines_somehow {
  using part = tutti::reducer_part;
  std::size_t agreement(std::size_t, int) const;
  last agreed(std::span<const double>) const;
};
static_assert(tutti::agreeing_reducer<agreeing> && !tutti::reducer_of<agreeing, float>);
static_assert(tutti::observes_own<observing, float> && !tutti::observes_gathered<observing, float>);
static_assert(std::same_as<tutti::working_reducer_t<observing>, last>);
static_assert(!tutti::agreeing_reducer<agrees_on_no_reducer>);
static_assert(!tutti::agreeing_reducer<agreement_unsaid>);
static_assert(!tutti::agreeing_reducer<combines_somehow>);

// --- codecs -------------------------------------------------------------------------------------

static_assert(tutti::codec<tutti::identity> && tutti::stateless_codec_of<tutti::identity, float>);

struct kind_unsaid {
  using part = tutti::codec_part;
};
struct bytes_of_values : tutti::identity {
  template <class T>
  std::size_t bytes(std::span<const T>) const;
};
struct encodes_to_vector : tutti::identity {
  template <class T>
  std::vector<std::byte> encode(std::span<const T>) const;
};
struct decodes_bytes_it_may_change : tutti::identity {
  template <class T>
  void decode(std::byte*, std::span<T>) const;
};
struct remembers_in_itself : tutti::identity {
  template <class T>
  void encode(std::span<const T>, std::byte*);
};
struct remembers_without_memory : tutti::identity {
  static constexpr bool remembers = true;
  tutti::identity inner;
  template <class T>
  void encode(std::span<const T>, std::byte*, int) const;
};
struct remembers_of_nothing : tutti::identity { // what its messages are of it does not say
  static constexpr bool remembers = true;
  template <class T>
  void encode(tutti::remembered<T>, std::span<T>, std::byte*, tutti::coding) const;
};
struct remembers_well : remembers_of_nothing {
  tutti::identity inner;
};
static_assert(!tutti::codec<kind_unsaid>);
static_assert(!tutti::codec_of<bytes_of_values, float>);
static_assert(!tutti::codec_of<encodes_to_vector, float>);
static_assert(!tutti::codec_of<decodes_bytes_it_may_change, float>);
static_assert(!tutti::codec_of<remembers_in_itself, float>);
static_assert(!tutti::codec_of<remembers_without_memory, float>);
static_assert(!tutti::codec_of<remembers_of_nothing, float>);
static_assert(tutti::stateful_codec_of<remembers_well, float> && !tutti::stateless_codec_of<remembers_well, float>);
static_assert(!tutti::staged_codec<tutti::identity, float>);

// --- communicators ------------------------------------------------------------------------------

struct complete_at_once {
  complete_at_once(complete_at_once&&) = default;
  complete_at_once& operator=(complete_at_once&&) = default;
  bool test();
  int waiting_for() const;
};
struct silence {
  using part = tutti::communicator_part;
  int rank() const;
  int size() const;
  complete_at_once exchange(tutti::host_execution, tutti::channel, const tutti::exchange_round&);
  std::uint64_t progress();
  void idle(std::uint64_t, tutti::deadline);
  void revoke(tutti::failure);
  tutti::operations& in_flight();
};
static_assert(tutti::communicator<silence>);
static_assert(tutti::channels_of<silence> == 0);
static_assert(!tutti::selective_communicator<silence> && !tutti::splitting_communicator<silence>);
static_assert(!tutti::verifying_communicator<silence>);

struct copyable_handle {
  bool test();
  int waiting_for() const;
};
struct blocking_handle : complete_at_once {
  void test();
};
struct nameless_handle : complete_at_once {
  void waiting_for() const;
};
struct hands_out_copies : silence {
  copyable_handle exchange(tutti::host_execution, tutti::channel, const tutti::exchange_round&);
};
struct sends_with_tags : silence {
  complete_at_once exchange(tutti::host_execution, int tag, int peer, std::span<std::byte>);
};
struct progresses_in_silence : silence {
  void progress();
};
struct sleeps_for_ever : silence {
  void idle();
};
struct revokes_without_reason : silence {
  void revoke();
};
struct operations_by_value : silence {
  void in_flight();
};
struct split_is_no_communicator : silence {
  int split(int, int);
};
static_assert(tutti::exchange_handle<complete_at_once>);
static_assert(!tutti::exchange_handle<copyable_handle>);
static_assert(!tutti::exchange_handle<blocking_handle>);
static_assert(!tutti::exchange_handle<nameless_handle>);
static_assert(!tutti::communicator<hands_out_copies> && !tutti::communicator<sends_with_tags>);
static_assert(!tutti::communicator<progresses_in_silence>);
static_assert(!tutti::communicator<sleeps_for_ever>);
static_assert(!tutti::communicator<revokes_without_reason>);
static_assert(!tutti::communicator<operations_by_value>);
static_assert(!tutti::splitting_communicator<split_is_no_communicator>);

// --- sync policies ------------------------------------------------------------------------------

struct in_step {
  using part = tutti::sync_part;
};
static_assert(tutti::sync_policy<in_step>);

/// Answers everything that may be answered.
struct full {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;
  static constexpr bool owners = true;
  static constexpr tutti::carried_by carrier = tutti::carried_by::schedule;
  static constexpr tutti::determinism repeats = tutti::determinism::run_to_run;
  static constexpr bool over_population = false;
  static constexpr std::int64_t fragments = 2;
  unsigned delay = 1;
  float keep = 0.5f;
  short staleness = 3;
  long period(std::int64_t step) const { return step < 10 ? 1 : 20; }
};
static_assert(tutti::sync_policy<full>);

struct not_a_policy : in_step {
  using part = tutti::options_part;
};
struct cannot_be_copied : in_step {
  cannot_be_copied(const cannot_be_copied&) = delete;
};
struct contributes_numbers : in_step {
  static constexpr int contribution = 1;
};
struct contributes_one_or_the_other : in_step {
  tutti::contributes contribution = tutti::contributes::difference;
};
struct owned_by_many : in_step {
  static constexpr int owners = 2;
};
struct carried_unsaid : in_step {
  static void carrier();
};
struct repeats_perhaps : in_step {
  static constexpr double repeats = .5;
};
struct population_of_some : in_step {
  static constexpr int over_population = 10;
};
struct fractional_period : in_step {
  double period = 2.5;
};
struct period_without_a_step : in_step {
  int period() const;
};
struct period_of_seconds : in_step {
  double period(std::int64_t) const;
};
struct perhaps_periodic : in_step {
  bool period = true;
};
struct fragments_by_index : in_step {
  int fragments(std::int64_t) const;
};
struct delays_by_time : in_step {
  double delay = 0.5;
};
struct keeps_by_tensor : in_step {
  double keep(int) const;
};
struct leads_by_far : in_step {
  bool staleness = true;
};
static_assert(!tutti::sync_policy<not_a_policy> && !tutti::sync_policy<cannot_be_copied>);
static_assert(!tutti::sync_policy<contributes_numbers>);
static_assert(!tutti::sync_policy<contributes_one_or_the_other>);
static_assert(!tutti::sync_policy<owned_by_many> && !tutti::sync_policy<carried_unsaid>);
static_assert(!tutti::sync_policy<repeats_perhaps> && !tutti::sync_policy<population_of_some>);
static_assert(!tutti::sync_policy<fractional_period> && !tutti::sync_policy<period_without_a_step>);
static_assert(!tutti::sync_policy<period_of_seconds> && !tutti::sync_policy<perhaps_periodic>);
static_assert(!tutti::sync_policy<fragments_by_index> && !tutti::sync_policy<delays_by_time>);
static_assert(!tutti::sync_policy<keeps_by_tensor> && !tutti::sync_policy<leads_by_far>);

} // namespace concepts::near_misses

BOOST_AUTO_TEST_SUITE(concepts)

BOOST_AUTO_TEST_CASE(near_misses_do_not_compile_as_parts) {
  BOOST_CHECK_MESSAGE(true, "the assertions of this file were made by the compiler");
}

BOOST_AUTO_TEST_SUITE_END()
