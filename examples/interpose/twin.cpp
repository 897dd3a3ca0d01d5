#include "process.hpp"
#include "roomy.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

namespace interpose {

namespace {

/// MPI has a bounded number of communicators, of which a twin takes three or four, and each has
/// half a megabyte of shared memory a rank. Further communicators do without one.
constexpr std::size_t most_twins = 32;

/// The ranks of `users` without its attributes: tutti duplicates, and the program's copy functions
/// are none of its business.
MPI_Comm bare(MPI_Comm users) {
  const errors_returned quiet{users};
  MPI_Comm made = MPI_COMM_NULL;
  if (mpi().Comm_split(users, 0, 0, &made) != MPI_SUCCESS) return MPI_COMM_NULL;
  PMPI_Comm_set_errhandler(made, MPI_ERRORS_RETURN);
  return made;
}

std::optional<tutti::mpi::communicator> make_communicator(MPI_Comm users) {
  std::optional<tutti::mpi::communicator> made;
  const inside tutti;
  MPI_Comm from = bare(users);
  if (from == MPI_COMM_NULL) return made;
  try {
    made.emplace(from);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s - calls on this communicator are passed on to MPI\n", e.what());
  }
  mpi().Comm_free(&from);
  return made;
}

/// What ranks have to say about a twin. The least of them counts.
enum vote : int { never, later, now };

vote agreed(MPI_Comm users, vote mine) {
  int all = mine;
  mpi().Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, users);
  return vote(all);
}
bool has_room() {
  const auto held = running->hold();
  std::size_t count = 0;
  for (const auto& t : running->twins) count += t->comm.has_value();
  return count < most_twins;
}

/// Where it has said that memory cannot be shared; the same on all ranks. It would be slower than
/// MPI, and the next would say so again.
bool has_no_memory(const tutti::mpi::communicator& made) {
  const auto nodes = made.nodes();
  return made.stages().empty() && made.size() <= tutti::detail::most_shared_ranks &&
         std::equal(nodes.begin() + 1, nodes.end(), nodes.begin());
}

/// Everybody comes here before anybody sits in a call of MPI's in which nothing else moves.
void make_twin(twin& of) noexcept {
  of.tried = true;
  meet(of.users);
  bury_twins();
  const bool room = has_room() && !running->no_memory;
  const vote all = agreed(of.users, !room ? never : running->in_the_making > 0 ? later : now);
  if (all == later) {
    of.tried = false;
    of.uses = 0;
  }
  if (all != now) return;
  auto made = make_communicator(of.users);
  if (made && has_no_memory(*made)) {
    running->no_memory = true;
    const inside tutti;
    made.reset();
  }
  const bool served = agreed(of.users, made ? now : never) == now;
  const auto held = running->hold();
  const inside tutti;
  if (served) of.comm = std::move(made);
  else made.reset();
}

/// Their ranks in MPI_COMM_WORLD, MPI_UNDEFINED for those of other jobs.
std::vector<int> ranks_in_world(MPI_Group some) {
  MPI_Group world = MPI_GROUP_NULL;
  PMPI_Comm_group(MPI_COMM_WORLD, &world);
  int n = 0;
  PMPI_Group_size(some, &n);
  std::vector<int> ranks(static_cast<std::size_t>(n)), there(ranks.size(), MPI_UNDEFINED);
  std::iota(ranks.begin(), ranks.end(), 0);
  PMPI_Group_translate_ranks(some, n, ranks.data(), world, there.data());
  PMPI_Group_free(&world);
  PMPI_Group_free(&some);
  return there;
}

/// Collective over nothing.
twin* get_to_know(MPI_Comm users) {
  int between_groups = 1;
  if (PMPI_Comm_test_inter(users, &between_groups) != MPI_SUCCESS) return nullptr;
  auto t = std::make_shared<twin>();
  t->users = users;
  MPI_Group group = MPI_GROUP_NULL;
  PMPI_Comm_group(users, &group);
  t->ranks = ranks_in_world(group);
  if (between_groups) {
    PMPI_Comm_remote_group(users, &group);
    const auto others = ranks_in_world(group);
    t->ranks.insert(t->ranks.end(), others.begin(), others.end());
  }
  std::sort(t->ranks.begin(), t->ranks.end());
  t->within = std::find(t->ranks.begin(), t->ranks.end(), MPI_UNDEFINED) == t->ranks.end();
  t->may_be_served = t->within && !between_groups && t->ranks.size() > 1;
  const auto held = running->hold();
  running->twins.push_back(t);
  PMPI_Comm_set_attr(users, running->attribute, t.get());
  return t.get();
}

twin* already_known(MPI_Comm users) {
  void* value = nullptr;
  int found = 0;
  if (users == MPI_COMM_NULL || going::is(users)) return nullptr;
  PMPI_Comm_get_attr(users, running->attribute, &value, &found);
  return found ? static_cast<twin*>(value) : nullptr;
}

twin* to_serve_on(twin* t) {
  return t && t->comm ? t : nullptr;
}

/// Called within MPI, so the twin itself is ended later.
int forget(MPI_Comm, int, void* value, void*) {
  static_cast<twin*>(value)->freed = true;
  return MPI_SUCCESS;
}

} // namespace

twin::~twin() {
  const inside tutti;
  comm.reset();
}

twin* known(MPI_Comm users) {
  if (users == MPI_COMM_NULL || going::is(users)) return nullptr;
  if (twin* t = already_known(users)) return t;
  return get_to_know(users);
}

twin* find_twin(MPI_Comm users) {
  return to_serve_on(already_known(users));
}

twin* twin_of(MPI_Comm users) {
  twin* t = known(users);
  if (t && t->may_be_served && !t->tried && ++t->uses >= served_from)
    with_room([t] { make_twin(*t); });
  return to_serve_on(t);
}

twin* serve_at_once(MPI_Comm users) {
  if (twin* t = known(users)) t->uses = served_from;
  return twin_of(users);
}

void bury_twins() {
  const auto held = running->hold();
  std::erase_if(running->twins, [](const auto& t) { return t->freed && t.use_count() == 1; });
}

int twin_attribute() {
  int key = MPI_KEYVAL_INVALID;
  PMPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, forget, &key, nullptr);
  return key;
}

} // namespace interpose
