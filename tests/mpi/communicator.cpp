// mpi::communicator, put through what every communicator has to do, and what is its own.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/mpi/environment.hpp>

#include <optional>
#include <utility>

static_assert(tutti::selective_communicator<tutti::mpi::communicator>);
static_assert(tutti::splitting_communicator<tutti::mpi::communicator>);
static_assert(!std::copyable<tutti::mpi::communicator>);

using tutti::error_code;

BOOST_AUTO_TEST_SUITE(mpi_communicator)

BOOST_AUTO_TEST_CASE(conforms) {
  conformance::each([](const char* name, auto body) { on_mpi(name, body); });
}

/// Messages of 2^31 bytes and more are cut; here everything of 7 bytes and more is.
BOOST_AUTO_TEST_CASE(conforms_with_a_limit_of_7) {
  conformance::each([](const char* name, auto body) { on_mpi(name, body, {.message_bytes = 7}); });
}

BOOST_AUTO_TEST_CASE(long_messages) {
  const auto body = [](auto& comm, report& r) {
    conformance::long_messages(comm, r);
    conformance::long_wrong_lengths(comm, r);
  };
  on_mpi("long messages", body);
  on_mpi("long messages, cut", body, {.message_bytes = 100003});
}

BOOST_AUTO_TEST_CASE(knows_its_nodes) {
  on_mpi("nodes", [](auto& world, report& r) {
    r.check(int(world.nodes().size()) == world.size(), "one node for each rank");
    for (const int node : world.nodes()) r.check(node == 0, "these tests run on one machine");
    auto half = world.split(world.rank() % 2, 0);
    r.check(int(half.nodes().size()) == half.size(), "one node for each rank of a half");
  });
}

/// No MPI of these tests was built for CUDA; what is said to one holds on all ranks or on none.
BOOST_AUTO_TEST_CASE(says_whether_messages_may_name_device_memory) {
  using tutti::mpi::device_messages;
  const auto says = [](device_messages asked, bool wanted) {
    on_mpi("device memory", [&](auto& world, report& r) {
      r.check(world.takes_device_memory() == wanted, "as it was asked for");
      r.check(world.split(0, 0).takes_device_memory() == wanted, "and in a part of it");
    }, {.device_memory = asked});
  };
  says(device_messages::as_queried, false);
  says(device_messages::never, false);
  says(device_messages::always, true);
  on_mpi("device memory on some", [](auto& world, report& r) {
    const auto mine = world.rank() == 0 ? device_messages::always : device_messages::never;
    tutti::mpi::communicator some{MPI_COMM_WORLD, {.device_memory = mine}};
    r.check(some.takes_device_memory() == (some.size() == 1), "on all or on none");
  });
}

BOOST_AUTO_TEST_CASE(is_made_of_any_communicator) {
  on_mpi("MPI_COMM_SELF", [](auto&, report& r) {
    tutti::mpi::communicator alone{MPI_COMM_SELF};
    r.check(alone.size() == 1 && alone.rank() == 0, "of one rank");
  });
}

BOOST_AUTO_TEST_CASE(leaves_the_user_s_communicator_alone) {
  on_mpi("error handlers", [](auto&, report& r) {
    MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
    MPI_Comm_get_errhandler(MPI_COMM_WORLD, &handler);
    r.check(handler == MPI_ERRORS_ARE_FATAL, "errors of MPI_COMM_WORLD are still fatal");
    MPI_Errhandler_free(&handler);
  });
}

BOOST_AUTO_TEST_CASE(refuses_channels_that_are_no_tags) {
  on_mpi("tags", [](auto& world, report& r) {
    const auto got = conformance::failure_of([&] { (void)conformance::post(world, 1u << 15, {}); });
    r.check(got.failed && got.what.code == error_code::invalid_argument, conformance::told(got));
  });
}

/// A tag holds the channel and, as far as there is room, the length.
BOOST_AUTO_TEST_CASE(lengths_are_in_tags) {
  const auto holds = [](int largest, std::size_t apart) {
    const tutti::mpi::detail::tags tag{largest};
    bool right = true;
    for (const tutti::channel on : {0u, 1u, tutti::mpi::detail::tags::channels - 1})
      for (std::size_t n = 0; n < 3 * apart; n += 7) {
        const int t = tag.of(on, n);
        right = right && t >= 0 && t <= largest && tutti::mpi::detail::tags::channel_of(t) == on;
        if (n > 0 && n < apart) right = right && t != tag.of(on, n - 1) && !tag.may_be_short(n);
      }
    constexpr std::uint64_t call = std::uint64_t{7} << 32; // where there is room, another call's
    right = right && (apart == 1 || tag.of(5, 100, call) != tag.of(5, 100, 2 * call));
    return right && tag.of(5, 3 * std::size_t{1 << 20}) >= 0 && tag.may_be_short(apart);
  };
  BOOST_CHECK(holds(2147483647, 65521)); // Open MPI
  BOOST_CHECK(holds(268435455, 8191));   // MPICH
  BOOST_CHECK(holds(32767, 1));          // the least that MPI allows
}

BOOST_AUTO_TEST_CASE(hundreds_may_be_made) {
  on_mpi("many", [](auto& world, report& r) {
    for (int k = 0; k < 300; ++k) {
      auto half = world.split(world.rank() % 2, 0);
      auto moved = std::move(half);
      r.check(moved.rank() == world.rank() / 2, "a split");
    }
  });
}

/// Whoever still waits for a rank that will not communicate again is told so.
BOOST_AUTO_TEST_CASE(a_rank_may_leave) {
  on_mpi("leaving", [](auto& world, report& r) {
    const int last = world.size() - 1;
    auto below = world.split(0, -world.rank());
    conformance::mail m;
    if (world.rank() != last) {
      m.receive(last, 8);
      const auto got = conformance::failure_of([&] { conformance::exchange(world, 1, m); });
      r.check(got.failed && got.what.code == error_code::peer_lost && got.what.peer == last,
              conformance::told(got));
    }
    r.check(world.leave(), "all ranks met");
  });
}

/// A rank that unwinds past its communicator takes the others with it, naming itself.
BOOST_AUTO_TEST_CASE(unwinding_is_leaving) {
  on_mpi("unwinding", [](auto& world, report& r) {
    const int last = world.size() - 1;
    const auto got = conformance::failure_of([&] {
      auto group = world.split(0, world.rank());
      if (world.rank() == last) throw tutti::error{{.code = error_code::bad_data}};
      conformance::mail m;
      m.receive(last, 8);
      conformance::exchange(group, 1, m);
    });
    if (world.rank() != last)
      r.check(got.failed && got.what.code == error_code::peer_lost && got.what.peer == last,
              conformance::told(got));
    conformance::meet(world);
  });
}

BOOST_AUTO_TEST_CASE(environments_nest) {
  on_mpi("a second environment", [](auto&, report& r) {
    int argc = 0;
    char** argv = nullptr;
    { tutti::mpi::environment second{argc, argv}; }
    int over = 0;
    MPI_Finalized(&over);
    r.check(!over, "what somebody else initialised is not finalised");
  });
}

BOOST_AUTO_TEST_SUITE_END()
