// A communicator of the host whose messages may name memory of a device, as those of a CUDA-aware MPI: it reaches that
// memory while messages move, as the host does not.
#pragma once

#include "cuda_mock/mock.hpp"

#include <tutti/communicators/decorator.hpp>

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace mocked {

/// What it says of itself, and whether that is true.
struct awareness {
  bool says_so = true, is_so = true;
};

template <class Inner> class aware : public tutti::decorator<Inner> {
  using inner_handle = tutti::detail::exchange_handle_of<typename tutti::decorator<Inner>::inner_type>;

public:
  aware(Inner&& inner, awareness how) : tutti::decorator<Inner>{std::forward<Inner>(inner)}, how_{how} {}
  bool takes_device_memory() const { return how_.says_so; }

  class handle {
  public:
    explicit handle(inner_handle&& of) : of_{std::move(of)} {}
    bool test() {
      const std::lock_guard<std::recursive_mutex> held{mock::guard()};
      const mock::reaching memory;
      return of_.test();
    }
    int waiting_for() const { return of_.waiting_for(); }

  private:
    inner_handle of_;
  };
  handle exchange(tutti::host_execution by, tutti::channel on, const tutti::exchange_round& round) {
    const std::lock_guard<std::recursive_mutex> held{mock::guard()};
    const mock::reaching memory;
    tutti::exchange_round given = round;
    std::vector<tutti::outgoing> sends(round.sends.begin(), round.sends.end());
    for (tutti::outgoing& m : sends) {
      mock::touches_here(m.bytes.data(), m.bytes.size(), false, "a message");
      if (!how_.is_so && is_of_device(m.bytes.data())) m.bytes = {nothing_.data(), m.bytes.size()}; // read elsewhere
    }
    for (const tutti::incoming& m : round.receives)
      mock::touches_here(m.bytes.data(), m.bytes.size(), true, "a message");
    given.sends = sends;
    return handle{this->inner_.exchange(by, on, given)};
  }

private:
  static bool is_of_device(const void* p) {
    cudaPointerAttributes facts{};
    return cudaPointerGetAttributes(&facts, p) == cudaSuccess && facts.type == cudaMemoryTypeDevice;
  }

  awareness how_;
  std::vector<std::byte> nothing_ = std::vector<std::byte>(4096);
};
template <class Inner> aware(Inner&&, awareness) -> aware<Inner>;

} // namespace mocked
