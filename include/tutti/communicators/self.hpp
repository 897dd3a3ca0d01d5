// self: the communicator of one rank. Nothing moves.
#pragma once

#include <tutti/communicators/forwarding.hpp>

#include <memory>
#include <optional>

namespace tutti {

namespace detail {

/// A group of one that does not move.
class self_endpoint {
public:
  using part = communicator_part;

  self_endpoint() = default;
  self_endpoint(const self_endpoint&) = delete;
  self_endpoint& operator=(const self_endpoint&) = delete;

  /// Complete from the start: a group of one exchanges nothing.
  class handle {
  public:
    handle() = default;
    handle(handle&&) = default;
    handle& operator=(handle&&) = default;
    bool test() noexcept { return true; }
    bool take_back() noexcept { return true; }
    int waiting_for() const noexcept { return -1; }
  };

  int rank() const noexcept { return 0; }
  int size() const noexcept { return 1; }

  handle exchange(host_execution, channel, const exchange_round& round) {
    if (revoked_) throw error{*revoked_};
    if (!round.sends.empty() || !round.receives.empty())
      throw error{{.code = error_code::invalid_argument,
                   .call = "exchange",
                   .rank = 0,
                   .detail = "a group of one has no peers"}};
    return {};
  }
  std::uint64_t progress() noexcept { return 0; }
  void idle(std::uint64_t, deadline) noexcept {}
  void revoke(failure why) {
    if (!revoked_) revoked_ = std::move(why);
  }
  operations& in_flight() noexcept { return operations_; }
  std::optional<arrival> probe(channel) const noexcept { return std::nullopt; }

private:
  operations operations_;
  std::optional<failure> revoked_;
};

} // namespace detail

/// A group of one, for programs that may also run alone.
class self : public forwarding<self, detail::self_endpoint> {
public:
  using handle = detail::self_endpoint::handle;

  self split(int, int) const { return {}; }

  detail::self_endpoint& inner() noexcept { return *endpoint_; }
  const detail::self_endpoint& inner() const noexcept { return *endpoint_; }
  detail::self_endpoint& stationary() noexcept { return *endpoint_; }

private:
  std::unique_ptr<detail::self_endpoint> endpoint_ = std::make_unique<detail::self_endpoint>();
};

} // namespace tutti
