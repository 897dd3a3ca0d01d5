// What a collective refuses, and what a request promises.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
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
    for (const int root : {-1, 3, 1 << 30})
      expect(errors(3, error_code::invalid_argument, [&](auto& w) { with_root(w, root); }),
             std::string{"tutti: "} + call + ": invalid_argument");
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

BOOST_AUTO_TEST_CASE(lengths_that_do_not_fit_are_refused_and_nothing_is_lost) {
  const auto texts = errors(3, error_code::invalid_argument, [](auto& w) {
    std::vector<float> mine(6, 1.0f), whole(17);
    tutti::all_reduce(w, mine);
    try {
      tutti::all_gather(w, mine, whole);
    } catch (const tutti::error&) {
      tutti::all_reduce(w, mine); // the communicator is as good as new
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
    while (!tested.test()) std::this_thread::yield();
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
