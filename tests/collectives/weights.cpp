// Weights: none is lost, what weighs nothing contributes nothing, and none that is given goes
// unheard.
#include "collectives/weighing.hpp"
#include "communicators/on_threads.hpp"

#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(weights_of_calls)

namespace {

/// What each of the ranks is told by call(world, x, how), whose weight is 2 on rank 1 alone.
template <class Call> void refuses_a_weight(const char* name, Call&& call) {
  std::vector<std::string> texts(3, "nothing");
  tutti::threads::run(3, [&](auto& world) {
    try {
      std::vector<float> x(8, 1.0f);
      call(world, x, tutti::options{.weight = world.rank() == 1 ? 2.0 : 1.0});
    } catch (const tutti::error& e) {
      texts[std::size_t(world.rank())] = e.what();
    }
  });
  for (const std::string& text : texts)
    BOOST_CHECK_MESSAGE(text.find("invalid_argument") != std::string::npos &&
                            text.find("use tutti::weighted_mean, or leave the weight out") !=
                                std::string::npos,
                        name << ": a rank was told " << text);
}

/// Half way between the least and the greatest of what counts, found when all has been seen.
struct of_what_counts {
  using part = tutti::reducer_part;
  static constexpr bool weighted = true;
  template <class A> A gather(std::span<A> column) const {
    A least = column[0], greatest = column[0];
    for (const A x : column) {
      least = tutti::min{}.combine(least, x);
      greatest = tutti::max{}.combine(greatest, x);
    }
    return least / 2 + greatest / 2;
  }
};
struct agreeing_of_what_counts {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::sum;
  std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T>
  void observe_gathered(tutti::gathered_rows<T>, std::size_t, std::span<double> out) const {
    out[0] = 1;
  }
  of_what_counts agreed(std::span<const double>) const { return {}; }
};

} // namespace

BOOST_AUTO_TEST_CASE(no_weight_is_lost_and_what_weighs_nothing_may_hold_anything) {
  for (const int ranks : {1, 2, 3, 5})
    on_threads(ranks, [](auto& comm, report& r) { weighing::every_element(comm, r); });
}

BOOST_AUTO_TEST_CASE(ratios_count_whatever_the_weights_are) {
  on_threads(3, [](auto& comm, report& r) {
    for (const double scale : {1e-320, 1e-46, 1.0, 1e37, 1e307}) {
      std::vector<float> x(100, float(comm.rank()));
      tutti::all_reduce(comm, x, tutti::weighted_mean{},
                        tutti::options{.weight = scale * (comm.rank() + 1)});
      r.check(std::abs(x[99] - 8.0f / 6) < 1e-3f, [&] {
        return "with weights of " + std::to_string(std::log10(scale)) + " (log10) the mean is " +
               std::to_string(x[99]);
      });
      std::vector<float> large(100, 3e38f); // as it is weighed it does not overflow
      tutti::all_reduce(comm, large, tutti::weighted_mean{}, tutti::ring{},
                        tutti::options{.weight = comm.rank() == 1 ? 1e6 : 0.0});
      r.check(std::abs(large[0] / 3e38f - 1) < 1e-6f, "a large value has overflowed");
    }
  });
}

BOOST_AUTO_TEST_CASE(a_gathered_column_holds_what_counts) {
  const auto holds = [](auto reducer, auto topology) {
    on_threads(4, [&](auto& comm, report& r) {
      for (const std::size_t n : {std::size_t{2}, std::size_t{900}}) {
        std::vector<float> x(n, comm.rank() % 2 == 0 ? float(comm.rank()) : NAN);
        tutti::all_reduce(comm, x, reducer, topology,
                          tutti::options{.weight = comm.rank() % 2 == 0 ? .5 : 0.0});
        r.check(x[n - 1] == 1.0f, [&] { return "the result is " + std::to_string(x[n - 1]); });
      }
    });
  };
  holds(of_what_counts{}, tutti::direct{});
  holds(of_what_counts{}, tutti::star{});
  holds(of_what_counts{}, tutti::one_shot{});
  holds(agreeing_of_what_counts{}, tutti::direct{});
  holds(agreeing_of_what_counts{}, tutti::star{});
}

BOOST_AUTO_TEST_CASE(a_weight_that_would_count_for_nothing_is_refused_on_every_rank) {
  const tutti::mean mean;
  refuses_a_weight("all_reduce",
                   [&](auto& w, auto& x, auto how) { tutti::all_reduce(w, x, mean, how); });
  refuses_a_weight("a sum", [&](auto& w, auto& x, auto how) { tutti::all_reduce(w, x, how); });
  refuses_a_weight("median", [&](auto& w, auto& x, auto how) {
    tutti::all_reduce(w, x, tutti::median{}, tutti::direct{}, how);
  });
  refuses_a_weight("krum", [&](auto& w, auto& x, auto how) {
    tutti::all_reduce(w, x, tutti::krum{.f = 0}, tutti::direct{}, how);
  });
  refuses_a_weight("a ring", [&](auto& w, auto& x, auto how) {
    tutti::all_reduce(w, x, mean, tutti::ring{}, how);
  });
  refuses_a_weight("reduce_scatter", [&](auto& w, auto& x, auto how) {
    (void)tutti::reduce_scatter(w, x, mean, how);
  });
  refuses_a_weight("reduce",
                   [&](auto& w, auto& x, auto how) { tutti::reduce(w, x, 0, mean, how); });
  refuses_a_weight("async_all_reduce", [&](auto& w, auto& x, auto how) {
    tutti::async_all_reduce(w, x, mean, how).wait();
  });
  refuses_a_weight("async_reduce_scatter", [&](auto& w, auto& x, auto how) {
    tutti::async_reduce_scatter(w, x, mean, how).wait();
  });
  refuses_a_weight("async_reduce", [&](auto& w, auto& x, auto how) {
    tutti::async_reduce(w, x, 0, mean, how).wait();
  });
  const auto once = [](tutti::persistent_request one) {
    one.start();
    one.wait();
  };
  refuses_a_weight("persistent_all_reduce", [&](auto& w, auto& x, auto how) {
    once(tutti::persistent_all_reduce(w, x, mean, how));
  });
  refuses_a_weight("persistent_reduce_scatter", [&](auto& w, auto& x, auto how) {
    once(tutti::persistent_reduce_scatter(w, x, mean, how));
  });
  refuses_a_weight("persistent_reduce", [&](auto& w, auto& x, auto how) {
    once(tutti::persistent_reduce(w, x, 0, mean, how));
  });
}

BOOST_AUTO_TEST_SUITE_END()
