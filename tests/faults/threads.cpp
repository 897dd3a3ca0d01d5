// A rank that leaves in the middle of a collective, at any exchange, by an exception or by
// returning: every other rank gets peer_lost naming it, in bounded time.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/faulty.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
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

/// Every rank at every exchange, both ways; how often somebody left.
template <class Call> int sweep(const char* name, const Call& call) {
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
  return departures;
}

template <class Topology> void sweep_all_reduce(const char* name, Topology topology) {
  const int departures = sweep(name, [&](auto& comm, const tutti::options& how) {
    std::vector<float> data(11, 1.0f);
    tutti::all_reduce(comm, data, topology, how);
  });
  BOOST_CHECK_MESSAGE(departures >= 28, name << ": somebody left " << departures << " times");
}

} // namespace

BOOST_AUTO_TEST_SUITE(ranks_that_leave)

BOOST_AUTO_TEST_CASE(all_reduce_on_every_topology) {
  sweep_all_reduce("ring", tutti::ring{});
  sweep_all_reduce("recursive_doubling", tutti::recursive_doubling{});
  sweep_all_reduce("halving_doubling", tutti::halving_doubling{});
  sweep_all_reduce("binomial_tree", tutti::binomial_tree{});
  sweep_all_reduce("star", tutti::star{});
  sweep_all_reduce("star of 2", tutti::star{.servers = 2});
  sweep_all_reduce("direct", tutti::direct{});
}

BOOST_AUTO_TEST_CASE(the_other_collectives) {
  sweep("broadcast", [](auto& comm, const tutti::options& how) {
    std::vector<float> data(11, 1.0f);
    tutti::broadcast(comm, data, 1, tutti::binomial_tree{}, how);
  });
  sweep("reduce", [](auto& comm, const tutti::options& how) {
    std::vector<float> data(11, 1.0f);
    tutti::reduce(comm, data, 1, tutti::star{}, how);
  });
  sweep("all_to_all", [](auto& comm, const tutti::options& how) {
    std::vector<float> from(std::size_t(comm.size()), 1.0f), to(std::size_t(comm.size()));
    tutti::all_to_all(comm, from, to, how);
  });
  sweep("two in flight", [](auto& comm, const tutti::options& how) {
    std::vector<float> a(11, 1.0f), b(11, 1.0f);
    auto first = tutti::async_all_reduce(comm, a, tutti::ring{}, how);
    auto second = tutti::async_all_reduce(comm, b, tutti::direct{}, how);
    second.wait();
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
  tutti::threads::run(3, [&](auto& comm) {
    std::vector<float> data(11, 1.0f);
    const tutti::options hasty{.timeout = std::chrono::milliseconds{200}};
    try {
      if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds{600});
      tutti::all_reduce(comm, data, tutti::direct{}, hasty);
    } catch (const tutti::error& e) {
      failures[std::size_t(comm.rank())] = e.details();
    }
  });
  for (const int r : {0, 2}) {
    const auto& f = failures[std::size_t(r)];
    BOOST_CHECK_MESSAGE(f && f->code == tutti::error_code::timeout && f->peer == 1,
                        "rank " << r << " got " << told(f));
  }
  BOOST_CHECK_MESSAGE(failures[1].has_value(), "the late rank finds the others gone");
}

BOOST_AUTO_TEST_SUITE_END()
