// NCCL itself, on one GPU.
#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/nccl.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace nccl_on_device {

namespace cuda = tutti::cuda;

inline bool there_is_none() {
  if (cuda::device_count() > 0) return false;
  std::puts("skipped: there is no GPU here");
  return true;
}

BOOST_AUTO_TEST_SUITE(cuda_device)

BOOST_AUTO_TEST_CASE(a_rank_alone_reduces_and_sends_to_itself) {
  if (there_is_none()) return;
  tutti::threads::run(1, [](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on{0};
    const cuda::device_buffer<float> data{on, 5}, arrives{on, 5};
    const std::vector<float> values{1, -2, 3, 0.5f, 7};
    std::vector<float> got(5), sent(5);
    const auto copy = [&](void* to, const void* from) {
      cuda::check(cudaMemcpyAsync(to, from, 5 * sizeof(float), cudaMemcpyDefault, on.handle()), "cudaMemcpyAsync");
    };
    copy(data.span().data(), values.data());
    auto reduced = comm.native_all_reduce(on, tutti::mean{}, data.span());
    const auto bytes = [](auto span) {
      return std::span<std::byte>{reinterpret_cast<std::byte*>(span.data()), span.size() * sizeof(float)};
    };
    const tutti::outgoing send{0, bytes(data.span())};
    const tutti::incoming receive{0, bytes(arrives.span())};
    auto round = comm.exchange(cuda::stream_execution{on}, 0, {{&send, 1}, {&receive, 1}});
    comm.wait(on);
    BOOST_CHECK(reduced.test() && round.test());
    copy(got.data(), data.span().data());
    copy(sent.data(), arrives.span().data());
    on.wait();
    BOOST_CHECK(got == values && sent == values);
  });
}

// Before NCCL 2.30, which can be told to allow it.
BOOST_AUTO_TEST_CASE(two_ranks_on_one_gpu_are_refused) {
  if (there_is_none()) return;
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess || version >= 23000) return;
  std::vector<std::string> said(2);
  tutti::threads::run(2, [&](auto& world) {
    try {
      const cuda::nccl_communicator comm{world, 0};
    } catch (const tutti::error& e) {
      said[std::size_t(world.rank())] = e.what();
    }
  });
  for (const auto& why : said)
    BOOST_CHECK_MESSAGE(why.find("give each rank a GPU of its own") != std::string::npos, why);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace nccl_on_device
