// What stands for a communicator forwards to it: decorators, and handles on communicators that do not move.
#pragma once

#include <tutti/communicators/direct_access.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace tutti {

namespace detail {

/// What operations refer to: of a communicator that may be moved, what does not move.
template <class Comm>
decltype(auto) stationary(Comm& comm) noexcept {
  if constexpr (requires { comm.stationary(); })
    return comm.stationary();
  else
    return (comm);
}
template <class Comm>
using stationary_type = std::remove_reference_t<decltype(detail::stationary(std::declval<Comm&>()))>;

template <class Comm>
inline constexpr bool one_address_space_of = false;
template <class Comm>
  requires requires { Comm::one_address_space; }
inline constexpr bool one_address_space_of<Comm> = Comm::one_address_space;

} // namespace detail

/// Every member of a communicator but direct access; `Self::inner()` is the one that it stands for, a `To`.
template <class Self, class To>
class forwarding {
public:
  using part = communicator_part;
  static constexpr bool idle_blocks = requires { requires To::idle_blocks; };

  int rank() const { return to().rank(); }
  int size() const { return to().size(); }
  template <class Execution = host_execution>
  auto exchange(Execution execution, channel on, const exchange_round& round)
    requires requires(To& t) { t.exchange(execution, on, round); }
  {
    return to().exchange(execution, on, round);
  }
  std::uint64_t progress() { return to().progress(); }
  void idle(std::uint64_t seen, deadline until) { to().idle(seen, until); }
  void revoke(failure why) { to().revoke(std::move(why)); }
  operations& in_flight() { return to().in_flight(); }
  deadline now() const
    requires requires(const To& c) { c.now(); }
  {
    return to().now();
  }
  void compute(double seconds)
    requires requires(To& c) { c.compute(seconds); }
  {
    to().compute(seconds);
  }
  auto combining(std::size_t bytes)
    requires requires(To& c) { c.combining(bytes); }
  {
    return to().combining(bytes);
  }
  auto& control() noexcept
    requires requires(To& c) { c.control(); }
  {
    return to().control();
  }
  std::optional<arrival> probe(channel on)
    requires selective_communicator<To>
  {
    return to().probe(on);
  }
  bool has_left(int peer) const
    requires requires(const To& c) { c.has_left(peer); }
  {
    return to().has_left(peer);
  }
  void verify(const char* call, std::span<const std::uint64_t> numbers, bool valid)
    requires verifying_communicator<To>
  {
    to().verify(call, numbers, valid);
  }
  void compare_calls(int peer, bool differ)
    requires requires(To& c) { c.compare_calls(peer, differ); }
  {
    to().compare_calls(peer, differ);
  }
  bool takes_device_memory() const
    requires requires(const To& c) { c.takes_device_memory(); }
  {
    return to().takes_device_memory();
  }
  auto nodes() const
    requires requires(const To& c) { c.nodes(); }
  {
    return to().nodes();
  }

private:
  To& to() { return static_cast<Self&>(*this).inner(); }
  const To& to() const { return static_cast<const Self&>(*this).inner(); }
};

/// Direct access, where `Self::inner()` has it: what a collective without messages asks of a communicator.
template <class Self, class To>
class forwarding_access {
  using body = std::remove_reference_t<decltype(detail::stationary(std::declval<To&>()))>;

public:
  static constexpr bool one_address_space = detail::one_address_space_of<body>;

  detail::signals* shared() noexcept
    requires direct_access_communicator<body>
  {
    return to().shared();
  }
  void announced() noexcept { to().announced(); }
  void require_usable() const { to().require_usable(); }
  void watch(int peer) { to().watch(peer); }
  bool reaches(const detail::symmetric_memory& memory) const noexcept { return to().reaches(memory); }
  int looks() const noexcept { return to().looks(); }
  std::size_t last_cache_bytes() const noexcept { return to().last_cache_bytes(); }
  auto stages() const noexcept
    requires requires(const body& c) { c.stages(); }
  {
    return to().stages();
  }
  auto attached() const noexcept
    requires requires(const body& c) { c.attached(); }
  {
    return to().attached();
  }
  bool is_here() const noexcept
    requires requires(const body& c) { c.is_here(); }
  {
    return to().is_here();
  }
  void end_job(const char* why) noexcept
    requires requires(body& c) { c.end_job(why); }
  {
    to().end_job(why);
  }
  /// Collective. n elements on every rank, zero, that all ranks reach; on several nodes, or where there is
  /// no room for them in shared memory (rank 0 says so once), ordinary memory. Throws invalid_argument
  /// when no memory holds so many, out_of_memory when this machine's does not.
  template <class T>
  auto allocate(std::size_t n, const options& how = {})
    requires requires(body& c) { c.template allocate<T>(n, how); }
  {
    return to().template allocate<T>(n, how);
  }

private:
  decltype(auto) to() const noexcept {
    return detail::stationary(const_cast<To&>(static_cast<const Self&>(*this).inner()));
  }
};

/// A communicator that its user may move, or keep in a vector that grows: what it stands for does not move,
/// and that is what operations, requests and trainers refer to. Not to be used after it was moved from.
/// When it ends, what is in flight on it is waited for; while an exception is under way it is abandoned, as
/// a request is that is dropped then.
template <class Body>
class communicator_handle : public forwarding<communicator_handle<Body>, Body>,
                            public forwarding_access<communicator_handle<Body>, Body> {
public:
  template <class... Arguments>
  explicit communicator_handle(std::in_place_t, Arguments&&... arguments)
      : body_{std::make_unique<Body>(std::forward<Arguments>(arguments)...)} {}

  Body& inner() noexcept { return *body_; }
  const Body& inner() const noexcept { return *body_; }
  Body& stationary() noexcept { return *body_; }

private:
  std::unique_ptr<Body> body_;
};

} // namespace tutti
