// One process of a job of ps-lite, one server and one worker: a push of 1 MiB and the pull of the answer, with a step
// of SGD between them, as bench/training/parameter_server_rank.cpp has it by tutti. The worker prints "ps_lite BYTES
// MICROSECONDS". Built and run by ps_lite.sh.
#include <tutti/optimizers/sgd.hpp>

#include <ps/ps.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

constexpr std::size_t n = std::size_t{1} << 18, bytes = n * sizeof(float);
constexpr int warm_up = 20, times = 201;
constexpr tutti::sgd descends{.learning_rate = .01};

/// A view of memory that outlives the run.
template <class T>
ps::SArray<T> view(T* data, std::size_t length) {
  return {data, length, false};
}

struct served {
  std::vector<float> values = std::vector<float>(n, .5f), velocity = std::vector<float>(n);
  ps::Key key = 0;
  int length = int(bytes);
  std::int64_t steps = 0;

  void handle(const ps::KVMeta& asked, const ps::KVPairs<char>& came, ps::KVServer<char>* by) {
    ps::KVPairs<char> answer;
    if (asked.push) {
      const auto* gradients = reinterpret_cast<const float*>(came.vals.data());
      tutti::update<float>(descends, ++steps, std::span{values}, std::span{gradients, n}, {std::span{velocity}});
    } else {
      answer.keys = view(&key, 1);
      answer.vals = view(reinterpret_cast<char*>(values.data()), bytes);
      answer.lens = view(&length, 1);
    }
    by->Response(asked, answer);
  }
};

void work() {
  ps::KVWorker<char> worker{0, 0};
  std::vector<float> gradients(n, .25f), values(n);
  ps::Key key = 0;
  int length = int(bytes);
  const auto keys = view(&key, 1);
  auto lengths = view(&length, 1);
  const auto push = view(reinterpret_cast<char*>(gradients.data()), bytes);
  auto pull = view(reinterpret_cast<char*>(values.data()), bytes);
  std::vector<double> all;
  for (int k = 0; k < warm_up + times; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    const int pushed = worker.ZPush(keys, push, lengths);
    const int pulled = worker.ZPull(keys, &pull, &lengths); // taken in turn, so it need not wait for the push
    worker.Wait(pushed);
    worker.Wait(pulled);
    if (k >= warm_up)
      all.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(all.begin(), all.begin() + times / 2, all.end());
  if (!(values[0] < .5f)) std::exit(1);
  std::printf("ps_lite %zu %.3f\n", bytes, all[times / 2]);
}

} // namespace

int main() {
  ps::Start(0);
  served model;
  if (ps::IsServer()) {
    auto* server = new ps::KVServer<char>(0);
    server->set_request_handle([&](const ps::KVMeta& asked, const ps::KVPairs<char>& came, ps::KVServer<char>* by) {
      model.handle(asked, came, by);
    });
    ps::RegisterExitCallback([server] { delete server; });
  }
  if (ps::IsWorker()) work();
  ps::Finalize(0, true);
}
