// Every integer element and every reducer that takes it, on threads.
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_CASE(integer_elements_on_threads) {
  for (const int ranks : {3, 4})
    on_threads(ranks, [](auto& comm, report& r) {
      matrix::every_reducer<std::int8_t>(comm, r);
      matrix::every_reducer<std::uint8_t>(comm, r);
      matrix::every_reducer<std::int16_t>(comm, r);
      matrix::every_reducer<std::int32_t>(comm, r);
      matrix::every_reducer<std::uint32_t>(comm, r);
      matrix::every_reducer<std::int64_t>(comm, r);
      matrix::every_reducer<std::uint64_t>(comm, r);
    });
}
