// A rank that leaves in the middle of a collective, at any exchange, by an exception or by
// returning: every other rank gets peer_lost naming it, in bounded time.
#include "topologies/every_topology.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/faulty.hpp>
#include <tutti/communicators/threads.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <latch>
#include <optional>
#include <string>
#include <vector>

namespace {

enum class departure { throws, returns };

struct outcome {
  bool left = false; ///< the fault came to pass, in the call itself
  std::vector<std::optional<tutti::failure>> failures;
};

/// What becomes of each rank of a call, followed by a barrier for those who needed nothing more
/// from the one that leaves.
template <class Call>
outcome run_with(int ranks, tutti::fault what, departure how, const Call& call) {
  outcome all;
  all.failures.resize(std::size_t(ranks));
  const tutti::options patient{.timeout = std::chrono::seconds{60}};
  try {
    tutti::threads::run(ranks, [&](auto& inner) {
      tutti::faulty comm{inner, what};
      bool called = false;
      try {
        call(comm, patient);
        called = true;
        tutti::barrier(comm, patient);
      } catch (const tutti::rank_leaves&) {
        all.left = !called;
        if (how == departure::throws) throw;
      } catch (const tutti::error& e) {
        all.failures[std::size_t(comm.rank())] = e.details();
      }
    });
  } catch (const tutti::rank_leaves&) {
  }
  return all;
}

std::string told(const std::optional<tutti::failure>& f) {
  return f ? std::string{tutti::error{*f}.what()} : "no error";
}

/// Every rank at every exchange, both ways. With data for everyone each rank has one exchange at
/// least, so on 2 to 5 ranks somebody has left 28 times or more.
template <class Call> void sweep(const std::string& name, const Call& call) {
  int departures = 0;
  for (int ranks = 2; ranks <= 5; ++ranks)
    for (const departure how : {departure::throws, departure::returns})
      for (int leaver = 0; leaver < ranks; ++leaver)
        for (std::uint64_t round = 0;; ++round) {
          const auto got = run_with(ranks, {.rank = leaver, .round = round}, how, call);
          if (!got.left) break; // the rank has no such exchange
          ++departures;
          for (int r = 0; r < ranks; ++r) {
            const auto& f = got.failures[std::size_t(r)];
            const bool right = r == leaver ? !f
                                           : f && f->code == tutti::error_code::peer_lost &&
                                                 f->peer == leaver && f->rank == r;
            if (!right)
              BOOST_ERROR(name << " on " << ranks << " ranks: rank " << leaver
                               << (how == departure::throws ? " throws" : " returns")
                               << " at exchange " << round << ", rank " << r << " got " << told(f));
          }
        }
  BOOST_CHECK_MESSAGE(departures >= 28, name << ": somebody left " << departures << " times");
}

/// Every collective that the topology carries; by messages, as `faulty` hides that ranks reach each
/// other's memory.
template <class Topology>
void sweep_collectives(const std::string& name, const Topology& topology) {
  using tutti::collective;
  static_assert(!tutti::direct_access_communicator<tutti::faulty<tutti::threads::communicator&>>);
  constexpr std::size_t n = 60; // for 5 ranks and 4 segments of each one's chunk
  const auto sweep_one = [&](const char* what, const auto& call) {
    sweep(what + (" on " + name), [&](auto& comm, const tutti::options& how) {
      std::vector<float> data(n, 1.0f);
      call(comm, data, how);
    });
  };
  if constexpr (tutti::carries<Topology>(collective::all_reduce))
    sweep_one("all_reduce", [&](auto& comm, auto& data, const tutti::options& how) {
      tutti::all_reduce(comm, data, topology, how);
    });
  if constexpr (tutti::carries<Topology>(collective::reduce_scatter))
    sweep_one("reduce_scatter", [&](auto& comm, auto& data, const tutti::options& how) {
      (void)tutti::reduce_scatter(comm, data, topology, how);
    });
  if constexpr (tutti::carries<Topology>(collective::all_gather))
    sweep_one("all_gather", [&](auto& comm, auto& data, const tutti::options& how) {
      tutti::all_gather(comm, data, topology, how);
    });
  if constexpr (tutti::carries<Topology>(collective::reduce))
    sweep_one("reduce", [&](auto& comm, auto& data, const tutti::options& how) {
      tutti::reduce(comm, data, 1, topology, how);
    });
  if constexpr (tutti::carries<Topology>(collective::broadcast))
    sweep_one("broadcast", [&](auto& comm, auto& data, const tutti::options& how) {
      tutti::broadcast(comm, data, 1, topology, how);
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(ranks_that_leave)

BOOST_AUTO_TEST_CASE(every_collective_on_every_topology) {
  tests::every_topology([](const char* name, const auto& topology) {
    sweep_collectives(name, topology);
  });
}

BOOST_AUTO_TEST_CASE(collectives_that_name_no_topology) {
  sweep("gather", [](auto& comm, const tutti::options& how) {
    std::vector<float> mine(11, 1.0f), all(11 * std::size_t(comm.size()));
    tutti::gather(comm, mine, all, 1, how);
  });
  sweep("scatter", [](auto& comm, const tutti::options& how) {
    std::vector<float> mine(11), all(11 * std::size_t(comm.size()), 1.0f);
    tutti::scatter(comm, all, mine, 1, how);
  });
  sweep("all_to_all", [](auto& comm, const tutti::options& how) {
    std::vector<float> from(11 * std::size_t(comm.size()), 1.0f), to(from.size());
    tutti::all_to_all(comm, from, to, how);
  });
  sweep("all_gather of blocks", [](auto& comm, const tutti::options& how) {
    std::vector<float> mine(11, 1.0f), all(11 * std::size_t(comm.size()));
    tutti::all_gather(comm, mine, all, how);
  });
  sweep("barrier", [](auto& comm, const tutti::options& how) { tutti::barrier(comm, how); });
  sweep("two in flight", [](auto& comm, const tutti::options& how) {
    std::vector<float> a(11, 1.0f), b(11, 1.0f);
    auto first = tutti::async_all_reduce(comm, a, tutti::ring{}, how);
    auto second = tutti::async_all_reduce(comm, b, tutti::direct{}, how);
    try {
      second.wait();
    } catch (const tutti::error&) {
      first.wait(); // where it was the first that the rank left in, this one has the reason
      throw;
    }
    first.wait();
  });
}

/// Ranks that reach each other's memory: everyone does `before` calls, then all but one do another.
template <class Call> void leave_without_messages(const char* name, const Call& call) {
  const tutti::options patient{.timeout = std::chrono::seconds{60}};
  for (int ranks = 2; ranks <= 5; ++ranks)
    for (const departure how : {departure::throws, departure::returns})
      for (int leaver = 0; leaver < ranks; ++leaver)
        for (int before = 0; before < 3; ++before) {
          std::vector<std::optional<tutti::failure>> failures(static_cast<std::size_t>(ranks));
          try {
            tutti::threads::run(ranks, [&](auto& comm) {
              const auto calls = [&](int count) {
                for (int k = 0; k < count; ++k) call(comm, patient);
              };
              if (comm.rank() == leaver) {
                calls(before);
                if (how == departure::throws) throw tutti::rank_leaves{"leaves"};
                return;
              }
              try { // a rank may hear of it while it is still in an earlier call
                calls(before + 1);
                tutti::barrier(comm, patient);
              } catch (const tutti::error& e) {
                failures[std::size_t(comm.rank())] = e.details();
              }
            });
          } catch (const tutti::rank_leaves&) {
          }
          for (int r = 0; r < ranks; ++r) {
            const auto& f = failures[std::size_t(r)];
            const bool right = r == leaver ? !f
                                           : f && f->code == tutti::error_code::peer_lost &&
                                                 f->peer == leaver && f->rank == r;
            if (!right)
              BOOST_ERROR(name << " on " << ranks << " ranks: rank " << leaver << " leaves after "
                               << before << " calls, rank " << r << " got " << told(f));
          }
        }
}

BOOST_AUTO_TEST_CASE(without_messages) {
  for (const std::size_t n : {3, 300, 30000}) {
    const auto sum = [n](auto& comm, const tutti::options& how) {
      std::vector<float> data(n, 1.0f);
      tutti::all_reduce(comm, data, how);
    };
    leave_without_messages("all_reduce", sum);
    leave_without_messages("broadcast", [n](auto& comm, const tutti::options& how) {
      std::vector<float> data(n, 1.0f);
      tutti::broadcast(comm, data, 1, how);
    });
    leave_without_messages("two in flight", [n](auto& comm, const tutti::options& how) {
      std::vector<float> a(n, 1.0f), b(n, 1.0f);
      auto first = tutti::async_all_reduce(comm, a, how);
      auto second = tutti::async_reduce(comm, b, 0, how);
      second.wait();
      first.wait();
    });
  }
}

/// Whoever is late, not gone, costs a timeout that names it.
BOOST_AUTO_TEST_CASE(a_late_rank) {
  std::vector<std::optional<tutti::failure>> failures(3);
  std::latch given_up{2}; // by the ranks that wait for the late one
  tutti::threads::run(3, [&](auto& comm) {
    std::vector<float> data(11, 1.0f);
    const tutti::options hasty{.timeout = std::chrono::milliseconds{200}};
    try {
      if (comm.rank() == 1) given_up.wait();
      tutti::all_reduce(comm, data, tutti::direct{}, hasty);
    } catch (const tutti::error& e) {
      failures[std::size_t(comm.rank())] = e.details();
    }
    if (comm.rank() != 1) given_up.count_down();
  });
  for (const int r : {0, 2}) {
    const auto& f = failures[std::size_t(r)];
    BOOST_CHECK_MESSAGE(f && f->code == tutti::error_code::timeout && f->peer == 1,
                        "rank " << r << " got " << told(f));
  }
  BOOST_CHECK_MESSAGE(failures[1].has_value(), "the late rank finds the others gone");
}

BOOST_AUTO_TEST_SUITE_END()
