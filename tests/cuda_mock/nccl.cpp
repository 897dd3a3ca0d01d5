// Device memory between ranks by NCCL: schedules, NCCL's own collectives, and every way in which they fail.
#include "cuda_mock/nccl_mock.hpp"

#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/nccl.hpp>
#include <tutti/cuda/nccl_all_reduce.cuh>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace nccl {

using namespace mocked;
using namespace std::chrono_literals;
using kernel_memory::random_values;

/// A reducer of a user's own, with state: the largest magnitude, in steps of `step`.
struct coarse_peak {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  float step = 0.5f;

  template <class A>
  TUTTI_HD A identity() const {
    return A{0};
  }
  template <class A>
  TUTTI_HD A combine(A a, A b) const {
    const A x = a < 0 ? -a : a, y = b < 0 ? -b : b, most = x < y ? y : x;
    return step * A(int(most / step));
  }
};

inline void begin(std::uint64_t seed = 1) {
  mock::begin(seed);
  mock_nccl::begin();
}

/// Three calls behind each other, of values that are written late, and whether all ranks have the host's bits.
template <class T, class... Parts> bool equals_the_host(int ranks, std::size_t n, std::uint64_t seed, Parts... parts) {
  begin(seed);
  std::atomic<int> right = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on;
    const placed<T> data{on, std::vector<T>(n, T(1.0f))};
    T* const values = data.span().data();
    std::vector<T> wanted(n, T(1.0f));
    const tutti::options how{.weight = double(world.rank())};
    const auto reduce = [&](auto&& call) {
      if constexpr ((... || tutti::is_weighted<Parts>)) call(parts..., how);
      else call(parts...);
    };
    for (int k = 0; k < 3; ++k) {
      const auto more = random_values<T>(n, std::uint64_t(10 * k + world.rank()), false);
      const auto change = [more](T* of) {
        for (std::size_t i = 0; i < more.size(); ++i)
          of[i] = tutti::element_cast<T>(0.5f * float(of[i]) + float(more[i]));
      };
      change(wanted.data());
      reduce([&](const auto&... given) { tutti::all_reduce(world, wanted, given...); });
      mock::enqueue(on.handle(), [=] { change(values); });
      reduce([&](const auto&... given) { cuda::all_reduce(comm, on, data.span(), given...); });
    }
    comm.wait(on);
    right += data.values() == wanted;
  });
  return right == ranks && mock::left_over() + mock_nccl::left_over() == 0 && mock::races().empty();
}

/// What each of two ranks is refused with.
template <class Call> std::vector<std::string> refusals(Call&& call) {
  std::vector<std::string> all(2);
  std::atomic<int> over = 0;
  tutti::threads::run(2, [&](auto& world) {
    all[std::size_t(world.rank())] = refusal([&] { call(world); });
    ++over;
    while (over < 2) std::this_thread::yield(); // it has not left
  });
  return all;
}

BOOST_AUTO_TEST_SUITE(cuda_nccl)

BOOST_AUTO_TEST_CASE(schedules_run_over_nccl_with_any_reducer) {
  using tutti::bfloat16;
  for (int ranks = 1; ranks <= 9; ++ranks) {
    const auto seed = std::uint64_t(ranks);
    for (const std::size_t n : {0u, 3u, 1000u}) {
      BOOST_CHECK(equals_the_host<float>(ranks, n, seed, coarse_peak{}, tutti::ring{}));
      BOOST_CHECK(equals_the_host<bfloat16>(ranks, n, seed, tutti::mean{}, tutti::halving_doubling{}));
    }
    BOOST_CHECK(equals_the_host<float>(ranks, 100, seed, tutti::sum{}, tutti::double_tree{}));
    BOOST_CHECK(equals_the_host<float>(ranks, 100, seed, tutti::median{}, tutti::direct{}));
  }
  for (const int ranks : {2, 3, 17})
    BOOST_CHECK(equals_the_host<float>(ranks, 100, 1, tutti::weighted_mean{}, tutti::direct{}));
  BOOST_CHECK(equals_the_host<float>(3, 100, 2, tutti::weighted_mean{}, tutti::ring{}));
  BOOST_CHECK(equals_the_host<float>(3, 100, 3, tutti::reproducible_sum{}, tutti::ring{}));
}

BOOST_AUTO_TEST_CASE(each_round_is_one_group_and_no_message_is_empty) {
  begin();
  tutti::threads::run(3, [](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on;
    const placed<float> data{on, {1, 2}};
    cuda::all_reduce(comm, on, data.span(), tutti::ring{});
    comm.wait(on);
  });
  for (int rank = 0; rank < 3; ++rank) { // chunks of 1, 1 and 0 values, in four rounds
    const std::vector<std::string> all = mock_nccl::record(rank);
    BOOST_CHECK_LE(std::count(all.begin(), all.end(), "("), 4);
    BOOST_CHECK_EQUAL(std::count_if(all.begin(), all.end(), [](const auto& m) { return says(m, " x 4"); }),
                      std::count_if(all.begin(), all.end(), [](const auto& m) { return says(m, " x "); }));
  }
}

BOOST_AUTO_TEST_CASE(nccls_own_collective_is_taken_where_it_computes_the_same) {
  static_assert(cuda::nccl_computes<tutti::sum, float> && cuda::nccl_computes<tutti::mean, double>);
  static_assert(cuda::nccl_computes<tutti::min, int> && cuda::nccl_computes<tutti::product, long>);
  static_assert(!cuda::nccl_computes<tutti::min, float>, "a NaN could be lost");
  static_assert(!cuda::nccl_computes<tutti::sum, tutti::bfloat16>, "it is added up in bfloat16");
  static_assert(!cuda::nccl_computes<tutti::sum, short> && !cuda::nccl_computes<coarse_peak, float>);
  const auto taken = [](auto... parts) {
    begin();
    std::atomic<int> right = 0;
    tutti::threads::run(3, [&](auto& world) {
      cuda::nccl_communicator comm{world, 0};
      const cuda::stream on;
      const placed<float> data{on, std::vector<float>(10, float(world.rank()))};
      cuda::all_reduce(comm, on, data.span(), parts...);
      comm.wait(on);
      right += data.values() == std::vector<float>(10, 1.0f);
    });
    BOOST_CHECK_EQUAL(right, 3);
    return mock_nccl::calls("ncclAllReduce") == 3;
  };
  BOOST_CHECK(taken(tutti::mean{}));
  BOOST_CHECK(taken(tutti::mean{}, cuda::native{}));
  BOOST_CHECK(!taken(tutti::mean{}, tutti::ring{}));
  BOOST_CHECK(!taken(tutti::median{}));
}

BOOST_AUTO_TEST_CASE(broadcast_hands_out_what_the_root_holds) {
  begin();
  std::atomic<int> right = 0;
  tutti::threads::run(5, [&](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on;
    const placed<float> data{on, std::vector<float>(33, float(world.rank()))};
    cuda::broadcast(comm, on, data.span(), 3);
    comm.wait(on);
    right += data.values() == std::vector<float>(33, 3.0f);
    BOOST_CHECK(says(refusal([&] { cuda::broadcast(comm, on, data.span(), 5); }), "root is 5, ranks are 0 to 4"));
  });
  BOOST_CHECK_EQUAL(right, 5);
}

BOOST_AUTO_TEST_CASE(what_is_sent_before_its_producer_is_done_would_show) {
  for (const bool waits : {false, true}) {
    begin();
    tutti::threads::run(2, [&](auto& world) {
      cuda::nccl_communicator comm{world, 0};
      const cuda::stream producer, on;
      const cuda::device_buffer<float> data{on, 8};
      producer.wait_for(on);
      cuda::check(cudaMemsetAsync(data.span().data(), 0, 32, producer.handle()), "cudaMemsetAsync");
      if (waits) on.wait_for(producer);
      cuda::all_reduce(comm, on, data.span(), tutti::ring{});
      comm.wait(on);
      producer.wait();
    });
    BOOST_CHECK_EQUAL(mock::races().empty(), waits);
  }
}

BOOST_AUTO_TEST_CASE(nothing_follows_a_call_that_is_in_progress) {
  for (const bool at_once : {false, true}) { // also where the call itself has answered success
    mock_nccl::begin();
    for (const int looks : {1, 3, 300}) {
      begin();
      mock_nccl::in_progress(looks, at_once);
      std::atomic<int> right = 0;
      tutti::threads::run(3, [&](auto& world) {
        cuda::nccl_communicator comm{world, 0};
        const cuda::stream on;
        const placed<float> data{on, {1, 2, 3}};
        cuda::all_reduce(comm, on, data.span(), tutti::ring{});
        comm.wait(on);
        right += data.values() == std::vector<float>{3, 6, 9};
      });
      BOOST_CHECK_EQUAL(right, 3);
    }
  }
}

BOOST_AUTO_TEST_CASE(communicators_of_a_family_do_their_work_in_one_order) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    begin(seed);
    mock_nccl::one_at_a_time(true);
    std::atomic<int> right = 0;
    tutti::threads::run(4, [&](auto& world) {
      cuda::nccl_communicator comm{world, 0};
      auto part = comm.split(world.rank() % 2, 0);
      const cuda::stream first, second;
      const placed<float> a{first, std::vector<float>(8, 1)}, b{second, std::vector<float>(8, 1)};
      for (int k = 0; k < 3; ++k) {
        cuda::all_reduce(comm, first, a.span(), tutti::ring{});
        cuda::all_reduce(part, second, b.span(), tutti::ring{});
      }
      comm.wait(first);
      part.wait(second);
      right += a.values() == std::vector<float>(8, 64) && b.values() == std::vector<float>(8, 8);
    });
    BOOST_CHECK_EQUAL(right, 4);
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_does_not_come_is_a_timeout_on_all) {
  for (const bool blocks : {false, true}) { // and an abort that does not return changes nothing
    begin();
    mock_nccl::abort_blocks(blocks);
    const auto all = refusals([](auto& world) {
      cuda::nccl_communicator comm{world, 0};
      const cuda::stream on;
      const placed<float> data{on, {1}};
      if (world.rank() == 0) {
        cuda::all_reduce(comm, on, data.span(), tutti::ring{});
        comm.wait(on, {.timeout = 50ms});
      } else {
        for (;;) comm.wait(on); // hears of it
      }
    });
    BOOST_CHECK(says(all[0], "wait: timeout on rank 0: NCCL has not done this in time"));
    BOOST_CHECK(says(all[1], "timeout on rank 1"));
    mock_nccl::abort_blocks(false);
  }
}

BOOST_AUTO_TEST_CASE(a_communicator_ends_in_time_though_its_work_does_not) {
  begin();
  mock_nccl::abort_blocks(true);
  tutti::threads::run(2, [](auto& world) {
    BOOST_CHECK(says(refusal([&] {
                       cuda::nccl_communicator comm{world, 0};
                       const cuda::stream on;
                       const placed<float> data{on, {1}};
                       if (world.rank() == 0) cuda::all_reduce(comm, on, data.span(), tutti::ring{});
                       throw tutti::error{{.detail = "unwound"}};
                     }),
                     "unwound"));
  });
  mock_nccl::abort_blocks(false);
}

BOOST_AUTO_TEST_CASE(what_nccl_reports_late_is_an_error_on_all) {
  begin();
  const auto all = refusals([](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on;
    const placed<float> data{on, {1}};
    if (world.rank() == 0) {
      cuda::all_reduce(comm, on, data.span(), tutti::ring{});
      mock_nccl::async_error(0, ncclRemoteError);
    }
    for (;;) {
      comm.wait(on);
      cuda::all_reduce(comm, on, cuda::device_span<float>{}, tutti::ring{});
    }
  });
  BOOST_TEST_INFO(all[0] << " / " << all[1]);
  BOOST_CHECK(says(all[0], "wait: peer_lost on rank 0: NCCL has lost a rank"));
  BOOST_CHECK(says(all[0], "remote process exited: as the mock was told"));
  BOOST_CHECK(says(all[1], "peer_lost on rank 1"));
}

BOOST_AUTO_TEST_CASE(what_fails_on_one_rank_while_it_is_made_fails_on_all) {
  begin();
  mock_nccl::fail("ncclCommInitRankConfig", ncclInvalidUsage);
  for (const auto& said : refusals([](auto& world) { cuda::nccl_communicator comm{world, 0}; }))
    BOOST_CHECK(says(said, "unsupported") && says(said, "give each rank a GPU of its own"));
  begin();
  mock_nccl::fail("ncclGetUniqueId", ncclSystemError);
  for (const auto& said : refusals([](auto& world) { cuda::nccl_communicator comm{world, 0}; }))
    BOOST_CHECK(says(said, "transport") && says(said, "ncclGetUniqueId"));
}

BOOST_AUTO_TEST_CASE(what_fails_on_one_rank_within_a_call_fails_on_all) {
  const auto refused_after = [](auto&& breaks) {
    begin();
    return refusals([&](auto& world) {
      cuda::nccl_communicator comm{world, 0};
      const cuda::stream on;
      const placed<float> data{on, {1, 2}};
      tutti::barrier(world);
      if (world.rank() == 0) breaks();
      tutti::barrier(world);
      cuda::all_reduce(comm, on, data.span(), coarse_peak{}, tutti::ring{});
      comm.wait(on);
    });
  };
  for (const auto& said : refused_after([] { mock::fail("cudaMallocAsync", cudaErrorMemoryAllocation); }))
    BOOST_CHECK(says(said, "out_of_memory"));
  for (const auto& said : refused_after([] { mock_nccl::fail("ncclGroupEnd", ncclSystemError); }))
    BOOST_CHECK(says(said, "transport"));
  for (const auto& said : refused_after([] { mock_nccl::fail("ncclSend", ncclInternalError); }))
    BOOST_CHECK(says(said, "transport"));
}

BOOST_AUTO_TEST_CASE(what_it_refuses) {
  begin();
  tutti::threads::run(1, [](auto& world) {
    cuda::nccl_communicator comm{world, 0};
    const cuda::stream on, elsewhere{1};
    const placed<float> data{on, {1}}, there{elsewhere, {1}};
    BOOST_CHECK(says(refusal([&] { cuda::all_reduce(comm, on, there.span()); }),
                     "a span is on device 1 and the stream on device 0"));
    BOOST_CHECK(says(refusal([&] { cuda::all_reduce(comm, elsewhere, there.span()); }),
                     "this communicator is on device 0 and the stream on device 1"));
    mock::capture(on.handle(), true);
    cuda::all_reduce(comm, on, data.span()); // NCCL's own becomes a part of the graph
    BOOST_CHECK(says(refusal([&] { comm.wait(on); }), "what is captured is waited for when the graph runs"));
    BOOST_CHECK(says(refusal([&] { cuda::all_reduce(comm, on, data.span(), tutti::ring{}); }),
                     "unsupported on rank 0: this stream is being captured - memory for what arrives"));
    mock::capture(on.handle(), false);
    BOOST_CHECK(says(refusal([&] { cuda::all_reduce(comm, on, data.span()); }), "this communicator has failed before"));
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace nccl
