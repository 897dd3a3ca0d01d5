// Errors that all ranks get together under MPI: what `checked` finds, after which the communicator
// is as usable as before, and gradients that are not finite.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"
#include "sync/model.hpp"

#include <limits>
#include <string>
#include <vector>

namespace {

using conformance::failure_of;
using conformance::told;
using tutti::error_code;

/// Where ranks share memory, and by messages alone.
template <class Body> void in_both(const std::string& name, const Body& body) {
  on_mpi(name + ", in shared memory", body);
  on_mpi(name + ", by messages", body, {.shared_memory = false});
}

std::string number(std::size_t n) {
  return std::to_string(n);
}

template <class Comm> void sums(Comm& comm, report& r, const std::string& after) {
  const int expected = comm.size() * (comm.size() + 1) / 2;
  for (const std::size_t n : {std::size_t{3}, std::size_t{30000}}) {
    std::vector<int> data(n, comm.rank() + 1);
    tutti::all_reduce(comm, data);
    r.check(data == std::vector<int>(n, expected), after + ": a sum is wrong");
    data.assign(n, comm.rank() + 1);
    tutti::all_reduce(comm, data, tutti::ring{});
    r.check(data == std::vector<int>(n, expected), after + ": a sum on a ring is wrong");
  }
}

/// The last rank makes another call than the others: everyone is told how the two differ.
template <class Comm, class Call>
void differs(Comm& comm, report& r, const std::string& text, const Call& call) {
  const int odd = comm.size() - 1;
  const auto got = failure_of([&] { call(comm.rank() == odd); });
  r.check(got.failed && got.what.code == error_code::mismatch && got.what.rank == comm.rank() &&
              got.what.peer == (comm.rank() == odd ? 0 : odd) &&
              got.what.detail.find(text) != std::string::npos,
          [&] { return "a mismatch that says \"" + text + "\" - " + told(got); });
  sums(comm, r, text);
}

/// The arguments of rank `wrong` cannot work.
template <class Comm, class Call>
void cannot_work(Comm& comm, report& r, int wrong, const std::string& name, const Call& call) {
  const auto got = failure_of(call);
  if (comm.rank() == wrong) {
    r.check(got.failed && got.what.code == error_code::invalid_argument &&
                got.what.rank == comm.rank(),
            [&] { return name + ": an invalid_argument of this rank - " + told(got); });
  } else {
    const std::string text = "rank " + number(std::size_t(wrong)) + " gave arguments";
    r.check(got.failed && got.what.code == error_code::mismatch && got.what.peer == wrong &&
                got.what.rank == comm.rank() && got.what.detail.find(text) != std::string::npos,
            [&] { return name + ": a mismatch that says \"" + text + "\" - " + told(got); });
  }
  sums(comm, r, name);
}

template <class... Parts> void poisoned(const std::string& name, Parts... parts) {
  in_both("a NaN, " + name, [=](auto& world, report& r) {
    const int sick = world.size() - 1;
    trial::model m{0};
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 0.1});

    int step = 1;
    const auto got = failure_of([&] {
      for (; step <= 4; ++step) {
        auto gradients = m.gradients(world.rank());
        if (step == 3 && world.rank() == sick)
          m.pulls[2][5] = std::numeric_limits<float>::quiet_NaN();
        trainer.step(gradients);
      }
    });

    const std::string text =
        "step 3: the gradient of \"tensor2\" on rank " + number(std::size_t(sick));
    r.check(got.failed && step == 3 && got.what.code == error_code::non_finite &&
                got.what.rank == world.rank() && got.what.peer == sick &&
                got.what.detail.find(text) != std::string::npos,
            [&] { return "an error in step 3 that says \"" + text + "\" - " + told(got); });
  });
}

} // namespace

BOOST_AUTO_TEST_SUITE(errors_under_mpi)

BOOST_AUTO_TEST_CASE(ranks_that_disagree_on_a_checked_communicator) {
  in_both("disagreement", [](auto& world, report& r) {
    if (world.size() == 1) return;
    tutti::checked comm{world};
    const std::string last = "rank " + number(std::size_t(comm.size() - 1));
    for (const std::size_t n : {std::size_t{10}, std::size_t{200000}}) {
      const std::string lengths = "rank 0 gives " + number(n) + " elements, " + last + " gives ";
      differs(comm, r, lengths + number(n + 1), [&](bool odd) {
        std::vector<float> data(odd ? n + 1 : n);
        tutti::all_reduce(comm, data);
      });
      differs(comm, r, lengths + "0", [&](bool odd) {
        std::vector<float> data(odd ? 0 : n);
        tutti::broadcast(comm, data, 0, tutti::binomial_tree{});
      });
      differs(comm, r, "rank 0 calls all_gather, " + last + " calls barrier", [&](bool odd) {
        std::vector<float> data(n);
        if (odd) tutti::barrier(comm);
        else tutti::all_gather(comm, data);
      });
      differs(comm, r, "rank 0 names root 0, " + last + " names root 1", [&](bool odd) {
        std::vector<float> data(n);
        tutti::reduce(comm, data, odd ? 1 : 0);
      });
    }
    sums(world, r, "at last");
  });
}

BOOST_AUTO_TEST_CASE(arguments_that_cannot_work_on_a_checked_communicator) {
  in_both("arguments", [](auto& world, report& r) {
    tutti::checked comm{world};
    const auto p = std::size_t(comm.size());
    for (const int wrong : {0, comm.size() - 1}) {
      const bool here = comm.rank() == wrong;
      cannot_work(comm, r, wrong, "a root that is no rank", [&] {
        std::vector<float> data(10);
        tutti::broadcast(comm, data, here ? comm.size() : 0);
      });
      cannot_work(comm, r, wrong, "a whole that is too short for its blocks", [&] {
        std::vector<float> mine(4), all(here ? 4 * p - 1 : 4 * p);
        tutti::all_gather(comm, mine, all);
      });
      cannot_work(comm, r, wrong, "a star without servers", [&] {
        std::vector<float> data(10);
        tutti::all_reduce(comm, data, tutti::star{.servers = here ? 0 : 1});
      });
      cannot_work(comm, r, wrong, "blocks that do not fit, in a gather", [&] {
        std::vector<float> mine(4), all(here ? 3 : 4 * p);
        tutti::gather(comm, mine, all, wrong);
      });
    }
    sums(world, r, "at last");
  });
}

BOOST_AUTO_TEST_CASE(a_nan_in_the_gradient_of_one_rank) {
  poisoned("default topology");
  poisoned("ring", tutti::ring{});
  poisoned("halving_doubling", tutti::halving_doubling{});
  poisoned("sharded", tutti::ring{}, tutti::sharded{});
  poisoned("asynchronous", tutti::star{}, tutti::asynchronous{.staleness = 0});
}

BOOST_AUTO_TEST_SUITE_END()
