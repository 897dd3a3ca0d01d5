// Device memory in messages of the host: what is asked before, trainers, and collectives by hand.
#include "cuda_mock/aware.hpp"
#include "cuda_mock/trained.hpp"
#include "training/scratch.hpp"

#include <tutti/cuda/aware_all_reduce.cuh>
#include <tutti/cuda/gather.cuh>
#include <tutti/reducers/column.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <string>
#include <vector>

namespace aware_of_devices {

using namespace mocked;
using strategies_on_devices::device_side, strategies_on_devices::host_side, strategies_on_devices::outcome,
    strategies_on_devices::trained;

/// Whether a trainer has the host's bits; how many bytes its steps have brought to the host.
template <class V, class... Parts>
std::size_t steps_bring_to_host(awareness what, std::uint64_t seed, const Parts&... parts) {
  const auto make = [=](auto& world) { return tutti::strategy{aware{world, what}, parts...}; };
  const tutti::training_options how{.bucket_bytes = 500, .non_finite = tutti::non_finite::pass};
  mock::begin(seed);
  const outcome right = trained<host_side<V>>(make, how), got = trained<device_side<V>>(make, how);
  BOOST_CHECK(right.models == got.models);
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
  for (const auto& race : mock::races()) BOOST_ERROR(race);
  return got.to_host;
}

/// What three ranks, whose values are written late, have of a call; whether that is what the host has.
template <class... Parts>
bool equals_the_host(awareness what, std::size_t n, std::uint64_t seed, const Parts&... parts) {
  mock::begin(seed);
  std::atomic<int> right = 0;
  tutti::threads::run(3, [&](auto& world) {
    aware comm{world, what};
    const cuda::stream on;
    cuda::host_transport by{comm, on};
    const placed<float> data{on, std::vector<float>(n)};
    float* const values = data.span().data();
    std::vector<float> wanted;
    for (std::size_t i = 0; i < n; ++i) wanted.push_back(float(world.rank() + 1) / float(i + 3));
    mock::enqueue(on.handle(), [=] { std::copy(wanted.begin(), wanted.end(), values); });
    cuda::aware_all_reduce(comm, on, data.span(), by, parts...);
    tutti::all_reduce(world, wanted, parts...);
    right += data.values() == wanted && by.is_staged() == !(what.says_so && what.is_so);
  });
  return right == 3 && mock::left_over() == 0 && mock::races().empty();
}

/// Gathering reducers of a user's own: sorts the column where it stands; and what weighs most, of accumulators with two
/// numbers.
struct lower_middle {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  TUTTI_HD float gather(tutti::column<float> of) const {
    for (std::size_t i = 1; i < of.size(); ++i)
      for (std::size_t k = i; k > 0 && of[k] < of[k - 1]; --k) {
        const float x = of[k];
        of[k] = of[k - 1];
        of[k - 1] = x;
      }
    return of[(of.size() - 1) / 2];
  }
};
struct weighed_value {
  float value, weight;
};
struct heaviest {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr bool weighted = true;
  template <class> using accumulator = weighed_value;
  template <class T> static constexpr bool accepts = std::same_as<T, float>;
  TUTTI_HD weighed_value lift(float x, double weight) const { return {x, float(weight)}; }
  TUTTI_HD weighed_value gather(tutti::column<weighed_value> of) const {
    weighed_value most = of[0];
    for (std::size_t k = 1; k < of.size(); ++k)
      if (of[k].weight * of[k].value > most.weight * most.value) most = of[k];
    return most;
  }
  template <class T> TUTTI_HD T lower(weighed_value a, double total) const { return a.value * float(total); }
};

BOOST_AUTO_TEST_SUITE(cuda_aware)

BOOST_AUTO_TEST_CASE(gathering_reducers_of_a_users_own_run_in_kernels) {
  BOOST_CHECK(equals_the_host({}, 1000, 1, lower_middle{}));
  BOOST_CHECK(equals_the_host({}, 1000, 2, heaviest{}, tutti::direct{}, tutti::options{.weight = 3}));
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 3, tutti::synchronous{}, lower_middle{}, tutti::int8_block{}), 0u);

  const cuda::stream on;
  const placed<float> out{on, {0, 0}};
  const auto gathers = [&](std::size_t contributions, std::vector<double> weights) {
    const placed<float> all{on, std::vector<float>(2 * contributions)};
    std::vector<cuda::device_span<const float>> in;
    for (std::size_t k = 0; k < contributions; ++k) in.push_back(all.read().subspan(2 * k, 2));
    return refusal([&] {
      const std::span<const cuda::device_span<const float>> all_of_them{in};
      cuda::gather(on, heaviest{}, all_of_them, weights, out.span());
      on.wait();
    });
  };
  BOOST_CHECK_EQUAL(gathers(16, std::vector<double>(16, .5)), "");
  BOOST_CHECK(says(gathers(17, std::vector<double>(17, 1)), "17 contributions were given - give 1 to 16"));
  BOOST_CHECK(says(gathers(2, {}), "0 weights were given for 2 contributions - give one for each"));
}

BOOST_AUTO_TEST_CASE(messages_of_a_trainer_name_device_memory) {
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 1, tutti::synchronous{}, tutti::ring{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<tutti::bfloat16>({}, 2, tutti::synchronous{}, tutti::weighted_mean{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 3, tutti::sharded{}), 0u);
}
BOOST_AUTO_TEST_CASE(what_is_no_such_communicator_is_staged) {
  BOOST_CHECK_GT(steps_bring_to_host<float>({.says_so = false}, 1, tutti::synchronous{}), 0u);
  BOOST_CHECK_GT(steps_bring_to_host<float>({.is_so = false}, 2, tutti::synchronous{}), 0u);
  BOOST_CHECK_GT(steps_bring_to_host<float>({}, 3, tutti::synchronous{}, tutti::error_feedback{tutti::top_k{.1}}), 0u);
  const tutti::cast<tutti::bfloat16> shorter{};
  BOOST_CHECK_GT(steps_bring_to_host<float>({.is_so = false}, 4, tutti::synchronous{}, shorter, tutti::ring{}), 0u);
}
BOOST_AUTO_TEST_CASE(contributions_are_encoded_where_they_are) {
  using tutti::error_feedback;
  const tutti::synchronous every_step{};
  const tutti::cast<tutti::bfloat16> shorter{};
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 1, every_step, shorter, tutti::ring{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 2, every_step, shorter, tutti::median{}, tutti::direct{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 3, every_step, error_feedback{shorter}, tutti::mean{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 4, every_step, tutti::int8_block{}, tutti::weighted_mean{}), 0u);
  BOOST_CHECK_EQUAL(
      steps_bring_to_host<double>({}, 5, tutti::diloco{.period = 2}, tutti::fp8_block<tutti::fp8::e4m3>{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 6, every_step, error_feedback{tutti::sign_block{}, .9}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>({}, 7, tutti::sharded{}, error_feedback{tutti::int8_block{}}), 0u);
}
BOOST_AUTO_TEST_CASE(what_codecs_remember_is_saved_wherever_it_is) {
  mock::begin();
  const scratch files;
  tutti::threads::run(2, [&](auto& world) {
    tutti::strategy strategy{aware{world, awareness{}}, tutti::error_feedback{tutti::cast<tutti::half>{}}};
    const auto steps = [&](auto& side, auto& trainer, int from, int to) {
      for (int s = from; s < to; ++s) trainer.step(side.gradients(world.rank(), s));
    };
    const tutti::training_options how{.bucket_bytes = 500};
    host_side<float> host{world.rank()};
    device_side<float> device{world.rank()}, resumed{world.rank()};
    auto on_host = host.bind(strategy, tutti::adamw{}, how);
    auto on_device = device.bind(strategy, tutti::adamw{}, how);
    steps(host, on_host, 0, 3);
    steps(device, on_device, 0, 3);
    on_host.save(files / "host");
    on_device.save(files / "device");
    BOOST_CHECK(file_bytes(files / "host/state.safetensors") == file_bytes(files / "device/state.safetensors"));

    auto goes_on = resumed.bind(strategy, tutti::adamw{}, how);
    BOOST_CHECK(goes_on.load(files / "host").empty());
    steps(host, on_host, 3, 6);
    steps(resumed, goes_on, 3, 6);
    BOOST_CHECK(resumed.values() == host.values());
  });
}
BOOST_AUTO_TEST_CASE(collectives_by_hand_take_either_way) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{1000}}) {
    const auto seed = std::uint64_t(n + 1);
    BOOST_CHECK(equals_the_host({}, n, seed, tutti::mean{}, tutti::ring{}));
    BOOST_CHECK(equals_the_host({}, n, seed, tutti::median{}, tutti::direct{}));
    BOOST_CHECK(equals_the_host({.says_so = false}, n, seed, tutti::mean{}, tutti::ring{}));
    BOOST_CHECK(equals_the_host({.is_so = false}, n, seed, tutti::mean{}, tutti::halving_doubling{}));
  }
  BOOST_CHECK(equals_the_host({}, 100, 7, tutti::weighted_mean{}, tutti::options{.weight = 3}));
}
BOOST_AUTO_TEST_CASE(what_goes_wrong_has_a_name) {
  mock::begin();
  std::atomic<bool> over = false;
  tutti::threads::run(2, [&](auto& world) {
    aware comm{world, awareness{}};
    const cuda::stream on;
    cuda::host_transport by{comm, on};
    const placed<float> data{on, {1, 2}};
    mock::capture(on.handle(), true);
    BOOST_CHECK(says(refusal([&] { cuda::aware_all_reduce(comm, on, data.span(), by); }),
                     "this stream is being captured - leave it out of the capture, as the host takes part in it"));
    mock::capture(on.handle(), false);
    const tutti::options soon{.timeout = std::chrono::milliseconds{20}};
    if (world.rank() == 0)
      BOOST_CHECK(says(refusal([&] { cuda::aware_all_reduce(comm, on, data.span(), by, soon); }),
                       "no answer within 20 ms"));
    over = over || world.rank() == 0;
    while (!over) std::this_thread::yield();
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace aware_of_devices
