// Decorators that only watch: ranks that share memory go on to use it, and nothing is missed.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/communicators/traced.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(communicators)

namespace {

using ranks = tutti::threads::communicator;
static_assert(tutti::direct_access_communicator<tutti::counted<ranks&>>);
static_assert(tutti::direct_access_communicator<tutti::traced<tutti::checked<tutti::counted<ranks&>&>&>>);
static_assert(!tutti::direct_access_communicator<tutti::decorator<ranks&>>);

/// What one rank sends in `call`, in shared memory and by messages.
template <class Call> bool counts_the_same(int size, Call call) {
  std::atomic<bool> same{true};
  tutti::threads::run(size, [&](auto& world) {
    tutti::counted shared{world};
    tutti::decorator<decltype((world))> plain{world};
    tutti::counted by_messages{plain};
    call(shared);
    call(by_messages);
    if (!(shared.sent().messages == by_messages.sent().messages &&
          shared.sent().bytes == by_messages.sent().bytes))
      same = false;
  });
  return same;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_call_without_messages_counts_as_its_messages) {
  for (const int size : {1, 2, 3, 5})
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{100000}}) {
      const auto reduces = [&](auto topology) {
        return counts_the_same(size, [&](auto& comm) {
          std::vector<float> data(n);
          tutti::all_reduce(comm, data, topology);
        });
      };
      BOOST_CHECK_MESSAGE(reduces(tutti::direct{}), "direct, " << size << " ranks, " << n);
      BOOST_CHECK_MESSAGE(reduces(tutti::one_shot{}), "one_shot, " << size << " ranks, " << n);
      BOOST_CHECK_MESSAGE(reduces(tutti::star{}), "star, " << size << " ranks, " << n);
      BOOST_CHECK_MESSAGE(counts_the_same(size, [&](auto& comm) {
                            std::vector<float> data(n * std::size_t(size));
                            tutti::all_gather(comm, data, tutti::direct{});
                            tutti::broadcast(comm, data, size - 1, tutti::star{});
                            tutti::reduce_scatter(comm, data, tutti::direct{});
                            tutti::barrier(comm);
                          }),
                          "copies, " << size << " ranks, " << n);
    }
}

BOOST_AUTO_TEST_CASE(symmetric_memory_is_reached_through_decorators) {
  std::atomic<int> right{0};
  tutti::threads::run(3, [&](auto& world) {
    tutti::counted counted{world};
    tutti::traced traced{counted};
    tutti::checked checked{traced};
    auto data = checked.template allocate<float>(1000);
    for (float& x : data) x = float(world.rank() + 1);
    auto again = tutti::persistent_all_reduce(checked, data);
    again.start();
    again.wait();
    bool all = checked.reaches(*data.memory());
    for (const float x : data) all = all && x == 6;
    right += all && traced.seconds() > 0 && counted.sent().messages > 0;
  });
  BOOST_CHECK_EQUAL(right, 3);
}

BOOST_AUTO_TEST_SUITE_END()
