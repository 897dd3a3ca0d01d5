// A child process that a rank has forked on threads: it has none of the other ranks, and ends where its
// parent's program ends.
#include <boost/test/unit_test.hpp>

#include <tutti/tutti.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

/// How the child of a rank ended that throws, or returns: its exit status, or -1.
int status_of_child(int forking, bool throws) {
  int status = -1;
  tutti::threads::run(3, [&](auto& world) {
    std::vector<float> data(1000, 1.0f);
    tutti::all_reduce(world, data);
    if (world.rank() == forking) {
      const pid_t child = fork();
      if (child == 0) {
        alarm(30); // in any case
        if (throws) throw std::runtime_error("the disk is full");
        return;
      }
      int how = 0;
      waitpid(child, &how, 0);
      if (WIFEXITED(how)) status = WEXITSTATUS(how);
    }
    tutti::all_reduce(world, data);
    if (data[0] != 9) throw std::runtime_error("a sum is wrong");
  });
  return status;
}

} // namespace

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(a_child_process_ends_where_the_program_of_its_rank_ends) {
  for (const int rank : {0, 2}) {
    BOOST_CHECK_EQUAL(status_of_child(rank, true), 1);
    BOOST_CHECK_EQUAL(status_of_child(rank, false), 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
