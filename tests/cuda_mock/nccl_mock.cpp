#include "nccl_mock.hpp"

#include "mock.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace mock_nccl {
namespace {

struct message {
  std::byte* data;
  std::size_t bytes;
  bool met = false;
};
/// What ranks share: messages that have begun and not met, by sender and receiver; and reductions that have begun.
struct fabric {
  int size = 0, joined = 0;
  struct link {
    std::deque<std::shared_ptr<message>> sends, receives;
  };
  std::map<std::pair<int, int>, link> links;
  struct reduction {
    std::vector<float*> data;
    std::size_t n = 0;
    ncclRedOp_t how = ncclSum;
    bool over = false;
  };
  std::map<int, reduction> reductions;
};
struct pending_call {
  ncclComm* comm;
  cudaStream_t on;
  bool sends;
  int peer;
  std::shared_ptr<message> what;
  ncclRedOp_t how = ncclSum;
};

} // namespace
} // namespace mock_nccl

struct ncclComm {
  std::shared_ptr<mock_nccl::fabric> all;
  int rank = 0, size = 1, looks = 0, reductions = 0;
  bool initialised = false, gone = false;
  ncclResult_t error = ncclSuccess;
  std::thread::id owner;
  std::function<void()> later; ///< what enters a stream when nothing is in progress any more
};

namespace mock_nccl {
namespace {

struct world {
  std::map<std::uint64_t, std::shared_ptr<fabric>> fabrics;
  std::list<ncclComm> comms;
  struct failure {
    std::string call;
    ncclResult_t status;
    int n;
  };
  std::vector<failure> failures;
  std::map<std::string, int> calls;
  std::map<int, std::vector<std::string>> records;
  std::map<int, ncclResult_t> errors;
  std::map<std::thread::id, int> running; ///< groups of a rank that have begun and are not over
  int looks = 0;
  bool at_once = false, exclusive = false;
  std::uint64_t ids = 0;
};
world all;
std::atomic<bool> blocked = false;
std::atomic<int> aborts = 0; ///< under way, each in a thread of its own
thread_local int depth = 0;
thread_local std::vector<pending_call> group;

ncclResult_t begun(const char* call) {
  ++all.calls[call];
  for (std::size_t k = 0; k < all.failures.size(); ++k)
    if (all.failures[k].call == call && all.failures[k].n-- == 0) {
      const ncclResult_t status = all.failures[k].status;
      all.failures.erase(all.failures.begin() + std::ptrdiff_t(k));
      return status;
    }
  return ncclSuccess;
}
bool usable(const ncclComm* c) {
  return c && !c->gone;
}

/// Both ends have begun: the bytes travel.
void meet(fabric::link& on) {
  while (!on.sends.empty() && !on.receives.empty()) {
    const auto from = on.sends.front(), to = on.receives.front();
    on.sends.pop_front(), on.receives.pop_front();
    const mock::reaching both;
    std::memcpy(to->data, from->data, std::min(from->bytes, to->bytes));
    from->met = to->met = from->bytes == to->bytes; // of unlike lengths none is ever over
  }
}
void reduce(fabric::reduction& of) {
  const mock::reaching all_of_them;
  for (std::size_t i = 0; i < of.n; ++i) {
    float sum = 0;
    for (const float* x : of.data) sum += x[i];
    if (of.how == ncclAvg) sum /= float(of.data.size());
    for (float* x : of.data) x[i] = sum;
  }
  of.over = true;
}

/// A group of one stream, as one kernel: all of it begins when the stream comes to it.
struct kernel {
  std::vector<pending_call> calls;
  int number; ///< of the reduction in it
  bool has_begun = false;

  void begin() {
    for (auto& c : calls) {
      fabric& f = *c.comm->all;
      if (c.peer < 0) {
        auto& r = f.reductions[number];
        r.data.push_back(reinterpret_cast<float*>(c.what->data));
        r.n = c.what->bytes / sizeof(float);
        r.how = c.how;
        if (int(r.data.size()) == f.size) reduce(r);
        continue;
      }
      auto& link = f.links[c.sends ? std::pair{c.comm->rank, c.peer} : std::pair{c.peer, c.comm->rank}];
      (c.sends ? link.sends : link.receives).push_back(c.what);
      meet(link);
    }
  }
  bool ready() {
    const std::lock_guard<std::recursive_mutex> held{mock::guard()};
    int& running = all.running[calls[0].comm->owner];
    if (!has_begun) {
      if (all.exclusive && running > 0) return false;
      has_begun = true;
      ++running;
      begin();
    }
    bool over = true;
    for (const auto& c : calls)
      over = over && (c.comm->gone || (c.peer < 0 ? c.comm->all->reductions[number].over : c.what->met));
    if (over) --running;
    return over;
  }
};

ncclResult_t add(ncclComm_t comm, cudaStream_t on, bool sends, int peer, const void* data, std::size_t bytes,
                 ncclRedOp_t how = ncclSum) {
  if (!usable(comm) || !comm->initialised) return ncclInvalidUsage;
  if (!data && bytes == 0) return ncclInvalidArgument; // a null pointer has another meaning in some versions
  auto what = std::make_shared<message>();
  what->data = static_cast<std::byte*>(const_cast<void*>(data));
  what->bytes = bytes;
  group.push_back({comm, on, sends, peer, what, how});
  return ncclSuccess;
}
/// What the group holds enters its stream: now, or when nothing is in progress any more.
ncclResult_t flush() {
  if (group.empty()) return ncclSuccess;
  ncclComm* const comm = group[0].comm;
  auto work = std::make_shared<kernel>();
  for (const auto& c : group)
    if (c.peer < 0) work->number = comm->reductions++;
  auto& record = all.records[comm->rank];
  record.emplace_back("(");
  for (const auto& c : group)
    record.push_back(c.peer < 0 ? "all_reduce"
                                : (c.sends ? "send " : "receive ") + std::to_string(c.peer) + " x " +
                                      std::to_string(c.what->bytes));
  record.emplace_back(")");
  work->calls = std::exchange(group, {});
  const cudaStream_t on = work->calls[0].on;
  comm->later = [work, on] {
    mock::enqueue_meeting(on, [work] { return work->ready(); });
    for (const auto& c : work->calls)
      mock::touches(on, c.what->data, c.what->bytes, !c.sends, c.sends ? "ncclSend" : "a receive of NCCL");
  };
  comm->looks = all.looks;
  if (comm->looks == 0) std::exchange(comm->later, nullptr)();
  return comm->looks > 0 && !all.at_once ? ncclInProgress : ncclSuccess;
}

} // namespace

void begin() {
  blocked = false;
  while (aborts > 0) std::this_thread::yield(); // of the machine before, whose memory they write into
  const std::lock_guard<std::recursive_mutex> held{mock::guard()};
  all = world{};
  depth = 0; // of a group whose end has failed
  group.clear();
}
void fail(const std::string& call, ncclResult_t status, int n) {
  all.failures.push_back({call, status, n});
}
void in_progress(int looks, bool at_once) {
  all.looks = looks;
  all.at_once = at_once;
}
void async_error(int rank, ncclResult_t status) {
  const std::lock_guard<std::recursive_mutex> held{mock::guard()};
  all.errors[rank] = status;
}
void abort_blocks(bool blocks) {
  blocked = blocks;
}
void one_at_a_time(bool is_so) {
  all.exclusive = is_so;
}
int calls(const std::string& call) {
  const std::lock_guard<std::recursive_mutex> held{mock::guard()};
  return all.calls[call];
}
int left_over() {
  const std::lock_guard<std::recursive_mutex> held{mock::guard()};
  return int(std::count_if(all.comms.begin(), all.comms.end(), [](const ncclComm& c) { return !c.gone; }));
}
std::vector<std::string> record(int rank) {
  return all.records[rank];
}

} // namespace mock_nccl

using namespace mock_nccl;

#define NCCL_BEGINS(call)                                                                                              \
  const std::lock_guard<std::recursive_mutex> held_{mock::guard()}; \
  if (const ncclResult_t begins_ = begun(#call); begins_ != ncclSuccess) return begins_

extern "C" {

const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclRemoteError ? "remote process exited" : "an error";
}
const char* ncclGetLastError(ncclComm_t) {
  return "as the mock was told";
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  NCCL_BEGINS(ncclGetUniqueId);
  std::memset(id, 0, sizeof *id);
  const std::uint64_t number = ++all.ids;
  std::memcpy(id, &number, sizeof number);
  all.fabrics[number] = std::make_shared<fabric>();
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* to, int size, ncclUniqueId id, int rank, ncclConfig_t* how) {
  NCCL_BEGINS(ncclCommInitRankConfig);
  std::uint64_t number = 0;
  std::memcpy(&number, &id, sizeof number);
  if (how->blocking != 0 || !all.fabrics.count(number)) return ncclInvalidArgument;
  ncclComm& c = all.comms.emplace_back();
  c.all = all.fabrics[number];
  c.all->size = size;
  ++c.all->joined;
  c.rank = rank;
  c.size = size;
  c.looks = all.looks;
  c.owner = std::this_thread::get_id();
  *to = &c;
  return all.at_once ? ncclSuccess : ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* status) {
  NCCL_BEGINS(ncclCommGetAsyncError);
  if (!usable(comm)) return ncclInvalidArgument;
  if (const auto found = all.errors.find(comm->rank); found != all.errors.end()) comm->error = found->second;
  *status = comm->error;
  if (comm->error != ncclSuccess) return ncclSuccess;
  if (comm->looks > 0 && comm->looks--) {
    *status = ncclInProgress;
  } else if (!comm->initialised) {
    comm->initialised = comm->all->joined == comm->size; // until all are there
    if (!comm->initialised) *status = ncclInProgress;
  } else if (comm->later) {
    std::exchange(comm->later, nullptr)();
  }
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  NCCL_BEGINS(ncclCommFinalize);
  comm->looks = all.looks;
  return comm->looks > 0 ? ncclInProgress : ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  NCCL_BEGINS(ncclCommDestroy);
  comm->gone = true;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  struct abort_under_way {
    abort_under_way() { ++aborts; }
    ~abort_under_way() { --aborts; }
  } const counted;
  while (blocked) std::this_thread::yield();
  NCCL_BEGINS(ncclCommAbort);
  comm->gone = true;
  return ncclSuccess;
}
ncclResult_t ncclGroupStart() {
  NCCL_BEGINS(ncclGroupStart);
  ++depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  NCCL_BEGINS(ncclGroupEnd);
  if (--depth > 0) return ncclSuccess;
  return flush();
}
ncclResult_t ncclSend(const void* data, size_t bytes, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t on) {
  NCCL_BEGINS(ncclSend);
  const ncclResult_t status = add(comm, on, true, peer, data, bytes);
  return depth > 0 || status != ncclSuccess ? status : flush();
}
ncclResult_t ncclRecv(void* data, size_t bytes, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t on) {
  NCCL_BEGINS(ncclRecv);
  const ncclResult_t status = add(comm, on, false, peer, data, bytes);
  return depth > 0 || status != ncclSuccess ? status : flush();
}
/// Of floats; by sum and mean.
ncclResult_t ncclAllReduce(const void* in, void* out, size_t n, ncclDataType_t type, ncclRedOp_t how, ncclComm_t comm,
                           cudaStream_t on) {
  NCCL_BEGINS(ncclAllReduce);
  if (in != out || type != ncclFloat32 || (how != ncclSum && how != ncclAvg)) return ncclInvalidArgument;
  const ncclResult_t status = add(comm, on, false, -1, out, n * sizeof(float), how);
  return depth > 0 || status != ncclSuccess ? status : flush();
}

} // extern "C"
