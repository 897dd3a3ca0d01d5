// The C++ of README.md and docs/*.md: what stands there between example-begin and example-end is cut
// out of here, and compared by tests/docs/check.sh.
#include <tutti/codecs/laws.hpp>
#include <tutti/reducers/laws.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/topologies/proof.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace {

/// Runs program(world) on threads and returns what it returned on each rank.
template <class Program>
auto on_ranks(int ranks, Program&& program) {
  using result = decltype(program(std::declval<tutti::threads::communicator&>()));
  std::vector<result> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) { out[std::size_t(world.rank())] = program(world); });
  return out;
}

template <class T>
bool all_equal(const std::vector<T>& all) {
  return std::all_of(all.begin(), all.end(), [&](const T& one) { return one == all.front(); });
}

// --- README.md ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(three_algorithms_are_three_strategies) {
  tutti::threads::run(3, [](auto& world) {
    // example-begin three-algorithms
    tutti::strategy all_reduce{world, tutti::ring{}, tutti::mean{}, tutti::synchronous{}};
    tutti::strategy parameter_server{world, tutti::star{.servers = 2}, tutti::mean{},
                                     tutti::asynchronous{.staleness = 4}};
    tutti::strategy federated_averaging{world, tutti::star{}, tutti::weighted_mean{},
                                        tutti::federated{.fraction = 0.1}};
    // example-end three-algorithms

    static_assert(decltype(all_reduce)::determinism == tutti::determinism::run_to_run);
    static_assert(decltype(parameter_server)::determinism == tutti::determinism::none);
    static_assert(decltype(federated_averaging)::determinism == tutti::determinism::run_to_run);
  });
}

BOOST_AUTO_TEST_CASE(a_symmetric_buffer_is_used_like_any_other) {
  const auto results = on_ranks(3, [](auto& world) {
    const auto fill = [](auto& values, int rank) {
      for (float& x : values) x = float(rank);
    };
    // example-begin symmetric-buffer
    auto gradient = world.template allocate<float>(1 << 20); // collective; zero at first
    fill(gradient, world.rank());
    tutti::all_reduce(world, gradient, tutti::mean{}); // reads every input once, writes every result once
    // example-end symmetric-buffer
    return gradient[0] + gradient[(1 << 20) - 1];
  });
  BOOST_CHECK(all_equal(results) && results[0] == 2.0f);
}

/// One parameter that is pulled towards 3.
struct parabola {
  std::vector<float> x{0}, gradient{0};

  auto parameters() { return std::vector{tutti::tensor{"x", std::span{x}}}; }
  auto gradients() { return std::vector{tutti::tensor{"x", std::span{gradient}}}; }
  void compute_gradients(int /*step*/) { gradient[0] = x[0] - 3; }
};

BOOST_AUTO_TEST_CASE(the_loop_stays_the_callers) {
  const auto found = on_ranks(3, [](auto& world) {
    constexpr int steps = 20;
    parabola model;
    model.x[0] = float(world.rank()); // bind broadcasts rank 0's

    // example-begin training-loop
    tutti::strategy strategy{world}; // default topology, mean, synchronous
    auto trainer = strategy.bind(model.parameters(), tutti::adamw{.learning_rate = 1e-3});
    for (int step = 0; step < steps; ++step) {
      model.compute_gradients(step);
      trainer.step(model.gradients()); // the same parameters on every rank, bit for bit
    }
    trainer.finalize();
    // example-end training-loop

    return model.x[0];
  });

  BOOST_CHECK(all_equal(found));
  BOOST_CHECK_GT(found[0], 0.0f);
}

// --- docs/architecture.md -------------------------------------------------------------------------

// example-begin topology
/// Rank k passes on to rank k-1 what it has folded so far; the answer travels back the same way.
struct chain {
  using part = tutti::topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::reduce || what == tutti::collective::broadcast;
  }
  constexpr int chunks(int) const noexcept { return 1; }
  constexpr int rounds(tutti::collective, int size) const noexcept { return size - 1; }

  template <class Emit>
  constexpr void schedule(tutti::collective what, int root, const tutti::layout& where,
                          Emit&& emit) const {
    using tutti::action;
    const int p = where.size, place = (where.rank - root + p) % p; // along the chain
    const int above = (where.rank + p - 1) % p, below = (where.rank + 1) % p;
    const bool reducing = what == tutti::collective::reduce;
    if (place + 1 < p)
      emit(tutti::transfer{reducing ? p - 2 - place : place, below, {0},
                           reducing ? action::combine : action::publish});
    if (place > 0)
      emit(tutti::transfer{reducing ? p - 1 - place : place - 1, above, {0},
                           reducing ? action::send : action::store});
  }

  constexpr tutti::traffic traffic(tutti::collective what, int root, const tutti::layout& where,
                                   std::size_t n) const {
    const int p = where.size, place = (where.rank - root + p) % p;
    const bool sends = what == tutti::collective::reduce ? place > 0 : place + 1 < p;
    return sends && n > 0 ? tutti::traffic{1, n} : tutti::traffic{};
  }
};
// example-end topology

// example-begin topology-proof
static_assert(tutti::schedule_topology<chain>);
static_assert(tutti::prove(chain{}, tutti::collective::all_reduce, 0, 5).holds());
// example-end topology-proof

BOOST_AUTO_TEST_CASE(a_chain_is_proven_counted_and_run) {
  for (int size = 1; size <= 20; ++size)
    for (const auto what : {tutti::collective::reduce, tutti::collective::broadcast}) {
      const int root = size / 2;
      const auto all = tutti::collect(chain{}, what, root, size);
      const auto verdict = tutti::prove(all);
      bool counted = true;
      for (int rank = 0; rank < size; ++rank)
        counted = counted && tutti::moved(all, rank, 10) ==
                                 chain{}.traffic(what, root, tutti::layout{rank, size}, 10);
      BOOST_CHECK_MESSAGE(verdict.holds() && counted, verdict.text());
    }

  const auto sums = on_ranks(5, [](auto& world) {
    std::vector<float> data(1000, float(world.rank()));
    tutti::all_reduce(world, data, tutti::pipelined{chain{}, 8});
    return data;
  });

  BOOST_CHECK(all_equal(sums));
  BOOST_CHECK_EQUAL(sums[0][999], 10.0f);
}

// example-begin reducer
/// Half way between the least and the greatest contribution to each coordinate.
struct midrange {
  using part = tutti::reducer_part;
  template <class T>
  static constexpr bool accepts = tutti::real_element<T>;

  template <class A>
  constexpr A gather(std::span<A> column) const {
    A least = column[0], greatest = column[0];
    for (const A x : column) {
      least = tutti::min{}.combine(least, x);
      greatest = tutti::max{}.combine(greatest, x);
    }
    return least == greatest ? least : least / 2 + greatest / 2;
  }
};
// example-end reducer

BOOST_AUTO_TEST_CASE(a_gathering_reducer_runs_where_contributions_meet) {
  const auto laws = tutti::check_reducer<float>(midrange{});
  BOOST_CHECK_MESSAGE(laws, laws.text());

  const auto found = on_ranks(4, [](auto& world) {
    std::vector<float> data(10, float(world.rank() * world.rank()));
    tutti::all_reduce(world, data, midrange{}, tutti::direct{});
    return data;
  });

  BOOST_CHECK(all_equal(found));
  BOOST_CHECK_EQUAL(found[0][0], 4.5f);
}

// example-begin codec
/// Values travel as multiples of `step` in two bytes; what is no number stays none.
struct fixed_point {
  using part = tutti::codec_part;
  static constexpr tutti::codec_kind kind = tutti::codec_kind::additive;
  static constexpr bool elementwise = true;

  float step = 1.0f / 1024;

  template <tutti::element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return n * sizeof(std::int16_t);
  }
  template <tutti::element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float x = tutti::element_cast<float>(values[i]) / step;
      std::int16_t code = -32768;
      if (tutti::is_finite(x)) code = std::int16_t(std::lround(std::clamp(x, -32767.f, 32767.f)));
      std::memcpy(out + i * sizeof code, &code, sizeof code);
    }
  }
  template <tutti::element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::int16_t code;
      std::memcpy(&code, in + i * sizeof code, sizeof code);
      out[i] = tutti::element_cast<T>(code == -32768 ? NAN : float(code) * step);
    }
  }
};
// example-end codec

BOOST_AUTO_TEST_CASE(a_codec_keeps_its_laws_and_the_bits_of_all_ranks_equal) {
  const auto laws = tutti::check_codec<float>(fixed_point{});
  BOOST_CHECK_MESSAGE(laws, laws.text());

  const auto sums = on_ranks(3, [](auto& world) {
    std::vector<float> data(1000);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = std::sin(float(i) + float(world.rank()));
    tutti::all_reduce(world, data, fixed_point{}, tutti::ring{});
    return data;
  });

  BOOST_CHECK(all_equal(sums));
  BOOST_CHECK_SMALL(sums[0][1] - (std::sin(1.f) + std::sin(2.f) + std::sin(3.f)), 2.5f / 1024);
}

// example-begin communicator
/// The longest message that a rank has sent.
template <class Inner>
class measured : public tutti::decorator<Inner> {
public:
  explicit measured(Inner&& inner) : tutti::decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    for (const tutti::outgoing& m : round.sends) longest_ = std::max(longest_, m.bytes.size());
    return this->inner_.exchange(execution, on, round);
  }
  std::size_t longest() const noexcept { return longest_; }

private:
  std::size_t longest_ = 0;
};
template <class Inner>
measured(Inner&&) -> measured<Inner>;
// example-end communicator

BOOST_AUTO_TEST_CASE(a_decorator_sees_every_message) {
  const auto longest = on_ranks(4, [](auto& world) {
    measured comm{world};
    static_assert(tutti::communicator<decltype(comm)>);
    std::vector<float> data(1000);
    tutti::all_reduce(comm, data, tutti::ring{});
    return comm.longest();
  });

  BOOST_CHECK(all_equal(longest));
  BOOST_CHECK_EQUAL(longest[0], 1000 / 4 * sizeof(float));
}

// example-begin sync-policy
/// Post-local SGD (Lin et al., arXiv 1808.07217): parameters are averaged after every step at first,
/// and seldom once training has settled.
struct warmed_up_local_sgd {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;

  std::int64_t settled = 1000; // the last step after which all average
  int rarely = 16;

  int period(std::int64_t step) const noexcept { return step <= settled ? 1 : rarely; }
};
// example-end sync-policy

BOOST_AUTO_TEST_CASE(a_policy_is_its_answers) {
  const auto laws = tutti::check_sync_policy(warmed_up_local_sgd{});
  BOOST_CHECK_MESSAGE(laws, laws.text());

  const auto seen = on_ranks(2, [](auto& world) {
    std::vector<float> x(3), after;
    tutti::strategy strategy{world, warmed_up_local_sgd{.settled = 2, .rarely = 4}};
    auto trainer = strategy.bind(x, tutti::sgd{.learning_rate = 1});
    for (int step = 1; step <= 6; ++step) {
      trainer.step(std::vector<float>(3, -2.0f * float(world.rank())));
      after.push_back(x[2]);
    }
    return after;
  });

  BOOST_CHECK((seen[0] == std::vector<float>{1, 2, 2, 2, 2, 6}));
  BOOST_CHECK((seen[1] == std::vector<float>{1, 2, 4, 6, 8, 6}));
}

} // namespace
