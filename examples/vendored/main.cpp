// Four ranks, here threads of one process, replace their values by everyone's mean.
#include <tutti/tutti.hpp>

#include <array>
#include <cstdio>
#include <stdexcept>

int main() {
  tutti::threads::run(4, [](auto& comm) {
    std::array values{static_cast<float>(comm.rank()), 1.0f};

    tutti::all_reduce(comm, values, tutti::mean{}, tutti::ring{});

    if (values != std::array{1.5f, 1.0f}) throw std::runtime_error("the mean is wrong");
    if (comm.rank() == 0) std::printf("%d ranks agree: %g %g\n", comm.size(), values[0], values[1]);
  });
}
