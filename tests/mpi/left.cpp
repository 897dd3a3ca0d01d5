// A worker that leaves without finalize() under MPI: everybody is told at once who it was.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/tutti.hpp>

#include <chrono>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(workers_that_leave)

BOOST_AUTO_TEST_CASE(a_worker_that_leaves_without_finalize_is_named_to_all) {
  const auto trial = [](bool dedicated, int staleness, int steps) {
    return [=](auto& comm, report& r) {
      if (comm.size() < 2) return;
      const int leaver = comm.size() - 1;
      std::vector<float> values(20), ones(20, 1.0f);
      const auto got = conformance::failure_of([&] {
        // Nobody waits that long unless something is wrong.
        tutti::strategy strategy{comm, tutti::star{.servers = 1, .dedicated = dedicated},
                                 tutti::asynchronous{.staleness = staleness},
                                 tutti::options{.timeout = std::chrono::seconds{20}}};
        auto trainer = strategy.bind(values, tutti::sgd{});
        if (trainer.role() == tutti::role::server) trainer.serve();
        for (int step = 0; comm.rank() != leaver || step < steps; ++step) trainer.step(ones);
      });
      const bool met = comm.leave();
      r.check(met, "somebody did not come");
      if (comm.rank() == leaver) r.check(!got.failed, [&] { return "no failure - " + told(got); });
      else
        r.check(got.failed && got.what.code == tutti::error_code::peer_lost &&
                    got.what.peer == leaver && got.what.rank == comm.rank() &&
                    got.what.detail.find("has left without finalize()") != std::string::npos,
                [&] { return "the loss of the last rank - " + told(got); });
    };
  };
  for (const bool dedicated : {true, false})
    for (const int staleness : {0, 2, tutti::unbounded})
      on_mpi(std::string{dedicated ? "a dedicated server" : "a server that works"} +
                 ", staleness " + std::to_string(staleness),
             trial(dedicated, staleness, staleness == 2 ? 0 : 3));
  on_mpi("by messages", trial(true, 2, 3), {.shared_memory = false});
}

BOOST_AUTO_TEST_SUITE_END()
