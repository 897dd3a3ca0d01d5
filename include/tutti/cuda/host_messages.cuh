// A plan on device memory whose messages a communicator of the host carries.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/stream.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace tutti::cuda::detail {

/// A device_plan for device_execution. Its messages name the device's memory, or `through_host` pinned memory of the
/// host: each is copied there behind what makes it, once however many ranks it goes to, and what has arrived is copied
/// back before it is used, in the order of the plan's stream. So of encoded contributions encoded bytes alone pass
/// between device and host. A round's copies are over before the next round's messages leave. Where pinned memory runs
/// out it is ordinary memory.
template <class Plan> class host_messages {
public:
  template <class... Arguments>
  explicit host_messages(bool through_host, Arguments&&... of) : plan_{std::forward<Arguments>(of)...} {
    if (!through_host) return;
    std::size_t most = 0;
    for (std::size_t r = 0; r < rounds(); ++r) {
      const exchange_round there = plan_.messages(r);
      std::size_t bytes = 0;
      for (const auto& m : there.sends) bytes += tutti::detail::padded(m.bytes.size());
      for (const auto& m : there.receives) bytes += tutti::detail::padded(m.bytes.size());
      most = (std::max)(most, bytes);
    }
    here_.emplace(most + 1);
  }

  std::size_t rounds() const noexcept { return plan_.rounds(); }
  const stream& on() const noexcept { return plan_.on(); }
  void begin() { plan_.begin(); }
  void end() { plan_.end(); }

  void prepare(std::size_t r) {
    plan_.prepare(r);
    if (!here_) return;
    const exchange_round there = plan_.messages(r);
    std::byte* at = here_->data();
    sends_.assign(there.sends.begin(), there.sends.end());
    for (std::size_t k = 0; k < sends_.size(); ++k) {
      const auto from = there.sends[k].bytes;
      const auto same = std::find_if(there.sends.begin(), there.sends.begin() + std::ptrdiff_t(k), [&](const auto& m) {
        return m.bytes.data() == from.data() && m.bytes.size() == from.size();
      });
      const auto before = std::size_t(same - there.sends.begin());
      sends_[k].bytes = before < k ? sends_[before].bytes : std::span<const std::byte>{at, from.size()};
      if (before < k || from.empty()) continue;
      here_->copy(on(), at, from.data(), from.size(), cudaMemcpyDeviceToHost);
      at += tutti::detail::padded(from.size());
    }
    receives_.assign(there.receives.begin(), there.receives.end());
    for (auto& m : receives_) m.bytes = {std::exchange(at, at + tutti::detail::padded(m.bytes.size())), m.bytes.size()};
  }
  /// Valid until it is called again.
  exchange_round messages(std::size_t r) {
    if (!here_) return plan_.messages(r);
    return {sends_, receives_};
  }
  void absorb(std::size_t r) {
    if (here_) {
      const exchange_round there = plan_.messages(r);
      for (std::size_t k = 0; k < receives_.size(); ++k)
        if (const auto from = receives_[k].bytes; !from.empty())
          here_->copy(on(), there.receives[k].bytes.data(), from.data(), from.size(), cudaMemcpyHostToDevice);
    }
    plan_.absorb(r);
  }

private:
  Plan plan_;
  std::optional<host_slot> here_;
  std::vector<outgoing> sends_;
  std::vector<incoming> receives_;
};

} // namespace tutti::cuda::detail
