// A CUDA runtime on the host: two devices, streams whose work is done late and in an order that a seed chooses.
//
// The functions of cuda_runtime_api.h that tutti calls are defined in mock.cpp, and so are not the real ones. What a
// stream is given is kept, and done when somebody waits for it; before that, and while it is waited for, other streams
// get on or do not, as the seed will have it. So what lacks an event between two streams gives other values in some
// order. Memory that was given back holds poison, and is given out again at once where the runtime may. The host cannot
// reach a device's memory: who reads or writes it outside of a stream's work ends with SIGSEGV.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace mock {

/// A fresh machine; everything of the one before is gone.
void begin(std::uint64_t seed = 1);

/// Held by every call and by all work: what stands on this mock takes the same.
std::recursive_mutex& guard();
/// Work of a stream, as a kernel is.
void enqueue(cudaStream_t on, std::function<void()> work);

/// While one of these lives, devices' memory can be reached from outside of a stream's work.
struct reaching {
  reaching();
  ~reaching();
  reaching(const reaching&) = delete;
};
/// Work that is over when `ready` says so, which is asked again and again, and may depend on other threads.
void enqueue_meeting(cudaStream_t on, std::function<bool()> ready);
/// The last work that `on` was given reads, or writes, so many bytes; 0: all from there on.
void touches(cudaStream_t on, const void* memory, std::size_t bytes, bool writes, const char* what);
/// The same by the calling thread, outside of any stream: it has waited for all that it may.
void touches_here(const void* memory, std::size_t bytes, bool writes, const char* what);
/// Whether devices can reach each other's memory, when they are asked to.
void have_peers(bool they_reach);
/// What copies have brought out of devices' memory to the host.
std::size_t bytes_to_host();
/// Work that touches memory which other work writes, or writes what other work touches, and neither waits for the
/// other: by vector clocks, so whatever order the work was done in. Work is ordered by its stream, by events, and by
/// what the host has waited for. Copies and messages are known by themselves, kernels as readers of what they are
/// given.
std::vector<std::string> races();
/// Some stream does a piece of work, if any can.
void get_on();

/// The call of this name fails with `status` when it is made for the n-th time from now on (0: the next).
void fail(const std::string& call, cudaError_t status, int n = 0);
/// How often a call was made.
int calls(const std::string& call);
/// Allocations that were not given back, and streams and events that were not destroyed.
int left_over();
/// Every call answers that the runtime is being unloaded.
void unload();
/// A stream is being captured, in the mode in which a call of any thread may invalidate that. What it is given, and
/// what streams that join it are, is done once all the same, and again by replay().
void capture(cudaStream_t on, bool is_captured);
bool is_invalidated(cudaStream_t on);
void replay(cudaStream_t on);
/// Plain memory of a device, given back by begin().
void* device_memory(std::size_t bytes, int device);

} // namespace mock
