// Every real element and every reducer that takes it, on threads.
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_CASE(real_elements_on_threads) {
  for (const int ranks : {3, 4})
    on_threads(ranks, [](auto& comm, report& r) {
      matrix::every_reducer<float>(comm, r);
      matrix::every_reducer<double>(comm, r);
      matrix::every_reducer<tutti::bfloat16>(comm, r);
      matrix::every_reducer<tutti::half>(comm, r);
    });
}
