// peer_buffer: memory of a device on every rank, which all ranks reach where it is.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/cuda/peer_access.hpp>
#include <tutti/cuda/plain_buffer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::cuda {

/// n values of this rank, and the same of all others, in memory of their devices: ranks that are threads reach them by
/// peer access, processes of one machine by CUDA IPC. That they do is not taken from what the runtime says, which holds
/// on paper alone in some containers: everyone copies a few words from everyone, once. Where one rank does not reach
/// another, reaches() is false on all ranks, why_not() names a reason, and this rank's own values are memory like any.
///
/// Making one and ending it is collective, on a communicator that outlives it: memory is given back when nobody reaches
/// for it any more. A rank that ends it while an exception is under way, or whose peers do not come, leaves it to the
/// end of the process. What ranks do with each other's values they order by events, as direct_all_reduce does: of these
/// a rank has as many `moments` as it is made with.
/// Cost: a cudaMalloc, a handle opened a rank, seven all_gathers of a few words. Errors: out_of_memory; unsupported
/// while the stream is captured; transport; those of collectives.
template <class T> class peer_buffer {
public:
  template <communicator Comm>
  peer_buffer(Comm& comm, const stream& on, std::size_t n, const options& how = {}, std::size_t moments = 3)
      : peer_buffer{std::make_unique<control_on<Comm>>(comm, how), on, n, false, moments} {}
  /// `by_handles`: also within a process, which only a mock of the runtime allows.
  peer_buffer(std::unique_ptr<control> ranks, const stream& on, std::size_t n, bool by_handles, std::size_t moments = 3)
      : ranks_{std::move(ranks)}, on_{on}, own_moments_(moments) {
    try {
      own_ = plain_buffer<T>{on, n};
    } catch (const error& e) {
      ranks_->fail(e.details());
    }
    open_all(n, by_handles);
    if (reaches()) agree(probed());
  }
  peer_buffer(const peer_buffer&) = delete;
  peer_buffer& operator=(const peer_buffer&) = delete;
  ~peer_buffer() {
    if (std::uncaught_exceptions() == 0 && is_over()) return;
    own_.abandon(); // others may still read it, and wait for moments
    for (auto& moment : own_moments_) moment.abandon();
  }

  bool reaches() const noexcept { return why_not_.empty(); }
  const std::string& why_not() const noexcept { return why_not_; }

  const stream& on() const noexcept { return on_; }
  std::size_t size() const noexcept { return own_.size(); }
  device_span<T> span() const noexcept { return own_.span(); }
  /// Another rank's values, as this rank's kernels and copies see them, where ranks reach each other.
  device_span<T> of(int rank) const { return {peers_[std::size_t(rank)].data, size(), on_.device()}; }

  /// This rank's moment k, of what its stream was given so far; and another's, for this rank's stream to wait for.
  /// Between the two ranks tell each other that it was recorded.
  void record(std::size_t k) const { own_moments_[k].record(on_); }
  void wait_for(int rank, std::size_t k) const { detail::wait_for(on_, peers_[std::size_t(rank)].events[k]); }
  /// All ranks have come here.
  void meet() { static_cast<void>(ranks_->gather(std::array<std::uint64_t, 1>{})); }
  control& ranks() noexcept { return *ranks_; }

private:
  struct peer {
    T* data = nullptr;
    std::vector<cudaEvent_t> events;
    detail::opened_memory opened;
    std::vector<detail::shared_event> opened_events;
  };
  static constexpr std::size_t memory_words = sizeof(cudaIpcMemHandle_t) / 8;
  static constexpr std::size_t event_words = sizeof(cudaIpcEventHandle_t) / 8;

  /// Ranks tell each other where they and their values are, and open what others have.
  void open_all(std::size_t n, bool by_handles) {
    const auto here = detail::whereabouts::own();
    const std::uint64_t where[] = {here.machine, here.process, std::uint64_t(on_.device()), n};
    const auto all = ranks_->gather(where);
    bool within = !by_handles, near = true;
    for (std::size_t r = 0; r < all.size(); r += 4) {
      within = within && all[r + 1] == here.process;
      near = near && all[r] == here.machine;
      if (all[r + 3] != n)
        ranks_->fail({.code = error_code::mismatch,
                      .call = "cuda::peer_buffer",
                      .peer = int(r / 4),
                      .detail = "this rank has " + std::to_string(n) + " values, and rank " + std::to_string(r / 4) +
                                " has " + std::to_string(all[r + 3]) + " - give as many on every rank"});
    }
    std::vector<std::uint64_t> mine(memory_words + own_moments_.size() * event_words, 0);
    agree(near ? guarded([&] { describe(mine, within); }) : "ranks are on several machines");
    if (!reaches()) return;
    const auto others = ranks_->gather(mine);
    peers_ = std::vector<peer>(std::size_t(ranks_->size()));
    std::string wrong;
    for (std::size_t r = 0; r < peers_.size() && wrong.empty(); ++r)
      wrong = guarded([&] { open(r, others.data() + r * mine.size(), int(all[4 * r + 2]), within); });
    agree(std::move(wrong));
  }
  template <class Use> static std::string guarded(Use&& use) {
    try {
      use();
      return {};
    } catch (const error& e) {
      return e.details().detail.empty() ? e.details().call + ": " + e.details().native : e.details().detail;
    }
  }
  /// What this rank says of its values and moments: addresses, or handles.
  void describe(std::vector<std::uint64_t>& mine, bool within) {
    for (auto& moment : own_moments_) moment = detail::shared_event{on_.device(), !within};
    const current_device held{on_.device()};
    if (within) {
      mine[0] = reinterpret_cast<std::uint64_t>(own_.span().data());
      for (std::size_t k = 0; k < own_moments_.size(); ++k)
        mine[memory_words + k * event_words] = reinterpret_cast<std::uint64_t>(own_moments_[k].handle());
      return;
    }
    const auto put = [&](const auto& handle, std::size_t at) {
      const auto words = detail::words_of(handle);
      std::copy(words.begin(), words.end(), mine.begin() + std::ptrdiff_t(at));
    };
    if (size() > 0) {
      cudaIpcMemHandle_t handle{};
      cuda::check(cudaIpcGetMemHandle(&handle, own_.span().data()), "cudaIpcGetMemHandle");
      put(handle, 0);
    }
    for (std::size_t k = 0; k < own_moments_.size(); ++k) {
      cudaIpcEventHandle_t handle{};
      cuda::check(cudaIpcGetEventHandle(&handle, own_moments_[k].handle()), "cudaIpcGetEventHandle");
      put(handle, memory_words + k * event_words);
    }
  }
  void open(std::size_t r, const std::uint64_t* words, int device, bool within) {
    peer& p = peers_[r];
    if (r == std::size_t(ranks_->rank())) {
      p.data = own_.span().data();
      for (const auto& moment : own_moments_) p.events.push_back(moment.handle());
      return;
    }
    const std::uint64_t* const moments_there = words + memory_words;
    if (within) {
      if (std::string why = detail::reach_device(on_.device(), device); !why.empty())
        throw error{{.code = error_code::transport, .detail = std::move(why)}};
      p.data = reinterpret_cast<T*>(words[0]);
      for (std::size_t k = 0; k < own_moments_.size(); ++k)
        p.events.push_back(reinterpret_cast<cudaEvent_t>(moments_there[k * event_words]));
      return;
    }
    if (size() > 0) {
      p.opened = detail::opened_memory{on_.device(), detail::handle_of<cudaIpcMemHandle_t>(words)};
      p.data = static_cast<T*>(p.opened.data());
    }
    for (std::size_t k = 0; k < own_moments_.size(); ++k) {
      const auto handle = detail::handle_of<cudaIpcEventHandle_t>(moments_there + k * event_words);
      p.events.push_back(p.opened_events.emplace_back(on_.device(), handle).handle());
    }
  }
  /// Everyone's first values are copied from where they are. What is wrong with that.
  std::string probed() {
    const std::size_t bytes = (std::min)(size() * sizeof(T), std::size_t{8});
    const auto pattern = [](int rank) { return 0x9e3779b97f4a7c15u * std::uint64_t(rank + 1); };
    std::string wrong = guarded([&] {
      const std::uint64_t mine = pattern(ranks_->rank());
      copy(span().data(), &mine, bytes, cudaMemcpyHostToDevice);
    });
    meet();
    for (int r = 0; r < ranks_->size() && wrong.empty(); ++r)
      wrong = guarded([&] {
        std::uint64_t seen = 0, right = 0;
        const std::uint64_t theirs = pattern(r);
        std::memcpy(&right, &theirs, bytes);
        copy(&seen, of(r).data(), bytes, cudaMemcpyDeviceToHost);
        if (seen != right)
          throw error{{.code = error_code::transport,
                       .detail = "what is read of rank " + std::to_string(r) + " is not what it has written"}};
      });
    meet(); // before anybody writes
    return wrong;
  }
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    const current_device held{on_.device()};
    cuda::check(cudaMemcpyAsync(to, from, bytes, kind, on_.handle()), "cudaMemcpyAsync");
    on_.wait();
  }
  /// On all ranks the reason of the first that has one.
  void agree(std::string wrong) {
    constexpr std::size_t length = 32; // words
    std::array<std::uint64_t, length> text{};
    std::memcpy(text.data(), wrong.data(), (std::min)(wrong.size(), sizeof text - 1));
    const auto all = ranks_->gather(text);
    for (std::size_t r = 0; r < std::size_t(ranks_->size()); ++r)
      if (const char* const said = reinterpret_cast<const char*>(all.data() + r * length); *said != '\0') {
        why_not_ = "rank " + std::to_string(r) + ": " + said;
        peers_.clear();
        return;
      }
  }
  /// Nobody reaches for this rank's values any more.
  bool is_over() noexcept {
    try {
      if (cudaStreamSynchronize(on_.handle()) != cudaSuccess) return false;
      peers_.clear();
      meet();
      return true;
    } catch (...) {
      return false;
    }
  }

  std::unique_ptr<control> ranks_;
  const stream& on_;
  plain_buffer<T> own_;
  std::vector<detail::shared_event> own_moments_;
  std::vector<peer> peers_;
  std::string why_not_;
};

} // namespace tutti::cuda
