// Every rank contributes a vector, every rank ends with the sum of all of them.
// test: 4
// test: 1
#include <tutti/tutti.hpp>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

// What one rank does. The same code runs on threads and, with tutti::mpi::run(argc, argv, program),
// on the processes of a cluster.
int main(int argc, char** argv) try {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 4;
  bool right = true;
  // example-begin hello
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> data(1000, 1.0f + static_cast<float>(world.rank()));

    tutti::all_reduce(world, data); // the sum, over the default topology

    if (world.rank() != 0) return;
    const float wanted = static_cast<float>(world.size() * (world.size() + 1)) / 2;
    std::printf("%d ranks: every element is %g, it should be %g\n", world.size(), data[0], wanted);
    right = std::accumulate(data.begin(), data.end(), 0.0f) == 1000 * wanted;
  });
  // example-end hello
  return right ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
