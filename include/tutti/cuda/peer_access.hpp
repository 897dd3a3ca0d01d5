// How ranks reach each other's device memory: by address within a process, by handles (CUDA IPC) between processes.
#pragma once

#include <tutti/core/hash.hpp>
#include <tutti/cuda/stream.hpp>

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace tutti::cuda::detail {

/// A machine, and a process of it, as a number that no other has: containers of one machine count processes each for
/// itself, and have one name.
struct whereabouts {
  std::uint64_t machine = hash_of_nothing, process = hash_of_nothing;

  static whereabouts own() {
    whereabouts here;
    here.machine = text_of("/proc/sys/kernel/random/boot_id", hash_of_nothing);
    char spaces[64] = {};
    if (readlink("/proc/self/ns/pid", spaces, sizeof spaces - 1) < 0) spaces[0] = '\0';
    here.process = tutti::detail::hashed(here.machine, std::uint64_t(getpid()));
    for (const char* c = spaces; *c != '\0'; ++c) here.process = tutti::detail::hashed(here.process, std::uint64_t(*c));
    return here;
  }

private:
  static constexpr std::uint64_t hash_of_nothing = tutti::detail::hash_of_nothing;
  static std::uint64_t text_of(const char* file, std::uint64_t hash) {
    char text[64] = {};
    if (std::FILE* from = std::fopen(file, "r")) {
      static_cast<void>(std::fread(text, 1, sizeof text - 1, from));
      std::fclose(from);
    }
    for (const char* c = text; *c != '\0'; ++c) hash = tutti::detail::hashed(hash, std::uint64_t(*c));
    return hash;
  }
};

/// Kernels and copies of `device` reach memory of `peer` (cudaMalloc's; pools have access of their own). A text that
/// says why not where they cannot.
inline std::string reach_device(int device, int peer) {
  if (device == peer) return {};
  const std::string which = "device " + std::to_string(device) + " does not reach device " + std::to_string(peer);
  int can = 0;
  cuda::check(cudaDeviceCanAccessPeer(&can, device, peer), "cudaDeviceCanAccessPeer");
  if (!can) return which;
  const current_device held{device};
  const cudaError_t status = cudaDeviceEnablePeerAccess(peer, 0);
  if (status == cudaSuccess) return {};
  static_cast<void>(cudaGetLastError());
  if (status == cudaErrorPeerAccessAlreadyEnabled) return {};
  return which + ": " + cudaGetErrorString(status);
}

/// Another process's memory, as this one sees it, until it is closed. Each handle is opened once.
class opened_memory {
public:
  opened_memory() = default;
  opened_memory(int device, const cudaIpcMemHandle_t& handle) : device_{device} {
    const current_device held{device};
    cuda::check(cudaIpcOpenMemHandle(&data_, handle, cudaIpcMemLazyEnablePeerAccess), "cudaIpcOpenMemHandle");
  }
  opened_memory(opened_memory&& from) noexcept : device_{from.device_}, data_{std::exchange(from.data_, nullptr)} {}
  opened_memory& operator=(opened_memory&& from) noexcept {
    std::swap(device_, from.device_);
    std::swap(data_, from.data_);
    return *this;
  }
  ~opened_memory() {
    if (data_) static_cast<void>(cudaIpcCloseMemHandle(data_));
  }
  void* data() const noexcept { return data_; }

private:
  int device_ = 0;
  void* data_ = nullptr;
};

/// A moment of this rank's stream that other ranks' streams wait for: recorded again and again, or another rank's.
class shared_event {
public:
  shared_event() = default;
  /// Of a device; between processes it has a handle.
  shared_event(int device, bool by_handle) : device_{device} {
    const current_device held{device};
    const unsigned how = cudaEventDisableTiming | (by_handle ? unsigned(cudaEventInterprocess) : 0u);
    cuda::check(cudaEventCreateWithFlags(&event_, how), "cudaEventCreateWithFlags");
  }
  /// Another process's.
  shared_event(int device, const cudaIpcEventHandle_t& handle) : device_{device} {
    const current_device held{device};
    cuda::check(cudaIpcOpenEventHandle(&event_, handle), "cudaIpcOpenEventHandle");
  }
  shared_event(shared_event&& from) noexcept : device_{from.device_}, event_{std::exchange(from.event_, nullptr)} {}
  shared_event& operator=(shared_event&& from) noexcept {
    std::swap(device_, from.device_);
    std::swap(event_, from.event_);
    return *this;
  }
  ~shared_event() {
    if (event_) static_cast<void>(cudaEventDestroy(event_));
  }
  cudaEvent_t handle() const noexcept { return event_; }
  /// It is left to the end of the process, as somebody may still wait for it.
  void abandon() noexcept { event_ = nullptr; }

  void record(const stream& on) const {
    const current_device held{device_};
    cuda::check(cudaEventRecord(event_, on.handle()), "cudaEventRecord");
  }

private:
  int device_ = 0;
  cudaEvent_t event_ = nullptr;
};

inline void wait_for(const stream& on, cudaEvent_t moment) {
  const current_device held{on.device()};
  cuda::check(cudaStreamWaitEvent(on.handle(), moment, 0), "cudaStreamWaitEvent");
}

/// A handle as words that ranks tell each other, and back.
template <class Handle> using handle_words = std::array<std::uint64_t, sizeof(Handle) / sizeof(std::uint64_t)>;
template <class Handle> handle_words<Handle> words_of(const Handle& handle) {
  static_assert(sizeof(Handle) % sizeof(std::uint64_t) == 0);
  handle_words<Handle> words;
  std::memcpy(words.data(), &handle, sizeof handle);
  return words;
}
template <class Handle> Handle handle_of(const std::uint64_t* words) {
  Handle handle;
  std::memcpy(&handle, words, sizeof handle);
  return handle;
}

} // namespace tutti::cuda::detail
