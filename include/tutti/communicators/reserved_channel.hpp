// Channels for longer than one operation: what trainers with servers push and answer on.
#pragma once

#include <tutti/communicators/operation.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// A channel for longer than one operation, apart from those of operations; equal on all ranks that
/// reserve theirs in the same order. Below 2^15, as are the tags that every MPI has. After
/// operations::channel_count of them they come again; one that is still held then is an error,
/// `unsupported`. Move-only.
class reserved_channel {
public:
  reserved_channel() = default;
  explicit reserved_channel(operations& all)
      : all_{&all}, number_{operations::channel_count + all.next_reserved_++ % operations::channel_count} {
    for (const std::uint32_t held : all.reserved_)
      if (held == number_)
        throw error{{.code = error_code::unsupported,
                     .detail = "a communicator has " + std::to_string(operations::channel_count) +
                               " channels for trainers with servers, and one that was made as many "
                               "before still holds this one - end trainers that are not needed, or "
                               "split the communicator"}};
    all.reserved_.push_back(number_);
  }
  reserved_channel(reserved_channel&& other) noexcept
      : all_{std::exchange(other.all_, nullptr)}, number_{other.number_} {}
  reserved_channel& operator=(reserved_channel&& other) noexcept {
    std::swap(all_, other.all_);
    std::swap(number_, other.number_);
    return *this;
  }
  ~reserved_channel() {
    if (all_) std::erase(all_->reserved_, number_);
  }

  operator std::uint32_t() const noexcept { return number_; }

private:
  operations* all_ = nullptr;
  std::uint32_t number_ = 0;
};

} // namespace tutti
