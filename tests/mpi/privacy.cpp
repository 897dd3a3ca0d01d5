// Noise under MPI: there is one, however many ranks add up.
#include "mpi/on_mpi.hpp"
#include "privacy/runs.hpp"

#include <tutti/communicators/self.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

BOOST_AUTO_TEST_SUITE(private_rounds_under_mpi)

BOOST_AUTO_TEST_CASE(there_is_noise_once_however_many_ranks) {
  constexpr std::size_t n = 100000;
  const tutti::privacy_plan plan{trial::all_of_them, tutti::expected_clients{}, tutti::fixed_clip{1},
                                 trial::known(tutti::gaussian_noise{1}), tutti::renyi_accountant{}, 1e-5};
  const auto once = [&](auto& comm) {
    trial::movers clients{2, {0}};
    std::vector<double> x(n);
    tutti::strategy{comm, tutti::federated{}, plan}.run(x, clients, {.rounds = 1});
    return x;
  };
  tutti::self alone;
  const std::vector<double> wanted = once(alone);
  double squares = 0;
  for (const double x : wanted) squares += 4 * x * x; // of the sum of two
  BOOST_CHECK_MESSAGE(std::abs(squares / n - 1) < .02, squares / n);
  on_mpi("noise", [&](auto& comm, report& r) {
    r.check(once(comm) == wanted, [] { return "other noise than on one rank"; });
  });
}

BOOST_AUTO_TEST_SUITE_END()
