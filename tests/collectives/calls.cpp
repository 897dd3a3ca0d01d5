// What a collective refuses, and what a request promises.
#include "communicators/wait_until.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

BOOST_AUTO_TEST_SUITE(collectives)

namespace {

using tutti::error_code;

/// The text of what body(world) throws on every rank of `ranks`; checks the code and the rank.
template <class Body> std::vector<std::string> errors(int ranks, error_code code, Body&& body) {
  std::vector<std::string> texts(std::size_t(ranks), "nothing was thrown");
  tutti::threads::run(ranks, [&](auto& world) {
    std::string& text = texts[std::size_t(world.rank())];
    try {
      body(world);
    } catch (const tutti::error& e) {
      text = e.what();
      if (e.code() != code) text += " (wrong code)";
      if (e.rank() != world.rank()) text += " (wrong rank)";
    }
  });
  return texts;
}

void expect(const std::vector<std::string>& texts, const std::string& part) {
  for (const std::string& t : texts)
    BOOST_CHECK_MESSAGE(t.find(part) != std::string::npos && t.find("(wrong") == std::string::npos,
                        "not \"" << part << "\" but: " << t);
}

} // namespace

BOOST_AUTO_TEST_CASE(a_root_that_there_is_not_is_refused) {
  const auto refused = [&](const char* call, auto&& with_root) {
    std::string text = "tutti: ";
    text += call;
    for (const int root : {-1, 3, 1 << 30})
      expect(errors(3, error_code::invalid_argument, [&](auto& w) { with_root(w, root); }),
             text + ": invalid_argument");
  };
  refused("broadcast", [](auto& w, int root) {
    std::vector<float> mine(6);
    tutti::broadcast(w, mine, root);
  });
  refused("reduce", [](auto& w, int root) {
    std::vector<float> mine(6);
    tutti::reduce(w, mine, root);
  });
  refused("gather", [](auto& w, int root) {
    std::vector<float> mine(6), whole(18);
    tutti::gather(w, mine, whole, root);
  });
  refused("scatter", [](auto& w, int root) {
    std::vector<float> mine(6), whole(18);
    tutti::async_scatter(w, whole, mine, root).wait();
  });
}

BOOST_AUTO_TEST_CASE(lengths_that_do_not_fit_are_refused) {
  const auto texts = errors(3, error_code::invalid_argument, [](auto& world) {
    tutti::checked w{world};
    std::vector<float> mine(6, 1.0f), whole(17);
    tutti::all_reduce(w, mine);
    try {
      tutti::all_gather(w, mine, whole);
    } catch (const tutti::error&) {
      tutti::all_reduce(w, mine); // where all ranks compare first, nothing is lost
      if (mine[0] != 9) throw std::runtime_error{"a result is wrong"};
      throw;
    }
  });
  expect(texts, "the whole holds 17 elements, 3 blocks of 6 are needed");
  expect(errors(3, error_code::invalid_argument,
                [](auto& w) {
                  std::vector<int> from(9), to(10);
                  tutti::all_to_all(w, from, to);
                }),
         "all_to_all: invalid_argument");
  expect(errors(3, error_code::invalid_argument,
                [](auto& w) {
                  std::vector<int> from(10), to(9);
                  tutti::all_to_all(w, from, to);
                }),
         "the whole holds 10 elements, 3 blocks of 3 are needed");
}

namespace {

/// On every rank: call(world) with a wrong argument on one of them, and then sums that must not come out
/// as if nothing had been. The first error of each rank.
template <class Call> std::vector<std::string> one_sided(int ranks, Call&& call) {
  return errors(ranks, error_code::invalid_argument, [&](auto& w) {
    call(w);
    for (int k = 1; k <= 3; ++k) {
      std::vector<float> x(4, float(k));
      tutti::all_reduce(w, x);
      if (x[0] != float(k * w.size())) throw std::runtime_error{"a sum of another call"};
    }
  });
}

} // namespace

// The other ranks are at work already, or will be: no later call of theirs meets this one.
BOOST_AUTO_TEST_CASE(an_argument_that_only_one_rank_sees_is_everybodys_error) {
  expect(one_sided(3,
                   [](auto& w) {
                     std::vector<float> mine(2), whole(w.rank() == 1 ? 5 : 6);
                     tutti::gather(w, mine, whole, 1);
                   }),
         "the whole holds 5 elements, 3 blocks of 2 are needed");
  expect(one_sided(3,
                   [](auto& w) {
                     std::vector<float> mine(2), whole(w.rank() == 0 ? 7 : 0);
                     tutti::scatter(w, whole, mine);
                   }),
         "the whole holds 7 elements, 3 blocks of 2 are needed");
  expect(one_sided(3,
                   [](auto& w) {
                     std::vector<int> from(9), to(w.rank() == 2 ? 8 : 9);
                     tutti::all_to_all(w, from, to);
                   }),
         "3 blocks of 2 are needed");
  expect(one_sided(2,
                   [](auto& w) {
                     std::vector<float> x(3);
                     tutti::broadcast(w, x, w.rank() == 1 ? -1 : 0);
                   }),
         "root is -1, ranks are 0 to 1");
  expect(one_sided(2,
                   [](auto& w) {
                     std::vector<float> x(3);
                     tutti::async_reduce(w, x, w.rank() == 1 ? 2 : 0).wait();
                   }),
         "root is 2, ranks are 0 to 1");
}

BOOST_AUTO_TEST_CASE(on_a_checked_communicator_all_throw_together_and_go_on) {
  tutti::threads::run(3, [](auto& world) {
    tutti::checked w{world};
    std::vector<float> mine(2, 1.0f), whole(w.rank() == 1 ? 5 : 6);
    try {
      tutti::gather(w, mine, whole, 1);
      throw std::runtime_error{"five elements were enough for six"};
    } catch (const tutti::error& e) {
      const auto expected = w.rank() == 1 ? error_code::invalid_argument : error_code::mismatch;
      if (e.code() != expected) throw;
      if (w.rank() != 1 && (e.peer() != 1 || std::string{e.what()}.find(
              "rank 1 gave arguments that cannot work") == std::string::npos)) throw;
    }
    tutti::all_reduce(w, mine);
    if (mine[0] != 3) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(numbers_of_topologies_and_reducers_that_cannot_work_are_refused) {
  const auto refused = [](const char* why, auto... parts) {
    expect(errors(4, error_code::invalid_argument,
                  [&](auto& w) {
                    std::vector<float> x(9, 1.0f);
                    tutti::all_reduce(w, x, parts...);
                  }),
           why);
  };
  refused("this topology cuts the data into no chunks", tutti::star{.servers = 0});
  refused("this topology cuts the data into no chunks", tutti::star{.servers = -2});
  refused("this topology cuts the data into no chunks", tutti::pipelined{tutti::ring{}, 0});
  refused("trim is negative", tutti::trimmed_mean{.trim = -1});
  refused("f is negative", tutti::krum{.f = -1});
  refused("keep is less than 1", tutti::krum{.f = 0, .keep = 0});
  expect(errors(4, error_code::invalid_argument,
                [&](auto& w) {
                  std::vector<float> x(9, 1.0f);
                  tutti::broadcast(w, x, 0, tutti::star{.servers = 0});
                }),
         "tutti: broadcast: invalid_argument");
}

namespace {

struct never_sum : tutti::sum {
  const char* objection() const { return "only 50% of the numbers are there, 100% were asked for"; }
};

} // namespace

BOOST_AUTO_TEST_CASE(what_a_reducer_objects_to_is_said_as_it_says_it) {
  expect(errors(2, error_code::invalid_argument,
                [](auto& w) {
                  std::vector<float> x(3);
                  tutti::all_reduce(w, x, never_sum{});
                }),
         "all_reduce: invalid_argument on rank");
  expect(errors(2, error_code::invalid_argument,
                [](auto& w) {
                  std::vector<float> x(3);
                  tutti::all_reduce(w, x, never_sum{});
                }),
         "only 50% of the numbers are there, 100% were asked for");
}

namespace {

/// Fails on one rank, with something that is no tutti::error.
struct failing_sum {
  using part = tutti::reducer_part;
  int rank = 0;
  static std::tuple<> compared() { return {}; } // ranks may differ in it
  template <class A>
  static constexpr A identity() { return A{}; }
  template <class A>
  A combine(A a, A b) const {
    if (rank == 1) throw std::logic_error{"one and one is too much"};
    return a + b;
  }
};

template <class Topology> void fails_in_the_reducer(const Topology& topology) {
  std::vector<std::string> others(4);
  BOOST_CHECK_EXCEPTION(
      tutti::threads::run(4,
                          [&](auto& w) {
                            std::vector<int> x(3000, 1);
                            try {
                              tutti::all_reduce(w, x, topology, failing_sum{w.rank()});
                            } catch (const tutti::error& e) {
                              others[std::size_t(w.rank())] = e.what();
                              if (e.code() != error_code::peer_lost || e.peer() != 1)
                                others[std::size_t(w.rank())] += " (wrong)";
                              throw;
                            }
                          }),
      std::logic_error, [](const std::logic_error& e) {
        return std::string{e.what()} == "one and one is too much";
      });
  for (const int r : {0, 2, 3})
    BOOST_CHECK_MESSAGE(others[std::size_t(r)].find("peer_lost") != std::string::npos &&
                            others[std::size_t(r)].find("wrong") == std::string::npos,
                        "rank " << r << ": " << others[std::size_t(r)]);
}

} // namespace

// The rank that has the cause is the one whose exception leaves run().
BOOST_AUTO_TEST_CASE(what_a_reducer_throws_is_thrown_there_and_a_lost_peer_elsewhere) {
  for (int k = 0; k < 20; ++k) {
    fails_in_the_reducer(tutti::ring{});
    fails_in_the_reducer(tutti::direct{});
  }
}

BOOST_AUTO_TEST_CASE(a_timeout_of_forever_is_one) {
  tutti::threads::run(3, [](auto& world) {
    const tutti::options forever{.timeout = (std::chrono::milliseconds::max)()};
    std::vector<int> x(5, 1), y(5000, 1);
    tutti::all_reduce(world, x, forever);
    tutti::all_reduce(world, y, tutti::ring{}, forever);
    auto half = world.split(world.rank() % 2, 0, forever);
    if (x[0] != 3 || y[0] != 3) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK((tutti::options{.timeout = (std::chrono::milliseconds::max)()}.until(tutti::clock::now()) ==
               (tutti::deadline::max)()));
  BOOST_CHECK((tutti::options{.timeout = std::chrono::hours{24 * 365 * 200}}.until(tutti::clock::now()) >
               tutti::clock::now()));
}

// Ranks that compare their calls outside of a collective, too.
BOOST_AUTO_TEST_CASE(a_split_that_meets_another_call_is_everybodys_mismatch) {
  const auto texts = errors(2, error_code::mismatch, [](auto& w) {
    if (w.rank() == 0) {
      auto half = w.split(0, 0);
    } else {
      tutti::checked careful{w};
      tutti::barrier(careful);
    }
  });
  expect(texts, "give all ranks the same lengths and types");
}

BOOST_AUTO_TEST_CASE(weights_that_cannot_be_are_everybodys_error_and_nothing_is_lost) {
  const auto weighed = [](double odd) {
    return errors(3, error_code::invalid_argument, [odd](auto& w) {
      std::vector<float> x(4, float(w.rank()));
      try {
        tutti::all_reduce(w, x, tutti::weighted_mean{},
                          tutti::options{.weight = w.rank() == 1 ? odd : 0.0});
      } catch (const tutti::error&) {
        tutti::all_reduce(w, x);
        if (x[0] != 3) throw std::runtime_error{"a result is wrong"};
        throw;
      }
    });
  };
  expect(weighed(-1), "rank 1 gave a weight that is negative or not finite");
  expect(weighed(NAN), "rank 1 gave a weight that is negative or not finite");
  expect(weighed(std::numeric_limits<double>::infinity()), "(peer 1): rank 1 gave a weight");
  expect(weighed(0), "all weights are zero - at least one rank must count");
}

// Without `checked` the lengths of meeting messages are compared, and whoever sees it tells all.
BOOST_AUTO_TEST_CASE(lengths_that_differ_between_ranks_are_everybodys_mismatch) {
  const auto texts = errors(4, error_code::mismatch, [](auto& w) {
    std::vector<float> x(w.rank() == 2 ? 40 : 80);
    tutti::all_reduce(w, x, tutti::ring{});
  });
  expect(texts, "tutti: all_reduce: mismatch on rank");
  expect(texts, "give all ranks the same lengths and types");
}

BOOST_AUTO_TEST_CASE(an_empty_request_is_complete_and_a_moved_one_is_the_same_request) {
  tutti::request nothing;
  BOOST_CHECK(nothing.test());
  nothing.wait();
  tutti::threads::run(3, [](auto& world) {
    std::vector<int> a(5, 1), b(5, 1);
    tutti::request first = tutti::async_all_reduce(world, a);
    tutti::request moved = std::move(first);
    if (!first.test()) throw std::runtime_error{"what was moved from is not empty"};
    moved.wait();
    if (!moved.test()) throw std::runtime_error{"what was waited for is not complete"};
    moved.wait(); // again, and nothing happens
    if (a[4] != 3) throw std::runtime_error{"a result is wrong"};
    moved = tutti::async_all_reduce(world, b);
    moved = {}; // what is replaced is waited for
    if (b[4] != 3) throw std::runtime_error{"a replaced request was not waited for"};
  });
}

BOOST_AUTO_TEST_CASE(a_dropped_request_is_waited_for_and_testing_moves_it_on) {
  tutti::threads::run(4, [](auto& world) {
    std::vector<int> a(9, 1), b(9, 2);
    { const auto dropped = tutti::async_all_reduce(world, a, tutti::ring{}); }
    auto tested = tutti::async_all_reduce(world, b, tutti::ring{});
    wait_until([&] { return tested.test(); });
    if (a[8] != 4 || b[8] != 8) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(a_failure_is_thrown_once_and_then_the_request_is_empty) {
  tutti::threads::run(2, [](auto& world) {
    std::vector<int> x(world.rank() == 0 ? 4 : 8);
    auto failing = tutti::async_all_reduce(world, x, tutti::direct{});
    try {
      failing.wait();
      throw std::runtime_error{"different lengths met"};
    } catch (const tutti::error&) {
    }
    if (!failing.test()) throw std::runtime_error{"a failed request is not empty"};
    try {
      tutti::barrier(world);
      throw std::runtime_error{"the communicator is not revoked"};
    } catch (const tutti::error& e) {
      if (e.code() != error_code::mismatch) throw;
    }
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_SUITE_END()
