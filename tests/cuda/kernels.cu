#include "cuda/kernels.hpp"

#include <tutti/cuda/reduce.cuh>

#include <cstring>

namespace kernels {

namespace {

/// n elements of T, `offset` elements past a 16-byte boundary, in host or device memory, between guard
/// zones of 64 bytes that must stay as they are.
class guarded {
public:
  guarded(bool device, std::size_t bytes, std::size_t offset) : device_{device}, bytes_{bytes} {
    const std::size_t all = bytes + 256;
    if (device)
      tutti::cuda::check(cudaMalloc(&memory_, all), "cudaMalloc");
    else
      memory_ = ::operator new(all, std::align_val_t{64});
    std::vector<unsigned char> poison(all, 0xa5);
    copy(memory_, poison.data(), all);
    data = static_cast<unsigned char*>(memory_) + 64 + offset;
  }
  guarded(const guarded&) = delete;
  ~guarded() {
    if (device_)
      cudaFree(memory_);
    else
      ::operator delete(memory_, std::align_val_t{64});
  }
  void copy(void* to, const void* from, std::size_t n) const {
    if (n == 0) return;
    if (device_)
      tutti::cuda::check(cudaMemcpy(to, from, n, cudaMemcpyDefault), "cudaMemcpy");
    else
      std::memcpy(to, from, n);
  }
  bool guards_hold() const {
    std::vector<unsigned char> all(bytes_ + 256);
    copy(all.data(), memory_, all.size());
    const std::size_t begin = std::size_t(data - static_cast<unsigned char*>(memory_));
    for (std::size_t i = 0; i < all.size(); ++i)
      if ((i < begin || i >= begin + bytes_) && all[i] != 0xa5) return false;
    return true;
  }

  unsigned char* data;

private:
  bool device_;
  std::size_t bytes_;
  void* memory_ = nullptr;
};

template <class T>
std::vector<T> run(const reduction<T>& what, bool device) {
  const std::size_t n = what.in[0].size(), bytes = n * sizeof(T);
  std::vector<guarded*> memory;
  std::vector<const T*> in;
  for (const auto& row : what.in) {
    const std::size_t further = what.uneven ? memory.size() % 2 : 0;
    memory.push_back(new guarded(device, bytes, (what.offset + further) * sizeof(T)));
    memory.back()->copy(memory.back()->data, row.data(), bytes);
    in.push_back(reinterpret_cast<const T*>(memory.back()->data));
  }
  guarded out{device, bytes, what.offset * sizeof(T)};
  T* to = reinterpret_cast<T*>(out.data);
  if (device) {
    tutti::cuda::reduce<T>(nullptr, in, to, n, what.total);
    tutti::cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  } else {
    tutti::cuda::reduce_on_host<T>(in, to, n, what.total);
  }
  std::vector<T> result(n);
  out.copy(result.data(), out.data, bytes);
  bool whole = out.guards_hold();
  for (guarded* m : memory) {
    whole = whole && m->guards_hold();
    delete m;
  }
  if (!whole) throw tutti::error{{.detail = "a guard zone was written to"}};
  return result;
}

} // namespace

template <class T>
std::vector<T> reduction<T>::on_host() const {
  return run(*this, false);
}
template <class T>
std::vector<T> reduction<T>::on_device() const {
  return run(*this, true);
}

template struct reduction<float>;
template struct reduction<double>;
template struct reduction<tutti::bfloat16>;
template struct reduction<tutti::half>;

} // namespace kernels
