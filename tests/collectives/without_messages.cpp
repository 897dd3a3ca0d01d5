// Calls in slots, in symmetric buffers and on threads' own memory, used wrongly.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(collectives_without_messages)

namespace {

/// What every rank's call ends with: the text of its error, or nothing.
template <class Call> std::vector<std::string> errors(int ranks, const Call& call) {
  std::vector<std::string> texts(static_cast<std::size_t>(ranks), "nothing was thrown");
  tutti::threads::run(ranks, [&](auto& world) {
    try {
      call(world);
    } catch (const tutti::error& e) {
      texts[std::size_t(world.rank())] = e.what();
    }
  });
  return texts;
}
void expect(const std::vector<std::string>& texts, const std::string& wanted) {
  for (const std::string& text : texts)
    BOOST_CHECK_MESSAGE(text.find(wanted) != std::string::npos, text << "\n  has no: " << wanted);
}

} // namespace

// A rank that differs is told, and so is everyone else, whatever way the lengths would take.
BOOST_AUTO_TEST_CASE(ranks_that_differ_are_everybodys_mismatch) {
  for (const auto& [usual, odd] :
       {std::pair{3, 4}, {100, 101}, {100, 3}, {5000, 3}, {5000, 100}, {5000, 5001}}) {
    expect(errors(3,
                  [&](auto& w) {
                    std::vector<float> x(std::size_t(w.rank() == 1 ? odd : usual));
                    tutti::all_reduce(w, x);
                  }),
           " - give all ranks the same lengths and types");
    expect(errors(3,
                  [&](auto& w) {
                    std::vector<float> x(static_cast<std::size_t>(usual));
                    if (w.rank() == 2) tutti::broadcast(w, x, 0);
                    else tutti::all_reduce(w, x);
                  }),
           "calls broadcast of " + std::to_string(usual) + " float on tutti::binomial_tree, root 0");
  }
  expect(errors(2,
                [](auto& w) {
                  std::vector<float> x(9000);
                  tutti::reduce(w, x, w.rank());
                }),
         "rank 1 calls reduce of 9000 float with tutti::sum on tutti::star, root 1");
  expect(errors(2,
                [](auto& w) {
                  auto a = w.template allocate<float>(9000), b = w.template allocate<float>(9000);
                  tutti::all_reduce(w, w.rank() == 0 ? a : b);
                }),
         "symmetric buffer - make the same call on every rank");
}

// A root has nobody to wait for, so what the others named is seen by its next call.
BOOST_AUTO_TEST_CASE(roots_that_differ_in_a_short_broadcast_are_seen_at_the_next_call_at_the_latest) {
  for (const int ranks : {2, 3, 4})
    expect(errors(ranks,
                  [&](auto& w) {
                    std::vector<int> x(3, w.rank()), y(3, 1);
                    tutti::broadcast(w, x, w.rank() == 0 ? 0 : 1);
                    tutti::all_reduce(w, y);
                  }),
           "calls broadcast of 3 int on tutti::binomial_tree, root 1");
  tutti::threads::run(3, [](auto& w) {
    for (int k = 0; k < 9; ++k) {
      std::vector<int> x(3, w.rank());
      tutti::broadcast(w, x, k % 3);
      if (x[2] != k % 3) throw std::runtime_error{"a result is wrong"};
    }
  });
}

BOOST_AUTO_TEST_CASE(a_buffer_that_was_moved_from_is_an_error_and_nothing_else) {
  const auto texts = errors(3, [](auto& w) {
    auto a = w.template allocate<double>(700);
    auto b = std::move(a);
    if (a || a.size() != 0 || a.data() != nullptr || !b || b.size() != 700)
      throw std::runtime_error{"a move leaves something behind"};
    tutti::all_reduce(w, b);
    tutti::all_reduce(w, a);
  });
  expect(texts,
         "the symmetric buffer holds no memory: it was moved from, or never allocated - give "
         "the one that communicator::allocate returned");
  expect(errors(2,
                [](auto& w) {
                  tutti::symmetric_buffer<int> never;
                  tutti::async_broadcast(w, never).wait();
                }),
         "the symmetric buffer holds no memory");
}

// To a communicator that it was not allocated by, a symmetric buffer is memory like any other.
BOOST_AUTO_TEST_CASE(a_buffer_of_another_communicator_is_ordinary_memory) {
  tutti::threads::run(4, [](auto& world) {
    auto buffer = world.template allocate<int>(3000);
    auto reversed = world.split(0, -world.rank());
    for (int& x : buffer) x = world.rank() + 1;
    tutti::broadcast(reversed, buffer, 0); // rank 3 of world
    for (const int x : buffer)
      if (x != 4) throw std::runtime_error{"a result is wrong"};
    tutti::checked careful{world};
    tutti::all_reduce(careful, buffer);
    if (buffer[2999] != 16) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

// Everything that is in flight goes on, whatever is waited for, with and without messages.
BOOST_AUTO_TEST_CASE(calls_of_all_kinds_in_flight_together) {
  tutti::threads::run(3, [](auto& world) {
    for (int turn = 0; turn < 50; ++turn) {
      std::vector<int> small(5, 1), long_one(9000, 1), on_ring(500, 1);
      auto symmetric = world.template allocate<int>(4000);
      for (int& x : symmetric) x = 1;
      std::vector<tutti::request> all;
      all.push_back(tutti::async_all_reduce(world, long_one));
      all.push_back(tutti::async_all_reduce(world, on_ring, tutti::pipelined{tutti::ring{}, 3}));
      all.push_back(tutti::async_all_reduce(world, small));
      all.push_back(tutti::async_barrier(world));
      all.push_back(tutti::async_all_reduce(world, symmetric));
      for (std::size_t k = 0; k < all.size(); ++k)
        all[(k * 2 + std::size_t(world.rank())) % all.size()].wait();
      if (small[4] != 3 || long_one[8999] != 3 || on_ring[499] != 3 || symmetric[3999] != 3)
        throw std::runtime_error{"a result is wrong"};
    }
  });
  BOOST_CHECK(true);
}

// A call that ends lets the next one begin, in whatever order they are looked at: nobody sleeps then.
BOOST_AUTO_TEST_CASE(turns_are_handed_on_before_anyone_sleeps) {
  tutti::threads::run(3, [](auto& world) {
    const tutti::options hasty{.timeout = std::chrono::seconds{20}};
    for (int turn = 0; turn < 500; ++turn) {
      std::vector<int> x(5, 1), a(9000, 1), b(5, 1), c(700, 1);
      auto first = tutti::async_all_reduce(world, x, hasty);
      auto second = tutti::async_all_reduce(world, a, hasty);
      auto third = tutti::async_all_reduce(world, b, hasty);
      auto fourth = tutti::async_all_reduce(world, c, hasty);
      first.wait(); // the fourth takes its place among those that are in flight
      fourth.wait();
      if (c[699] != 3) throw std::runtime_error{"a result is wrong"};
      second.wait();
      third.wait();
    }
  });
  BOOST_CHECK(true);
}

// Ranks that compare a call wait for each other; what was started before goes on meanwhile.
BOOST_AUTO_TEST_CASE(calls_in_flight_go_on_while_ranks_compare_the_next_one) {
  tutti::threads::run(2, [](auto& world) {
    const tutti::options hasty{.timeout = std::chrono::seconds{20}};
    tutti::checked careful{world, hasty};
    std::vector<int> a(1000, 1), b(1000, 1);
    auto first = tutti::async_all_reduce(careful, a, tutti::pipelined{tutti::ring{}, 4}, hasty);
    if (world.rank() == 1) first.wait();
    tutti::all_reduce(careful, b, hasty);
    first.wait();
    if (a[999] != 2 || b[999] != 2) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_SUITE_END()
