// Ranks that disagree, under MPI: where they share memory, where the kernel copies, and by
// messages.
#include "collectives/disagreements.hpp"
#include "mpi/on_mpi.hpp"

BOOST_AUTO_TEST_SUITE(disagreements_under_mpi)

namespace {

/// Each on a communicator of its own. Making those takes long where ranks outnumber cores, so more
/// than two ranks do less.
void all_of(const std::string& way, tutti::mpi::limits limits) {
  report mine;
  going_on("disagreements" + way);
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  disagreements::each(size <= 2,
                      [&](const std::string& name, const std::string& text, const auto& call) {
                        try {
                          auto comm = tutti::mpi::world(of_this_run(limits));
                          disagreements::check(comm, mine, size - 1, name + way, text, call);
                          comm.leave();
                        } catch (const std::exception& e) {
                          mine.check(false, name + way + ": threw " + e.what());
                        }
                      });
  BOOST_CHECK_MESSAGE(agreed(mine), way << " failed on some rank, see above");
}

bool are_two() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size == 2;
}

} // namespace

BOOST_AUTO_TEST_CASE(in_shared_memory) {
  if (are_two()) all_of(", in shared memory", {});
}
BOOST_AUTO_TEST_CASE(where_the_kernel_copies) {
  if (are_two()) all_of(", attached", {.attached_bytes = 0});
}
BOOST_AUTO_TEST_CASE(by_messages) {
  all_of(", by messages", {.shared_memory = false});
}
// Those in shared memory wait for all others, those by messages for some of them.
BOOST_AUTO_TEST_CASE(by_messages_on_one_rank_and_in_shared_memory_on_the_others) {
  on_mpi("a ring beside shared memory", [](auto& comm, report& r) {
    disagreements::check(comm, r, comm.size() - 1, "a ring", "on tutti::ring",
                         [](auto& w, bool odd, const tutti::options& h) {
                           std::vector<float> x(300, 1);
                           odd ? tutti::all_reduce(w, x, tutti::ring{}, h)
                               : tutti::all_reduce(w, x, h);
                         });
  });
}

BOOST_AUTO_TEST_SUITE_END()
