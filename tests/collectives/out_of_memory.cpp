// One rank gets no memory, at any place of a call: its call throws std::bad_alloc, and the others,
// while it lives on, get peer_lost naming it.
#include "collectives/allocations.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <latch>
#include <new>
#include <optional>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(collectives)

namespace {

constexpr int ranks = 3, unlucky = 1;

struct buffers {
  std::vector<float> data = std::vector<float>(12, 1.0f);
  std::vector<float> all = std::vector<float>(36), other = all;
};
const tutti::options patient{.timeout = std::chrono::seconds{20}};

/// What becomes of the others when the rank's k-th allocation in the call is refused; false when the
/// call has no k-th.
template <class Call>
bool refused(const std::string& name, long k, const Call& call) {
  std::vector<std::string> wrong(ranks);
  bool came_to_it = false;
  std::latch others{ranks - 1};
  tutti::threads::run(ranks, [&](auto& world) {
    auto& mine = wrong[std::size_t(world.rank())];
    buffers b;
    if (world.rank() == unlucky) {
      refused_allocation = allocations + k;
      try {
        call(world, b);
      } catch (const std::bad_alloc&) {
        came_to_it = true;
      }
      refused_allocation = -1;
      if (!came_to_it) tutti::barrier(world, patient);
      others.wait();
      return;
    }
    try {
      call(world, b);
      tutti::barrier(world, patient);
      mine = "no error";
    } catch (const tutti::error& e) {
      if (e.code() != tutti::error_code::peer_lost || e.peer() != unlucky) mine = e.what();
    }
    others.count_down();
  });
  if (came_to_it)
    for (const std::string& text : wrong)
      BOOST_CHECK_MESSAGE(text.empty(), name << ", allocation " << k << ": " << text);
  return came_to_it;
}

template <class Call>
void sweep(const std::string& name, const Call& call) {
  long k = 1;
  while (k < 1000 && refused(name, k, call)) ++k;
  BOOST_CHECK_MESSAGE(k > 1, name << " asks for no memory, so this tests nothing");
  BOOST_CHECK_MESSAGE(k < 1000, name << " never ends");
}

} // namespace

BOOST_AUTO_TEST_CASE(a_rank_without_memory_is_named) {
  using tutti::direct, tutti::ring;
  sweep("gather", [](auto& w, auto& b) { tutti::gather(w, b.data, b.all, 0, patient); });
  sweep("scatter", [](auto& w, auto& b) { tutti::scatter(w, b.all, b.data, 0, patient); });
  sweep("all_to_all", [](auto& w, auto& b) { tutti::all_to_all(w, b.all, b.other, patient); });
  sweep("async_gather", [](auto& w, auto& b) {
    tutti::async_gather(w, b.data, b.all, 0, patient).wait();
  });
  sweep("all_reduce", [](auto& w, auto& b) { tutti::all_reduce(w, b.data, ring{}, patient); });
  sweep("async_all_reduce", [](auto& w, auto& b) {
    tutti::async_all_reduce(w, b.data, ring{}, patient).wait();
  });
  sweep("all_gather", [](auto& w, auto& b) { tutti::all_gather(w, b.data, ring{}, patient); });
  sweep("median", [](auto& w, auto& b) {
    tutti::all_reduce(w, b.data, tutti::median{}, direct{}, patient);
  });
  sweep("krum", [](auto& w, auto& b) {
    tutti::all_reduce(w, b.data, tutti::krum{.f = 0}, direct{}, patient);
  });
}

BOOST_AUTO_TEST_SUITE_END()
