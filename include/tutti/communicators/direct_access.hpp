// Direct access, a refinement of communicators: ranks that reach each other's memory.
//
//   shared()            -> the signals of these ranks, or nullptr when not all of them share memory
//   announced()         after every announcement: wakes ranks that sleep in idle()
//   require_usable()    throws when the communicator is known to be revoked; costs next to nothing
//   watch(peer)         while waiting for a peer, or for nobody (-1): looks for bad news, and throws when
//                       the communicator was revoked or the peer has left
//   reaches(memory)     whether it was allocated by this communicator
//   allocate<T>(n)      -> symmetric_buffer<T>; collective, the same n on every rank
//   one_address_space   whether a pointer means the same on every rank: then any memory will do; otherwise
//   stages()            memory of every rank that all reach, for data that they do not; empty when
//                       there is no room
//   looks()             how often a blocking call looks for its peers before it waits in earnest
//   last_cache_bytes()  of the largest cache, or what the user says instead: data that all ranks
//                       together hold more of is stored past it
//
// Collectives on direct, one_shot and star then need no messages: collectives/shared_operation.hpp.
// Everything else keeps using exchange().
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/signals.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace tutti {

namespace detail {

/// Memory of the same length on every rank, which all of them reach. Where they do not, `places` is
/// empty and `own` is all there is.
struct symmetric_memory {
  virtual ~symmetric_memory() = default;
  std::byte* own = nullptr;
  std::vector<std::byte*> places;  ///< of each rank's, as this rank sees it
  std::weak_ptr<const void> owner; ///< what the ranks of the communicator share
  std::uint64_t number = 0;        ///< of the allocations of that communicator
};

} // namespace detail

namespace detail {

/// The size of the largest cache; 32 MiB where the system does not say.
inline std::size_t last_cache_bytes() noexcept {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  for (const int level : {_SC_LEVEL4_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE})
    if (const long bytes = sysconf(level); bytes > 0) return std::size_t(bytes);
#endif
  return std::size_t{32} << 20;
}

/// What stages() has of every rank.
inline constexpr std::size_t most_staged_bytes = std::size_t{512} << 10;

} // namespace detail

namespace detail {

/// Whether both stand for the same object; one that is gone is like no other.
template <class T>
bool same_owner(const std::weak_ptr<const void>& a, const std::shared_ptr<T>& b) noexcept {
  return !a.owner_before(b) && !b.owner_before(a);
}

} // namespace detail

template <class C>
concept direct_access_communicator = communicator<C> &&
    requires(C c, int peer, const detail::symmetric_memory& memory) {
  { c.shared() } -> std::same_as<detail::signals*>;
  c.announced();
  c.require_usable();
  c.watch(peer);
  { c.reaches(memory) } -> std::same_as<bool>;
  { c.looks() } -> std::same_as<int>;
  { C::one_address_space } -> std::convertible_to<bool>;
  { c.last_cache_bytes() } -> std::same_as<std::size_t>;
};

/// n elements on every rank, made by communicator::allocate<T>(n). Collectives that are given one
/// work in all ranks' memory at once; otherwise it is used like any array. Its memory is zero at
/// first, and stands on a cache line. Move-only. Not given to a collective after it was moved from:
/// that is error_code::invalid_argument.
template <class T> class symmetric_buffer {
  static_assert(
      std::is_trivially_copyable_v<T>,
      "tutti::symmetric_buffer: elements are copied as bytes - use a trivially copyable type");

public:
  using value_type = T;

  symmetric_buffer() = default;
  symmetric_buffer(std::shared_ptr<const detail::symmetric_memory> memory, std::size_t n)
      : memory_{std::move(memory)}, n_{n} {}
  symmetric_buffer(symmetric_buffer&& other) noexcept
      : memory_{std::move(other.memory_)}, n_{std::exchange(other.n_, 0)} {}
  symmetric_buffer& operator=(symmetric_buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    n_ = std::exchange(other.n_, 0);
    return *this;
  }

  T* data() const noexcept { return memory_ ? reinterpret_cast<T*>(memory_->own) : nullptr; }
  std::size_t size() const noexcept { return n_; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + n_; }
  T& operator[](std::size_t i) const noexcept { return data()[i]; }
  std::span<T> span() const noexcept { return {data(), n_}; }

  /// Whether it holds memory: not default-made, not moved from.
  explicit operator bool() const noexcept { return memory_ != nullptr; }
  const detail::symmetric_memory* memory() const noexcept { return memory_.get(); }

private:
  std::shared_ptr<const detail::symmetric_memory> memory_;
  std::size_t n_ = 0;
};

namespace detail {

/// The bytes of n elements; throws invalid_argument, and tells the other ranks, when no memory holds so many.
template <class T, class Comm>
std::size_t bytes_of(Comm& comm, std::size_t n) {
  constexpr std::size_t most = (SIZE_MAX >> 2) / sizeof(T);
  if (n <= most) return n * sizeof(T);
  failure f{.code = error_code::invalid_argument,
            .call = "allocate",
            .rank = comm.rank(),
            .detail = std::to_string(n) + " elements of " + std::to_string(sizeof(T)) +
                      " bytes are more than any memory holds - was a negative number converted?"};
  failure told = f;
  told.peer = comm.rank();
  comm.revoke(told);
  throw error{std::move(f)};
}

template <class Data> inline constexpr bool is_symmetric = false;
template <class T> inline constexpr bool is_symmetric<symmetric_buffer<T>> = true;

} // namespace detail
} // namespace tutti
