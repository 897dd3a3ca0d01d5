// A library that sets a mode of arithmetic on one rank once it has begun: in shared memory, by messages and
// behind a progress thread, which begins with the mode of the rank that has started it.
#include "core/modes.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/tutti.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

/// Numbers whose sums are subnormal, and some whose sums have to be rounded.
std::vector<float> small_numbers(int rank, std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i)
    x[i] = i % 2 == 0 ? 1e-41f * float(i % 7 + 1) * float(rank + 1)
                      : 1.0f + 0.37e-7f * float(i % 11) * float(rank + 1);
  return x;
}

template <class... Parts>
void same_bits(tutti::mpi::communicator& world, report& r, const std::string& name, Parts... parts) {
  const std::size_t n = 3001;
  for (const std::size_t length : {std::size_t{5}, n}) {
    auto wanted = small_numbers(world.rank(), length);
    tutti::all_reduce(world, wanted, parts...);
    for (const modes::mode& mode : modes::all()) {
      auto got = small_numbers(world.rank(), length);
      {
        const modes::scope set{world.rank() == world.size() - 1 ? mode : modes::mode{}};
        auto request = tutti::async_all_reduce(world, got, parts...);
        request.wait();
      }
      r.check(std::memcmp(got.data(), wanted.data(), length * sizeof(float)) == 0,
              name + ", " + std::to_string(length) + " floats: " + mode.name +
                  " on one rank changes results");
    }
  }
}

void all_ways(tutti::mpi::communicator& world, report& r, const std::string& name) {
  same_bits(world, r, name + ", default topology");
  same_bits(world, r, name + ", recursive_doubling", tutti::recursive_doubling{}, tutti::mean{});
  same_bits(world, r, name + ", ring, bfloat16", tutti::ring{}, tutti::cast<tutti::bfloat16>{});
}

} // namespace

BOOST_AUTO_TEST_SUITE(modes_of_arithmetic)

BOOST_AUTO_TEST_CASE(on_one_rank_change_no_result) {
  on_mpi("modes in shared memory", [](auto& world, report& r) { all_ways(world, r, "shared"); });
  on_mpi("modes by messages", [](auto& world, report& r) { all_ways(world, r, "messages"); },
         {.shared_memory = false});
}

BOOST_AUTO_TEST_CASE(of_a_progress_thread_change_no_result) {
  if (!may_have_threads()) return; // seen with --at-once
  on_mpi("a progress thread that begins with a mode set", [](auto& world, report& r) {
    for (const modes::mode& mode : modes::all()) {
      const modes::scope set{world.rank() == 0 ? mode : modes::mode{}};
      tutti::mpi::communicator driven{MPI_COMM_WORLD,
                                      {.shared_memory = false, .progress_thread = true}};
      same_bits(driven, r, "driven, begun with " + mode.name, tutti::recursive_doubling{});
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
