// device_span: values in the memory of a device, and of which. It is no std::span: the host cannot read it.
#pragma once

#include <tutti/cuda/stream.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace tutti::cuda {

template <class T> class device_span {
public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;

  constexpr device_span() = default;
  /// n values at `data`, which the runtime is asked about. Errors: invalid_argument where that is the host's memory, or
  /// not aligned to an element. An empty span needs no memory.
  device_span(T* data, std::size_t n) : data_{data}, n_{n}, device_{n == 0 ? -1 : device_of(data)} {}
  /// The same where it is known on which device.
  constexpr device_span(T* data, std::size_t n, int device) noexcept : data_{data}, n_{n}, device_{device} {}
  template <class U>
  requires(std::same_as<const U, T> && !std::same_as<U, T>) constexpr device_span(const device_span<U>& of) noexcept
      : data_{of.data()}, n_{of.size()}, device_{of.device()} {}

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return n_; }
  constexpr bool empty() const noexcept { return n_ == 0; }
  constexpr int device() const noexcept { return device_; } ///< -1 of a span that is empty and of none

  /// Values [begin, begin + n). Errors: invalid_argument beyond the end.
  device_span subspan(std::size_t begin, std::size_t n) const {
    if (begin > n_ || n > n_ - begin)
      throw error{{.code = error_code::invalid_argument,
                   .call = "cuda::device_span",
                   .detail = "values " + std::to_string(begin) + " and " + std::to_string(n) + " more of " +
                             std::to_string(n_) + " were asked for"}};
    return {data_ + begin, n, device_};
  }
  device_span first(std::size_t n) const { return subspan(0, n); }

private:
  static int device_of(const T* data) {
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) refuse("this pointer is not aligned to its elements");
    cudaPointerAttributes facts{};
    cuda::check(cudaPointerGetAttributes(&facts, data), "cudaPointerGetAttributes");
    if (facts.type != cudaMemoryTypeDevice && facts.type != cudaMemoryTypeManaged)
      refuse("this is memory of the host - copy it into a cuda::device_buffer");
    return facts.device;
  }
  [[noreturn]] static void refuse(const char* why) {
    throw error{{.code = error_code::invalid_argument, .call = "cuda::device_span", .detail = why}};
  }

  T* data_ = nullptr;
  std::size_t n_ = 0;
  int device_ = -1;
};

namespace detail {

/// Spans and a stream of one device.
template <class... T> void require_one_device(const stream& on, const char* call, const device_span<T>&... spans) {
  const auto require = [&](const auto& span) {
    if (span.empty() || span.device() == on.device()) return;
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .detail = "a span is on device " + std::to_string(span.device()) + " and the stream on device " +
                           std::to_string(on.device()) + " - copy the values there first"}};
  };
  (require(spans), ...);
}

/// Spans that are the same or have nothing in common; `out` is written, `in` is read.
template <class A, class B> void require_apart(const char* call, const device_span<A>& out, const device_span<B>& in) {
  const auto begin = [](const auto& s) { return reinterpret_cast<std::uintptr_t>(s.data()); };
  const auto end = [&](const auto& s) { return begin(s) + s.size() * sizeof(*s.data()); };
  const bool same = sizeof(A) == sizeof(B) && begin(out) == begin(in) && end(out) == end(in);
  if (out.empty() || in.empty() || same || end(out) <= begin(in) || end(in) <= begin(out)) return;
  throw error{{.code = error_code::invalid_argument,
               .call = call,
               .detail = "a result overlaps with a part of what it is made of - it may replace one whole span of the "
                         "same length, or be apart from all"}};
}

/// Of which each is changed by itself: none may be, or overlap with, another.
template <class A, class B>
void require_no_overlap(const char* call, const device_span<A>& one, const device_span<B>& other) {
  const auto begin = [](const auto& s) { return reinterpret_cast<std::uintptr_t>(s.data()); };
  const auto end = [&](const auto& s) { return begin(s) + s.size() * sizeof(*s.data()); };
  if (one.empty() || other.empty() || end(one) <= begin(other) || end(other) <= begin(one)) return;
  throw error{{.code = error_code::invalid_argument,
               .call = call,
               .detail = "two spans overlap of which one is changed - give each memory of its own"}};
}

template <class A, class B> void require_length(const char* call, const device_span<A>& a, const device_span<B>& b) {
  if (a.size() == b.size()) return;
  throw error{{.code = error_code::invalid_argument,
               .call = call,
               .detail = "spans of " + std::to_string(a.size()) + " and " + std::to_string(b.size()) +
                         " values were given - give as many of each"}};
}

} // namespace detail
} // namespace tutti::cuda
