// Device memory over any communicator: staged through pinned memory of the host, chunk by chunk.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/core/aligned_values.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/stream.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cuda {

namespace detail {

/// Memory of the host that the device copies from and to while others compute: pinned, or where there is no more of
/// that, ordinary memory, which the runtime copies once more.
class host_slot {
public:
  explicit host_slot(std::size_t bytes) {
    void* memory = nullptr;
    if (cudaMallocHost(&memory, bytes) == cudaSuccess) {
      data_ = static_cast<std::byte*>(memory);
      pinned_ = true;
      return;
    }
    static_cast<void>(cudaGetLastError());
    data_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64}));
  }
  host_slot(host_slot&& from) noexcept
      : data_{std::exchange(from.data_, nullptr)}, pinned_{from.pinned_}, last_{std::move(from.last_)} {}
  host_slot& operator=(host_slot&&) = delete;
  ~host_slot() {
    if (!data_) return;
    if (last_) static_cast<void>(cudaEventSynchronize(last_->handle())); // freeing is in the order of no stream
    if (pinned_) static_cast<void>(cudaFreeHost(data_));
    else ::operator delete (data_, std::align_val_t{64});
  }

  std::byte* data() const noexcept { return data_; }
  bool is_pinned() const noexcept { return pinned_; }

  /// `on` copies n bytes; what used the slot before is done first.
  void copy(const stream& on, void* to, const void* from, std::size_t n, cudaMemcpyKind kind) {
    const current_device held{on.device()};
    cuda::check(cudaMemcpyAsync(to, from, n, kind, on.handle()), "cudaMemcpyAsync");
    last_.emplace(on);
  }
  void wait() {
    if (last_) last_->wait();
    last_.reset();
  }

private:
  std::byte* data_ = nullptr;
  bool pinned_ = false;
  std::optional<event> last_; ///< behind the last copy
};

/// Whether the parts of a chunk may be reduced apart from the rest.
template <class R, class T>
inline constexpr bool reduces_in_chunks = !agreeing_reducer<R> && !requires(const R r, T x) {
  r.lift(x, 1.0, std::size_t{});
};

} // namespace detail

/// The bounded memory of one rank's staging, made once and used by one call at a time. Where pinned memory runs out it
/// has fewer slots, and where there is none at all ordinary ones: is_pinned() says so, and results are the same.
class staging {
public:
  /// Bytes of a chunk: the same on every rank, as each chunk is a collective of its own.
  static constexpr std::size_t chunk_bytes = std::size_t{4} << 20;

  /// Errors: invalid_argument for fewer than two slots, as one is copied while the other travels.
  explicit staging(int slots = 3) {
    if (slots < 2)
      throw error{
          {.code = error_code::invalid_argument,
           .call = "cuda::staging",
           .detail = "there are fewer than two slots - give 2 or more, as one is copied while another travels"}};
    for (int k = 0; k < slots; ++k) {
      detail::host_slot slot{chunk_bytes};
      const bool enough = slots_.size() >= 2;
      if (!slot.is_pinned() && enough) break;
      slots_.push_back(std::move(slot));
    }
  }

  std::size_t slots() const noexcept { return slots_.size(); }
  bool is_pinned() const noexcept {
    return std::all_of(slots_.begin(), slots_.end(), [](const auto& s) { return s.is_pinned(); });
  }
  detail::host_slot& slot(std::size_t k) { return slots_[k % slots_.size()]; }

private:
  std::vector<detail::host_slot> slots_;
};

/// tutti::all_reduce of values in device memory over a communicator of the host, with parts of any kind but memories:
/// every rank gives as many values, in the order of `on`. While a chunk travels the next is on its way out of the
/// device. Waits for what `on` was given before, and returns when the last copy back is enqueued. The bits of
/// all_reduce of chunks of staging::chunk_bytes. Collective. Errors: those of all_reduce; unsupported while the stream
/// is captured, as the host takes part; transport.
template <communicator Comm, class T, class... Parts>
void all_reduce(Comm& comm, const stream& on, device_span<T> data, staging& through, const Parts&... parts) {
  using reducer = std::remove_cvref_t<tutti::detail::part_type<reducer_part, sum, Parts...>>;
  static_assert(
      detail::reduces_in_chunks<reducer, T>,
      "tutti::cuda::all_reduce: this reducer looks at all values, or at where they stand, and staging cuts them into "
      "chunks - copy them to the host and call tutti::all_reduce");
  static_assert(
      tutti::detail::count_parts<memory_part, Parts...> == 0,
      "tutti::cuda::all_reduce: a codec's memory is of the whole, and staging cuts values into chunks - copy them "
      "to the host and call tutti::all_reduce");
  const char* const call = "cuda::all_reduce";
  detail::require_one_device(on, call, data);
  detail::refuse_capture(on, call, "leave staging out of the capture, as the host takes part in it");
  constexpr std::size_t length = staging::chunk_bytes / sizeof(T);
  const std::size_t chunks = data.size() / length + (data.size() % length != 0);
  const auto piece = [&](std::size_t c) {
    return data.subspan(c * length, (std::min)(length, data.size() - c * length));
  };
  const auto fetch = [&](std::size_t c) {
    auto& slot = through.slot(c);
    slot.wait();
    slot.copy(on, slot.data(), piece(c).data(), piece(c).size() * sizeof(T), cudaMemcpyDeviceToHost);
  };
  if (chunks == 0) return tutti::all_reduce(comm, std::span<T>{}, parts...);
  fetch(0);
  for (std::size_t c = 0; c < chunks; ++c) {
    if (c + 1 < chunks) fetch(c + 1);
    auto& slot = through.slot(c);
    slot.wait();
    const std::span<T> values{reinterpret_cast<T*>(slot.data()), piece(c).size()};
    tutti::all_reduce(comm, values, parts...);
    slot.copy(on, piece(c).data(), slot.data(), values.size_bytes(), cudaMemcpyHostToDevice);
  }
}

} // namespace tutti::cuda
