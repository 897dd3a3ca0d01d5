#include "everywhere.hpp"

#include "itself.hpp"
#include "twin.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

namespace interpose {

namespace {

using clock = std::chrono::steady_clock;

/// How long one waits for a rank that may not carry it. MPI_Init, which lies behind, ends on all
/// ranks at about the same time; only jobs that do lack a rank wait that long.
constexpr std::chrono::seconds patience{5};

/// What ranks say of themselves. Nothing here waits for another rank.
class names {
public:
  explicit names(const char* job) : job_{job} {}

  bool say(const std::string& who, const char* what) const {
    return PMPI_Publish_name(of(who).c_str(), MPI_INFO_NULL, what) == MPI_SUCCESS;
  }
  void withdraw(const std::string& who, const char* what) const {
    PMPI_Unpublish_name(of(who).c_str(), MPI_INFO_NULL, what);
  }
  std::optional<std::string> said(const std::string& who) const {
    char what[MPI_MAX_PORT_NAME] = {};
    if (PMPI_Lookup_name(of(who).c_str(), MPI_INFO_NULL, what) != MPI_SUCCESS) return std::nullopt;
    return what;
  }
  std::optional<std::string> said(const std::string& who, clock::time_point until) const {
    for (;;) {
      const bool late = clock::now() >= until;
      auto what = said(who);
      if (what || late) return what;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }

private:
  /// Without blanks, at which MPICH's launcher would cut it.
  std::string of(const std::string& who) const { return "tutti-interposer-" + job_ + '-' + who; }

  std::string job_;
};

constexpr const char *says_here = "here", *says_off = "off", *all_serve = "serve",
                     *all_pass = "pass";

bool missing() {
  std::fprintf(stderr, "tutti interposer: not every rank of this job carries it, so MPI serves all "
                       "calls - preload it on every rank\n");
  return false;
}

/// Rank 0 looks at all others, and says what is to be done.
bool decided(const names& all, int size, clock::time_point until) {
  bool everyone = true, wanted = true;
  for (int r = 1; r < size && everyone && wanted; ++r) {
    const auto what = all.said(std::to_string(r), until);
    everyone = what.has_value();
    wanted = what != says_off;
  }
  all.say("all", everyone && wanted ? all_serve : all_pass);
  return everyone ? wanted : missing();
}

/// Takes back what it has said before it gives up, and looks again after that: so rank 0 has either
/// seen it, and says what all do, or will not.
bool told(const names& all, const std::string& me, clock::time_point until) {
  auto first = all.said("0", until);
  if (!first) {
    all.withdraw(me, says_here);
    first = all.said("0");
  }
  if (!first) return missing();
  if (first == says_off) return false;
  return all.said("all", clock::time_point::max()) == all_serve;
}

bool is_wanted_by_all(bool wanted) {
  int all = wanted;
  mpi().Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  return all != 0;
}

} // namespace

bool everyone_takes_part(bool wanted) {
  int rank = 0, size = 1;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  PMPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == 1) return wanted;
  MPI_Comm parent = MPI_COMM_NULL;
  PMPI_Comm_get_parent(&parent);
  const char* job = std::getenv("PMIX_NAMESPACE");
  if (parent != MPI_COMM_NULL && !job) return false;

  const errors_returned in_world{MPI_COMM_WORLD}, in_self{MPI_COMM_SELF};
  const names all{job ? job : ""};
  const auto until = clock::now() + patience;
  const std::string me = std::to_string(rank);
  if (!all.say(me, wanted ? says_here : says_off)) return is_wanted_by_all(wanted);
  if (!wanted) return false;
  if (!(rank == 0 ? decided(all, size, until) : told(all, me, until))) return false;
  mpi().Barrier(MPI_COMM_WORLD); // all have read it
  all.withdraw(me, says_here);
  if (rank == 0) all.withdraw("all", all_serve);
  return true;
}

} // namespace interpose
