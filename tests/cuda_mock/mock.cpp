#include "mock.hpp"

#include <tutti/core/random.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

/// Of a piece of work: how many of each stream's come before it.
using vector_clock = std::map<const CUstream_st*, int>;

struct CUevent_st {
  int recorded = 0, over = 0; ///< how often
  int device = 0;
  bool gone = false, is_shared = false, captured = false;
  vector_clock before = {};   ///< what has happened when it comes
  CUevent_st* of = nullptr;   ///< which this is another process's view of
};
struct CUstream_st {
  struct work {
    std::function<bool()> ready;
    std::function<void()> run;
  };
  int device = 0;
  bool captured = false, invalidated = false;
  std::deque<work> queue;
  vector_clock before = {}; ///< what has happened when the last of it is done
};

namespace mock {
namespace {

/// All memory of devices. The host cannot reach it, but while work of a stream is done.
class device_arena {
public:
  device_arena() : begin_{mmap(nullptr, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)} {
    if (begin_ == MAP_FAILED) throw std::bad_alloc{};
  }
  unsigned char* take(std::size_t bytes) {
    const std::size_t at = used_;
    if (bytes > most - at - page) throw std::bad_alloc{};
    used_ = (at + bytes + 256) / 256 * 256;
    return static_cast<unsigned char*>(begin_) + at;
  }
  void give_back_all() noexcept { used_ = 0; }

  static device_arena& of() {
    static device_arena one;
    return one;
  }

  void reach(int how, int change) noexcept {
    const int before = depth_;
    depth_ += change;
    if (before == 0 || depth_ == 0) mprotect(begin_, (used_ + page) / page * page, how);
  }

private:
  static constexpr std::size_t most = std::size_t{1} << 32, page = 1 << 16;
  void* begin_;
  std::size_t used_ = 0;
  int depth_ = 0;
};

void merge(vector_clock& into, const vector_clock& from) {
  for (const auto& [stream, n] : from) into[stream] = (std::max)(into[stream], n);
}

/// Bytes that work of a stream reads or writes.
struct access {
  const unsigned char *begin, *end;
  bool writes;
  const CUstream_st* by;
  int number;
  std::string what;
};

struct allocation {
  unsigned char* memory = nullptr;
  std::unique_ptr<unsigned char[]> of_host; ///< where it is that
  std::size_t bytes = 0;
  int device = 0;
  bool in_use = true;
  CUstream_st* freed_on = nullptr; ///< until that is done
  bool is_plain = false;           ///< of cudaMalloc
  int frees = 0;                   ///< so far; memory that was had again at once is freed again before that
  cudaMemoryType type = cudaMemoryTypeDevice;
  std::vector<access> accesses = {}; ///< that others may have to wait for
};

struct machine {
  tutti::random_stream random{1};
  std::list<allocation> memory;
  std::list<CUstream_st> streams;
  std::list<CUevent_st> events;
  int live_streams = 0, live_events = 0;
  std::map<std::string, int> calls;
  std::size_t to_host = 0;
  struct failure {
    std::string call;
    cudaError_t status;
    int n;
  };
  std::vector<failure> failures;
  bool unloaded = false;
  std::set<std::pair<int, int>> reaches; ///< device, and the device whose memory it reaches
  bool has_peers = true;
  std::vector<std::function<void()>> graph; ///< what captured streams were given
  std::map<const void*, std::set<std::thread::id>> opened; ///< memory, and who has it open
  bool meetings = false; ///< some work waits for work of other threads
  vector_clock known;    ///< what threads of the host have waited for; they tell each other
  std::vector<std::string> races;
};
machine all;
std::recursive_mutex one_at_a_time;
thread_local int current = 0;
thread_local cudaError_t last = cudaSuccess;
thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;

/// What a call answers, which is remembered if it is an error.
cudaError_t answer(cudaError_t status) {
  if (status != cudaSuccess) last = status;
  return status;
}
/// The beginning of every call; anything but success is its answer.
cudaError_t begun(const char* call) {
  ++all.calls[call];
  if (all.unloaded) return answer(cudaErrorCudartUnloading);
  for (std::size_t k = 0; k < all.failures.size(); ++k)
    if (all.failures[k].call == call && all.failures[k].n-- == 0) {
      const cudaError_t status = all.failures[k].status;
      all.failures.erase(all.failures.begin() + std::ptrdiff_t(k));
      return answer(status);
    }
  return cudaSuccess;
}

/// One piece of work of a stream that can go on; false where none can.
bool advance(CUstream_st& s) {
  if (s.queue.empty() || !s.queue.front().ready()) return false;
  auto work = std::move(s.queue.front());
  s.queue.pop_front();
  const reaching for_work;
  work.run();
  return true;
}
/// One stream gets on, any that can; false where none can.
bool advance_any() {
  std::vector<CUstream_st*> able;
  for (auto& s : all.streams)
    if (!s.queue.empty() && s.queue.front().ready()) able.push_back(&s);
  if (able.empty()) return false;
  advance(*able[all.random.below(std::uint32_t(able.size()))]);
  return true;
}
/// Streams get on, in any order, until `over`. Where none can, other threads may have more to give them for a while.
bool work_until(const std::function<bool()>& over) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (!over()) {
    if (advance_any()) continue;
    if (!all.meetings || std::chrono::steady_clock::now() > until) return false;
    one_at_a_time.unlock();
    std::this_thread::yield();
    one_at_a_time.lock();
  }
  return true;
}
void push(
    cudaStream_t on, std::function<void()> run, std::function<bool()> ready = [] { return true; }) {
  merge(on->before, all.known);
  ++on->before[on];
  if (on->captured) all.graph.push_back(run);
  on->queue.push_back({std::move(ready), std::move(run)});
  if (all.random.below(3) == 0) { // some other stream gets on meanwhile
    auto s = all.streams.begin();
    std::advance(s, all.random.below(std::uint32_t(all.streams.size())));
    advance(*s);
  }
}
/// A call that is not allowed while any stream is captured, by a thread that has not said that it may be made.
void not_in_a_capture() {
  if (mode == cudaStreamCaptureModeRelaxed) return;
  for (auto& s : all.streams) s.invalidated = s.invalidated || s.captured;
}
/// `what` touches memory now that work which is in none of `before` has touched or will touch.
void touch(allocation& a, access what, const vector_clock& before) {
  for (const access& other : a.accesses) {
    if (!(what.writes || other.writes) || what.end <= other.begin || other.end <= what.begin) continue;
    const auto seen = before.find(other.by);
    if (other.by != what.by && (seen == before.end() || seen->second < other.number))
      all.races.push_back(what.what + " does not wait for " + other.what);
  }
  const auto hidden = [&](const access& other) { // by this one, for all who wait for it
    return other.by == what.by && (what.writes || !other.writes) && what.begin <= other.begin && other.end <= what.end;
  };
  a.accesses.erase(std::remove_if(a.accesses.begin(), a.accesses.end(), hidden), a.accesses.end());
  if (what.by) a.accesses.push_back(std::move(what));
}
allocation* holding(const void* p) {
  for (auto& a : all.memory)
    if (a.in_use && p >= a.memory && p < a.memory + a.bytes) return &a;
  return nullptr;
}
void* allocate(std::size_t bytes, int device, cudaMemoryType type, CUstream_st* on) {
  for (auto& a : all.memory) // reused addresses
    if (!a.in_use && a.bytes == bytes && a.device == device && a.type == type && (!a.freed_on || a.freed_on == on)) {
      a.in_use = true;
      if (!a.freed_on) a.accesses.clear(); // who had it before is done with it
      return a.memory;
    }
  allocation& made = all.memory.emplace_back();
  if (type == cudaMemoryTypeHost) made.of_host = std::make_unique<unsigned char[]>(bytes);
  made.memory = made.of_host ? made.of_host.get() : device_arena::of().take(bytes);
  made.bytes = bytes, made.device = device, made.type = type;
  const reaching for_poison;
  std::memset(made.memory, 0xa5, bytes);
  return made.memory;
}

} // namespace

reaching::reaching() { device_arena::of().reach(PROT_READ | PROT_WRITE, 1); }
reaching::~reaching() { device_arena::of().reach(PROT_NONE, -1); }

void begin(std::uint64_t seed) {
  all = machine{};
  device_arena::of().give_back_all();
  all.random = tutti::random_stream{seed};
  current = 0;
  last = cudaSuccess;
}
std::recursive_mutex& guard() {
  return one_at_a_time;
}
void enqueue(cudaStream_t on, std::function<void()> work) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  push(on, std::move(work));
}
void enqueue_meeting(cudaStream_t on, std::function<bool()> ready) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  all.meetings = true;
  push(
      on, [] {}, std::move(ready));
}
namespace {
bool copies(const char* what) {
  return std::string_view{what}.starts_with("cuda");
}
} // namespace
void touches(cudaStream_t on, const void* memory, std::size_t bytes, bool writes, const char* what) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  allocation* const a = holding(memory);
  const auto* const begin = static_cast<const unsigned char*>(memory);
  if (!a) return;
  if (a->type == cudaMemoryTypeDevice && a->device != on->device && !copies(what) &&
      all.reaches.count({on->device, a->device}) == 0 && all.opened[a->memory].empty())
    all.races.push_back(std::string{what} + " does not reach another device");
  merge(on->before, all.known);
  const unsigned char* const end = bytes > 0 ? begin + bytes : a->memory + a->bytes;
  touch(*a, {begin, end, writes, on, on->before[on], what}, on->before);
}
void have_peers(bool they_reach) {
  all.has_peers = they_reach;
}
std::vector<std::string> races() {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  return all.races;
}
void get_on() {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  advance_any();
}
void fail(const std::string& call, cudaError_t status, int n) {
  all.failures.push_back({call, status, n});
}
int calls(const std::string& call) {
  return all.calls[call];
}
std::size_t bytes_to_host() {
  return all.to_host;
}
void touches_here(const void* memory, std::size_t bytes, bool writes, const char* what) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  const auto* const begin = static_cast<const unsigned char*>(memory);
  if (allocation* const a = holding(memory)) touch(*a, {begin, begin + bytes, writes, nullptr, 0, what}, all.known);
}
int left_over() {
  int n = all.live_streams + all.live_events;
  for (const auto& a : all.memory) n += a.in_use;
  return n;
}
void unload() {
  all.unloaded = true;
}
void capture(cudaStream_t on, bool is_captured) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  on->captured = is_captured;
  on->invalidated = false;
  if (is_captured) return all.graph.clear();
  for (auto& s : all.streams) s.captured = false; // all that have joined
}
void replay(cudaStream_t on) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  push(on, [graph = all.graph] {
    for (const auto& work : graph) work();
  });
}
bool is_invalidated(cudaStream_t on) {
  const std::lock_guard<std::recursive_mutex> held{one_at_a_time};
  return on->invalidated;
}
void* device_memory(std::size_t bytes, int device) {
  return allocate(bytes, device, cudaMemoryTypeDevice, nullptr);
}

} // namespace mock

using namespace mock;

#define MOCK_BEGINS(call)                                                                                              \
  const std::lock_guard<std::recursive_mutex> held_{one_at_a_time};                                                    \
  if (const cudaError_t begins_ = begun(#call); begins_ != cudaSuccess) return begins_

extern "C" {

const char* cudaGetErrorName(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "an error";
}
const char* cudaGetErrorString(cudaError_t) {
  return "as the mock was told";
}
cudaError_t cudaGetLastError() {
  return std::exchange(last, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return last;
}

cudaError_t cudaGetDeviceCount(int* count) {
  MOCK_BEGINS(cudaGetDeviceCount);
  *count = 2;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  MOCK_BEGINS(cudaGetDevice);
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  MOCK_BEGINS(cudaSetDevice);
  if (device < 0 || device > 1) return answer(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* facts, const void* p) {
  MOCK_BEGINS(cudaPointerGetAttributes);
  *facts = {};
  facts->type = cudaMemoryTypeUnregistered;
  if (const allocation* a = holding(p)) facts->type = a->type, facts->device = a->device;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* to, unsigned flags) {
  MOCK_BEGINS(cudaStreamCreateWithFlags);
  if (flags != cudaStreamNonBlocking) return answer(cudaErrorInvalidValue);
  all.streams.emplace_back().device = current;
  ++all.live_streams;
  *to = &all.streams.back();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  MOCK_BEGINS(cudaStreamDestroy); // its work is done all the same
  --all.live_streams;
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t of, int* device) {
  MOCK_BEGINS(cudaStreamGetDevice);
  *device = of->device;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t of, cudaStreamCaptureStatus* status) {
  MOCK_BEGINS(cudaStreamIsCapturing);
  *status = of->captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t of) {
  MOCK_BEGINS(cudaStreamSynchronize);
  not_in_a_capture();
  if (!work_until([&] { return of->queue.empty(); })) return answer(cudaErrorUnknown);
  merge(all.known, of->before);
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* to) {
  MOCK_BEGINS(cudaThreadExchangeStreamCaptureMode);
  std::swap(*to, mode);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t on, cudaEvent_t e, unsigned) {
  MOCK_BEGINS(cudaStreamWaitEvent);
  if (e->gone) return answer(cudaErrorInvalidResourceHandle);
  if (e->of) e = e->of;
  if (on->captured && !e->captured) return answer(cudaErrorStreamCaptureIsolation);
  on->captured = e->captured; // it joins
  merge(on->before, e->before);
  push(
      on, [] {}, [e, n = e->recorded] { return e->over >= n; });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* to, unsigned how) {
  MOCK_BEGINS(cudaEventCreateWithFlags);
  all.events.emplace_back().device = current;
  all.events.back().is_shared = (how & cudaEventInterprocess) != 0;
  ++all.live_events;
  *to = &all.events.back();
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  MOCK_BEGINS(cudaEventDestroy); // who waits for it already goes on waiting
  e->gone = true;
  --all.live_events;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t on) {
  MOCK_BEGINS(cudaEventRecord);
  if (e->device != on->device) return answer(cudaErrorInvalidResourceHandle);
  ++e->recorded;
  e->captured = on->captured;
  push(on, [e, n = e->recorded] { e->over = n; });
  e->before = on->before;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  MOCK_BEGINS(cudaEventQuery);
  not_in_a_capture();
  if (e->over != e->recorded) advance_any();
  if (e->over != e->recorded) return answer(cudaErrorNotReady);
  merge(all.known, e->before);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  MOCK_BEGINS(cudaEventSynchronize);
  not_in_a_capture();
  if (!work_until([&] { return e->over == e->recorded; })) return answer(cudaErrorUnknown);
  merge(all.known, e->before);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** to, std::size_t bytes, cudaStream_t on) {
  MOCK_BEGINS(cudaMallocAsync);
  if (on->device != current) return answer(cudaErrorInvalidValue);
  if (bytes > std::size_t{1} << 40) return answer(cudaErrorMemoryAllocation);
  *to = allocate(bytes, on->device, cudaMemoryTypeDevice, on);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t on) {
  MOCK_BEGINS(cudaFreeAsync);
  allocation* const a = holding(p);
  if (!a || a->memory != p) return answer(cudaErrorInvalidValue);
  a->in_use = false;
  a->freed_on = on;
  push(on, [a, n = ++a->frees] {
    std::memset(a->memory, 0xa5, a->bytes);
    if (a->frees == n) a->freed_on = nullptr;
  });
  touch(*a, {a->memory, a->memory + a->bytes, true, on, on->before[on], "cudaFreeAsync"}, on->before);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** to, std::size_t bytes) {
  MOCK_BEGINS(cudaMalloc);
  not_in_a_capture();
  if (bytes > std::size_t{1} << 40) return answer(cudaErrorMemoryAllocation);
  *to = allocate(bytes, current, cudaMemoryTypeDevice, nullptr);
  holding(*to)->is_plain = true;
  return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
  MOCK_BEGINS(cudaFree);
  allocation* const a = holding(p);
  if (!a || a->memory != p || !a->is_plain) return answer(cudaErrorInvalidValue);
  touch(*a, {a->memory, a->memory + a->bytes, true, nullptr, 0, "cudaFree"}, all.known);
  if (!all.opened[a->memory].empty()) all.races.push_back("memory is freed that others have open");
  a->accesses.clear();
  const reaching for_poison;
  std::memset(p, 0xa5, a->bytes);
  a->in_use = a->is_plain = false;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  MOCK_BEGINS(cudaDeviceCanAccessPeer);
  *can = all.has_peers;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  MOCK_BEGINS(cudaDeviceEnablePeerAccess);
  return all.reaches.insert({current, peer}).second ? cudaSuccess : answer(cudaErrorPeerAccessAlreadyEnabled);
}
/// Of what lies at an address: the next allocation there has the same.
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* to, void* p) {
  MOCK_BEGINS(cudaIpcGetMemHandle);
  const allocation* const a = holding(p);
  if (!a || a->memory != p || !a->is_plain) return answer(cudaErrorInvalidValue);
  *to = {};
  std::memcpy(to, &p, sizeof p);
  return cudaSuccess;
}
cudaError_t cudaIpcOpenMemHandle(void** to, cudaIpcMemHandle_t handle, unsigned flags) {
  MOCK_BEGINS(cudaIpcOpenMemHandle);
  if (flags != cudaIpcMemLazyEnablePeerAccess) return answer(cudaErrorInvalidValue);
  std::memcpy(to, &handle, sizeof *to);
  if (!holding(*to)) return answer(cudaErrorInvalidValue);
  return all.opened[*to].insert(std::this_thread::get_id()).second ? cudaSuccess : answer(cudaErrorAlreadyMapped);
}
cudaError_t cudaIpcCloseMemHandle(void* p) {
  MOCK_BEGINS(cudaIpcCloseMemHandle);
  return all.opened[p].erase(std::this_thread::get_id()) > 0 ? cudaSuccess : answer(cudaErrorInvalidValue);
}
cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* to, cudaEvent_t e) {
  MOCK_BEGINS(cudaIpcGetEventHandle);
  if (!e->is_shared) return answer(cudaErrorInvalidResourceHandle);
  *to = {};
  std::memcpy(to, &e, sizeof e);
  return cudaSuccess;
}
cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* to, cudaIpcEventHandle_t handle) {
  MOCK_BEGINS(cudaIpcOpenEventHandle);
  CUevent_st& made = all.events.emplace_back();
  std::memcpy(&made.of, &handle, sizeof made.of);
  ++all.live_events;
  *to = &made;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** to, std::size_t bytes) {
  MOCK_BEGINS(cudaMallocHost);
  not_in_a_capture();
  *to = allocate(bytes, -1, cudaMemoryTypeHost, nullptr);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
  MOCK_BEGINS(cudaFreeHost);
  allocation* const a = holding(p);
  if (!a || a->memory != p) return answer(cudaErrorInvalidValue);
  touch(*a, {a->memory, a->memory + a->bytes, true, nullptr, 0, "cudaFreeHost"}, all.known);
  a->accesses.clear();
  std::memset(p, 0xa5, a->bytes); // at once: it is not in the order of any stream
  a->in_use = false;
  return cudaSuccess;
}
cudaError_t cudaHostRegister(void* p, std::size_t bytes, unsigned) {
  MOCK_BEGINS(cudaHostRegister);
  const auto* const begin = static_cast<unsigned char*>(p);
  if (holding(begin) || holding(begin + bytes - 1)) return answer(cudaErrorHostMemoryAlreadyRegistered);
  allocation& made = all.memory.emplace_back();
  made.memory = static_cast<unsigned char*>(p);
  made.bytes = bytes, made.device = -1, made.type = cudaMemoryTypeHost;
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* p) {
  MOCK_BEGINS(cudaHostUnregister);
  const allocation* const a = holding(p);
  if (!a || a->memory != p || a->of_host) return answer(cudaErrorHostMemoryNotRegistered);
  all.memory.remove_if([&](const allocation& one) { return &one == a; });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t on) {
  MOCK_BEGINS(cudaMemsetAsync);
  push(on, [=] { std::memset(to, value, bytes); });
  mock::touches(on, to, bytes, true, "cudaMemsetAsync");
  return cudaSuccess;
}
/// Memory of the host that is not pinned is read before the call returns, and written before it does, as documented.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t on) {
  MOCK_BEGINS(cudaMemcpyAsync);
  if (on->captured && !(holding(from) && holding(to))) return answer(cudaErrorStreamCaptureUnsupported);
  if (!holding(from)) {
    auto staged = std::make_shared<std::vector<unsigned char>>(static_cast<const unsigned char*>(from),
                                                               static_cast<const unsigned char*>(from) + bytes);
    push(on, [=] { std::memcpy(to, staged->data(), bytes); });
    if (bytes > 0) mock::touches(on, to, bytes, true, "cudaMemcpyAsync");
    return cudaSuccess;
  }
  push(on, [=] { std::memcpy(to, from, bytes); });
  if (bytes == 0) return cudaSuccess;
  if (const allocation* const a = holding(to); !a || a->type != cudaMemoryTypeDevice) all.to_host += bytes;
  mock::touches(on, from, bytes, false, "cudaMemcpyAsync");
  mock::touches(on, to, bytes, true, "cudaMemcpyAsync");
  if (holding(to)) return cudaSuccess;
  if (!work_until([&] { return on->queue.empty(); })) return answer(cudaErrorUnknown);
  merge(all.known, on->before);
  return cudaSuccess;
}

} // extern "C"
