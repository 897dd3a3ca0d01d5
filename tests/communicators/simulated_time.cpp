// Virtual time: what messages and computing take, in which order things happen, and when waiting ends.
#include "communicators/on_simulated.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/topologies/ring.hpp>

#include <array>
#include <cmath>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(simulated_time)

namespace {

using tutti::simulated::machine;
using ranks_of = tutti::simulated::communicator;
using std::chrono::microseconds;
using std::chrono::nanoseconds;

nanoseconds time_of(const ranks_of& comm) { return tutti::now_of(comm).time_since_epoch(); }

const tutti::options patient{.timeout = std::chrono::seconds{30}};
const tutti::options for_ever{.timeout = std::chrono::milliseconds::max()};

/// Rounds with one message each way, or none.
template <class Comm>
void send(Comm& comm, int peer, std::size_t bytes, tutti::channel on = 1) {
  const std::vector<std::byte> text(bytes);
  const tutti::outgoing out{peer, text};
  auto handle = comm.exchange({}, on, {.sends = {&out, 1}, .receives = {}});
  tutti::detail::complete(comm, handle, "send", patient.until(tutti::now_of(comm)));
}
template <class Comm>
void receive(Comm& comm, int peer, std::size_t bytes, tutti::channel on = 1) {
  std::vector<std::byte> text(bytes);
  const tutti::incoming in{peer, text};
  auto handle = comm.exchange({}, on, {.sends = {}, .receives = {&in, 1}});
  tutti::detail::complete(comm, handle, "receive", patient.until(tutti::now_of(comm)));
}

/// 2 us, and a byte a nanosecond.
const machine plain{.between = {.latency = 2e-6, .bandwidth = 1e9}};

std::string thrown_by(int ranks, const machine& on, auto&& body) {
  try {
    (void)tutti::simulated::run(ranks, on, body);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

} // namespace

// --- what things take -----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_message_takes_latency_and_bytes_over_bandwidth) {
  const auto took = on_simulated(2, plain, [](auto& comm, report& r) {
    if (comm.rank() == 0) {
      send(comm, 1, 1000);
      r.check(time_of(comm) == microseconds{1}, "it has left when its last byte has");
    } else {
      receive(comm, 0, 1000);
      r.check(time_of(comm) == microseconds{3}, "latency and bytes over bandwidth");
    }
  });
  BOOST_CHECK_EQUAL(took.seconds, 3e-6);
  BOOST_CHECK_EQUAL(took.messages, 1u);
  BOOST_CHECK_EQUAL(took.bytes, 1000u);
  BOOST_CHECK_EQUAL(took.ranks[0].seconds, 1e-6);
  BOOST_CHECK_EQUAL(took.ranks[0].bytes, 1000u);
  BOOST_CHECK_EQUAL(took.ranks[1].wait, 3e-6);
  BOOST_CHECK_EQUAL(took.ranks[1].messages, 0u);
}

BOOST_AUTO_TEST_CASE(a_port_sends_one_message_at_a_time) {
  on_simulated(3, plain, [](auto& comm, report& r) {
    if (comm.rank() != 0) {
      receive(comm, 0, 1000);
      return void(r.check(time_of(comm) == microseconds{2 + comm.rank()}, "one behind the other"));
    }
    const std::vector<std::byte> text(1000);
    const tutti::outgoing out[] = {{1, text}, {2, text}};
    auto handle = comm.exchange({}, 1, {.sends = out, .receives = {}});
    tutti::detail::complete(comm, handle, "send", patient.until(tutti::now_of(comm)));
    r.check(time_of(comm) == microseconds{2}, "both have left");
  });
}

BOOST_AUTO_TEST_CASE(a_port_receives_one_message_at_a_time) {
  on_simulated(3, plain, [](auto& comm, report& r) {
    if (comm.rank() != 0) return send(comm, 0, 1000);
    receive(comm, 1, 1000);
    r.check(time_of(comm) == microseconds{3}, "the first");
    receive(comm, 2, 1000);
    r.check(time_of(comm) == microseconds{4}, "the second behind it");
  });
}

BOOST_AUTO_TEST_CASE(ranks_of_a_node_share_its_port) {
  const machine two{.between = plain.between, .within = {.latency = 1e-6, .bandwidth = 1e9}, .nodes = {0, 0, 1, 1}};
  on_simulated(4, two, [](auto& comm, report& r) {
    r.check(comm.nodes()[1] == 0 && comm.nodes()[2] == 1, "its nodes are those of the machine");
    auto turned = comm.split(0, -comm.rank());
    r.check(turned.nodes()[0] == 0 && turned.nodes()[3] == 1, "numbered by first appearance");
  });
  on_simulated(4, two, [](auto& comm, report& r) {
    if (comm.rank() < 2) return send(comm, comm.rank() + 2, 1000);
    receive(comm, comm.rank() - 2, 1000);
    r.check(time_of(comm) == microseconds{1 + comm.rank()}, "one behind the other");
  });
  on_simulated(4, two, [](auto& comm, report& r) { // what stays on a node goes beside what leaves it
    if (comm.rank() == 0) {
      const std::vector<std::byte> text(1000);
      const tutti::outgoing out[] = {{1, text}, {2, text}};
      auto handle = comm.exchange({}, 1, {.sends = out, .receives = {}});
      tutti::detail::complete(comm, handle, "send", patient.until(tutti::now_of(comm)));
      r.check(time_of(comm) == microseconds{1}, "both at once");
    } else if (comm.rank() < 3) {
      receive(comm, 0, 1000);
      r.check(time_of(comm) == microseconds{1 + comm.rank()}, "by its own link");
    }
  });
}

BOOST_AUTO_TEST_CASE(each_pair_may_have_a_link_of_its_own) {
  const machine odd{.link_of = [](int from, int to) {
    return tutti::simulated::link{.latency = from * 1e-3 + to * 1e-6, .bandwidth = HUGE_VAL};
  }};
  on_simulated(3, odd, [](auto& comm, report& r) {
    if (comm.rank() == 2) return send(comm, 1, 1000000);
    if (comm.rank() == 1) receive(comm, 2, 1000000);
    r.check(time_of(comm) == comm.rank() * microseconds{2001}, "its latency, and nothing else");
  });
}

BOOST_AUTO_TEST_CASE(computing_takes_what_it_says_at_the_speed_of_the_rank) {
  const machine uneven{.speed = [](int rank, double seconds) { return rank == 1 && seconds < 1 ? .25 : 1; }};
  const auto took = on_simulated(2, uneven, [](auto& comm, report& r) {
    tutti::compute(comm, .5);
    r.check(time_of(comm) == (comm.rank() == 1 ? std::chrono::milliseconds{2000} : std::chrono::milliseconds{500}),
            "slow at first");
    comm.compute(.5);
    comm.compute(0);
  });
  BOOST_CHECK_EQUAL(took.ranks[0].compute, 1);
  BOOST_CHECK_EQUAL(took.ranks[1].compute, 2.5);
  BOOST_CHECK_EQUAL(took.ranks[1].wait, 0);
  BOOST_CHECK_EQUAL(took.seconds, 2.5);
}

BOOST_AUTO_TEST_CASE(computing_elsewhere_takes_the_time_that_it_takes) {
  tutti::self alone;
  tutti::compute(alone, 1e9);
}

BOOST_AUTO_TEST_CASE(what_is_combined_takes_its_time) {
  machine on = plain;
  on.per_folded_byte = 1e-9;
  on_simulated(2, on, [](auto& comm, report& r) {
    std::vector<float> x(500, 1.0f);
    tutti::all_reduce(comm, x, tutti::ring{});
    // Two rounds of 1,000 bytes, of which the first ends in a fold of 1,000.
    r.check(time_of(comm) == microseconds{2 * 3 + 1}, [&] { return std::to_string(time_of(comm).count()); });
  });
}

// --- a clock of whole numbers ---------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_hundred_thousand_transfers_do_not_drift) {
  const machine on{.between = {.latency = 0, .bandwidth = 1e9}}; // 100 bytes take 100 ns
  const auto took = on_simulated(2, on, [](auto& comm, report& r) {
    const std::array<std::byte, 100> text{};
    std::vector<std::array<std::byte, 100>> room(1000);
    const std::vector<tutti::outgoing> sends(1000, {1, text});
    std::vector<tutti::incoming> receives;
    for (auto& x : room) receives.push_back({0, x});
    for (int k = 0; k < 100; ++k) {
      auto handle = comm.rank() == 0 ? comm.exchange({}, 1, {.sends = sends, .receives = {}})
                                     : comm.exchange({}, 1, {.sends = {}, .receives = receives});
      tutti::detail::complete(comm, handle, "transfers", patient.until(tutti::now_of(comm)));
    }
    r.check(time_of(comm) == std::chrono::milliseconds{10}, "exactly a hundredth of a second");
  });
  BOOST_CHECK_EQUAL(took.messages, 100'000u);
  BOOST_CHECK_EQUAL(took.seconds, .01);
}

BOOST_AUTO_TEST_CASE(a_byte_on_a_fast_link_is_not_nothing) {
  const machine fast{.between = {.latency = 0, .bandwidth = 400e9 / 8}}; // 20 ps a byte
  const auto took = on_simulated(2, fast, [](auto& comm, report&) {
    for (int k = 0; k < 50; ++k) comm.rank() == 0 ? send(comm, 1, 1) : receive(comm, 0, 1);
  });
  BOOST_CHECK_EQUAL(took.seconds, 1e-9);
  const machine faster{.between = {.latency = 0, .bandwidth = 1e18}};
  BOOST_CHECK_EQUAL(on_simulated(2, faster, [](auto& comm, report&) {
                      comm.rank() == 0 ? send(comm, 1, 1) : receive(comm, 0, 1);
                    }).seconds, 1e-12);
}

BOOST_AUTO_TEST_CASE(hours_and_days_do_not_overflow) {
  const auto took = on_simulated(2, plain, [](auto& comm, report& r) {
    for (int k = 0; k < 3; ++k) comm.compute(3600);
    tutti::barrier(comm);
    r.check(time_of(comm) >= std::chrono::hours{3}, "three hours");
    comm.compute(50 * 86400.);
  });
  BOOST_CHECK(took.seconds > 50 * 86400.);
  const auto text = thrown_by(1, {}, [](auto& comm) {
    comm.compute(50 * 86400.);
    comm.compute(50 * 86400.);
  });
  BOOST_CHECK_MESSAGE(text.find("virtual time ends 53 days after the run began - compute less") != text.npos, text);
}

// --- order ----------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(equal_times_in_the_order_of_ranks) {
  const auto order = [](bool no_ops) {
    std::vector<int> heard;
    const auto took = tutti::simulated::run(4, plain, [&](auto& comm) {
      if (comm.rank() < 3) {
        for (int k = 0; no_ops && k < 2 - comm.rank(); ++k) {
          comm.compute(0);
          comm.idle(comm.progress(), tutti::now_of(comm));
        }
        comm.compute(1);
        return send(comm, 3, 0);
      }
      while (heard.size() < 3) {
        const auto seen = comm.progress();
        if (const auto next = comm.probe(1)) {
          heard.push_back(next->peer);
          receive(comm, next->peer, 0);
        } else {
          comm.idle(seen, (tutti::deadline::max)());
        }
      }
    });
    return std::pair{heard, took.trace_hash};
  };
  BOOST_CHECK((order(false).first == std::vector{0, 1, 2}));
  BOOST_CHECK((order(true) == order(false)));
}

BOOST_AUTO_TEST_CASE(equal_runs_have_equal_traces) {
  const auto trace = [](double slow) {
    const machine on{.between = plain.between,
                     .speed = [slow](int rank, double seconds) { return rank == int(seconds * 1e4) % 5 ? slow : 1; }};
    return tutti::simulated::run(5, on, [](auto& comm) {
      std::vector<float> x(37, float(comm.rank()));
      for (int k = 0; k < 5; ++k) {
        comm.compute(1e-4);
        tutti::all_reduce(comm, x);
      }
    }).trace_hash;
  };
  std::set<std::uint64_t> seen;
  for (int k = 0; k < 100; ++k) seen.insert(trace(.25));
  BOOST_CHECK_EQUAL(seen.size(), 1u);
  BOOST_CHECK_NE(trace(.5), *seen.begin());
}

BOOST_AUTO_TEST_CASE(whoever_looks_again_and_again_lets_others_run) {
  on_simulated(2, plain, [](auto& comm, report& r) {
    std::vector<float> x(100, 1.0f);
    if (comm.rank() == 1) comm.compute(1e-3);
    auto pending = tutti::async_all_reduce(comm, x, tutti::ring{});
    while (!pending.test()) {}
    r.check(x[99] == 2, "the sum");
    r.check(time_of(comm) < std::chrono::milliseconds{2}, "in about the time that it takes");
    if (comm.rank() == 0) {
      while (!comm.probe(7)) {}
      receive(comm, 1, 8, 7);
    } else {
      comm.compute(1);
      send(comm, 0, 8, 7);
    }
  });
}

// --- waiting --------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(timeouts_are_in_virtual_time) {
  on_simulated(3, plain, [](auto& comm, report& r) {
    auto group = comm.split(0, comm.rank());
    const auto begin = time_of(comm);
    if (comm.rank() == 2) return comm.compute(3600);
    std::vector<float> x(3, 1.0f);
    try {
      tutti::all_reduce(group, x, tutti::ring{}, tutti::options{.timeout = std::chrono::minutes{5}});
      r.check(false, "nobody was missed");
    } catch (const tutti::error& e) {
      r.check(e.code() == tutti::error_code::timeout && e.peer() == 2, e.what());
    }
    r.check(time_of(comm) - begin == std::chrono::minutes{5}, "at its deadline");
  });
}

BOOST_AUTO_TEST_CASE(nobody_can_move) {
  const auto circle = [](auto& comm) {
    comm.compute(1);
    if (comm.rank() == 3) return;
    std::vector<float> x(3, 1.0f);
    std::vector<std::byte> text(4);
    const tutti::incoming in{(comm.rank() + 1) % 3, text};
    auto handle = comm.exchange({}, 1, {.sends = {}, .receives = {&in, 1}});
    tutti::detail::complete(comm, handle, "a circle", (tutti::deadline::max)());
  };
  const auto text = thrown_by(4, plain, circle);
  BOOST_CHECK_MESSAGE(text.find("a circle: timeout on rank 0 (peer 1): nobody can move, and no deadline is due: rank 0 "
                                "waits for rank 1, rank 1 waits for rank 2, rank 2 waits for rank 0") != text.npos,
                      text);
  const auto alone = thrown_by(1, {}, [](auto& comm) {
    for (;;) comm.idle(comm.progress(), (tutti::deadline::max)());
  });
  BOOST_CHECK_MESSAGE(alone.find("rank 0 waits for any message") != alone.npos, alone);
  const auto many = thrown_by(40, {}, [](auto& comm) {
    for (;;) comm.idle(comm.progress(), (tutti::deadline::max)());
  });
  BOOST_CHECK_MESSAGE(many.find("rank 15 waits for any message, and 24 more wait") != many.npos, many);
}

BOOST_AUTO_TEST_CASE(a_collective_without_a_deadline_says_that_nobody_can_move) {
  const auto text = thrown_by(2, plain, [](auto& comm) {
    std::vector<float> x(3, 1.0f);
    if (comm.rank() == 0) return tutti::all_reduce(comm, x, tutti::ring{}, for_ever);
    for (;;) comm.idle(comm.progress(), (tutti::deadline::max)());
  });
  BOOST_CHECK_MESSAGE(text.find("nobody can move, and no deadline is due: rank 0 waits for rank 1, "
                                "rank 1 waits for any message") != text.npos, text);
}

BOOST_AUTO_TEST_CASE(who_leaves_is_missed_when_all_that_it_sent_has_come) {
  on_simulated(2, plain, [](auto& comm, report& r) {
    if (comm.rank() == 1) {
      const std::vector<std::byte> text(1000000);
      const tutti::outgoing out{0, text};
      auto handle = comm.exchange({}, 1, {.sends = {&out, 1}, .receives = {}});
      tutti::detail::complete(comm, handle, "send", patient.until(tutti::now_of(comm)));
      return;
    }
    receive(comm, 1, 1000000);
    r.check(time_of(comm) == microseconds{1002}, "what it sent before it left");
    try {
      receive(comm, 1, 1);
      r.check(false, "it has left");
    } catch (const tutti::error& e) {
      r.check(e.code() == tutti::error_code::peer_lost && e.peer() == 1, e.what());
    }
  });
}

BOOST_AUTO_TEST_CASE(what_a_rank_throws_is_thrown) {
  BOOST_CHECK_EQUAL(thrown_by(3, plain, [](auto& comm) {
    if (comm.rank() == 1) throw std::runtime_error{"the disk is full"};
    tutti::barrier(comm);
  }), "the disk is full");
}

// --- what is refused ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(machines_that_cannot_be) {
  const auto refused = [](int ranks, const machine& on, const std::string& why) {
    const auto text = thrown_by(ranks, on, [](auto& comm) { tutti::barrier(comm); });
    BOOST_CHECK_MESSAGE(text.find("invalid_argument") != text.npos && text.find(why) != text.npos, text);
  };
  refused(0, {}, "0 ranks were asked for - give 1 to 4096");
  refused(4097, {}, "4097 ranks were asked for - give 1 to 4096");
  refused(2, {.between = {.latency = -1}}, "a link has a latency of -1.000000 s - give 0 or more");
  refused(2, {.within = {.bandwidth = 0}}, "a link has a bandwidth of 0.000000 bytes a second - give more than 0");
  refused(2, {.nodes = {0}}, "machine::nodes has 1 numbers - give one for each of 2 ranks, or none");
  refused(2, {.nodes = {0, 2}}, "machine::nodes names node 2 - give 0 to 1");
  refused(2, {.per_folded_byte = -1}, "to combine a byte takes -1.000000 s - give 0 or more, and less than 1");
  refused(2, {.link_of = [](int, int) { return tutti::simulated::link{.bandwidth = -2}; }},
          "a link has a bandwidth of -2.000000 bytes a second");
}

BOOST_AUTO_TEST_CASE(computing_that_cannot_be) {
  for (const double seconds : {-1., double(NAN), 1e30}) {
    const auto text = thrown_by(1, {}, [&](auto& comm) { comm.compute(seconds); });
    BOOST_CHECK_MESSAGE(text.find("compute: invalid_argument on rank 0: it would compute for") != text.npos, text);
  }
  const machine stopped{.speed = [](int, double) { return 0.; }};
  const auto text = thrown_by(1, stopped, [](auto& comm) { comm.compute(1); });
  BOOST_CHECK_MESSAGE(text.find("give 0 or more seconds, and a speed above 0") != text.npos, text);
}

BOOST_AUTO_TEST_SUITE_END()
