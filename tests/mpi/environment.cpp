// MPI that somebody else has begun, and handles that are no group of ranks.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/run.hpp>

#include <string>
#include <thread>
#include <vector>

namespace {

using tutti::error_code;

int level_of_mpi() {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  return level;
}

/// The program's arguments are of no use to MPI any more.
struct no_arguments {
  char name[2] = "p";
  char* list[2] = {name, nullptr};
  char** values = list;
  int count = 1;
};

template <class... Wanted> conformance::outcome joined(Wanted... wanted) {
  no_arguments none;
  return conformance::failure_of([&] {
    tutti::mpi::environment env{none.count, none.values, wanted...};
  });
}
bool running() {
  int ended = 1;
  MPI_Finalized(&ended);
  return ended == 0;
}

/// Refused as `unsupported`, with sentences that hold these parts.
void refused(report& r, const std::string& name, const conformance::outcome& got,
             const std::vector<std::string>& parts) {
  r.check(got.failed && got.what.code == error_code::unsupported && got.what.call == "environment",
          [&] { return name + ": unsupported - " + conformance::told(got); });
  for (const std::string& part : parts)
    r.check(got.what.detail.find(part) != std::string::npos,
            [&] { return name + ": it does not say \"" + part + "\" - " + conformance::told(got); });
}

} // namespace

BOOST_AUTO_TEST_SUITE(environment)

BOOST_AUTO_TEST_CASE(joins_an_mpi_that_was_begun_by_somebody_else) {
  on_mpi("joined", [](auto&, report& r) {
    for (const auto& got : {joined(), joined(tutti::mpi::threading::one)})
      r.check(!got.failed, [&] { return "it is refused - " + conformance::told(got); });
    r.check(running(), "it was finalised by one that has only joined");
  });
}

BOOST_AUTO_TEST_CASE(says_what_to_write_where_the_level_does_not_suffice) {
  on_mpi("levels", [](auto&, report& r) {
    const int level = level_of_mpi();
    const std::string here = tutti::mpi::detail::name_of_level(level);
    if (level < MPI_THREAD_SERIALIZED)
      refused(r, "in turn", joined(tutti::mpi::threading::in_turn),
              {here, "MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided)",
               "tutti::mpi::environment env{argc, argv};"});
    if (level < MPI_THREAD_MULTIPLE)
      refused(r, "at once", joined(tutti::mpi::threading::at_once),
              {here, "MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided)"});
    if (level >= MPI_THREAD_SERIALIZED) return;
    conformance::outcome other;
    std::thread{[&] { other = joined(); }}.join();
    refused(r, "another thread", other,
            {here, "by another thread", "MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided)"});
  });
}

BOOST_AUTO_TEST_CASE(is_joined_by_run) {
  on_mpi("run", [](auto&, report& r) {
    no_arguments none;
    std::vector<int> data{1};
    const int status = tutti::mpi::run(none.count, none.values, [&](auto& world) {
      tutti::all_reduce(world, data);
      return data[0] == world.size() ? 17 : 1;
    });
    r.check(status == 17, "the program of run gives " + std::to_string(status));
    r.check(running(), "MPI was finalised by one that has only joined");
  });
}

BOOST_AUTO_TEST_CASE(gives_no_communicator_of_what_is_no_group_of_ranks) {
  on_mpi("null and inter", [](auto& world, report& r) {
    const auto of = [](MPI_Comm users) {
      return conformance::failure_of([&] { tutti::mpi::communicator comm{users}; });
    };
    const auto refuses = [&](const std::string& name, const conformance::outcome& got, const char* part) {
      r.check(got.failed && got.what.code == error_code::invalid_argument &&
                  got.what.call == "mpi::communicator" &&
                  got.what.detail.find(part) != std::string::npos,
              [&] { return name + ": invalid_argument - " + conformance::told(got); });
    };
    refuses("MPI_COMM_NULL", of(MPI_COMM_NULL), "MPI_COMM_NULL has no ranks");
    if (world.size() == 1) return;
    const bool first = world.rank() == 0;
    MPI_Comm half = MPI_COMM_NULL, both = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, first ? 0 : 1, 0, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, first ? 1 : 0, 7, &both);
    refuses("an intercommunicator", of(both), "MPI_Intercomm_merge");
    MPI_Comm merged = MPI_COMM_NULL;
    MPI_Intercomm_merge(both, first ? 0 : 1, &merged);
    {
      tutti::mpi::communicator comm{merged};
      std::vector<int> data{1};
      tutti::all_reduce(comm, data);
      r.check(data[0] == world.size(), "a sum on what was merged is wrong");
    }
    MPI_Comm_free(&merged);
    MPI_Comm_free(&both);
    MPI_Comm_free(&half);
  });
}

BOOST_AUTO_TEST_SUITE_END()
