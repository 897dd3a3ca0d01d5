// A strategy on tensors in device memory, whose trainer works on the host: gradients come out, parameters go back.
#pragma once

#include <tutti/core/tensor.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cuda {

/// A tensor (core/tensor.hpp) whose values are in the memory of a device.
template <class T> struct device_tensor {
  std::string name;
  device_span<T> values;
  std::vector<std::int64_t> shape = {};
};

namespace detail {

/// Tensors of the host beside those of a device, in memory that it copies from and to.
template <class T> class mirror {
public:
  mirror(const stream& on, const char* call, std::span<const device_tensor<T>> of) : slot_{bytes_of(of)} {
    auto* next = reinterpret_cast<T*>(slot_.data());
    for (const device_tensor<T>& t : of) {
      detail::require_one_device(on, call, t.values);
      host_.push_back({t.name, {next, t.values.size()}, t.shape});
      next += t.values.size();
    }
  }
  std::vector<tensor<T>>& tensors() noexcept { return host_; }
  std::span<T> operator[](std::size_t k) const { return host_[k].values; }
  host_slot& slot() noexcept { return slot_; }

  void fetch(const stream& on, std::size_t k, const void* from) {
    if (!host_[k].values.empty())
      slot_.copy(on, host_[k].values.data(), from, host_[k].values.size_bytes(), cudaMemcpyDeviceToHost);
  }
  void publish(const stream& on, std::size_t k, void* to) {
    if (!host_[k].values.empty())
      slot_.copy(on, to, host_[k].values.data(), host_[k].values.size_bytes(), cudaMemcpyHostToDevice);
  }

private:
  static std::size_t bytes_of(std::span<const device_tensor<T>> of) {
    std::size_t n = 1; // no tensors are some memory, too
    for (const auto& t : of) n += t.values.size();
    return n * sizeof(T);
  }
  host_slot slot_;
  std::vector<tensor<T>> host_;
};

} // namespace detail

/// A trainer of strategy.bind and the tensors of a device that it trains: cuda::bind makes it. Its optimizer and what
/// that remembers are on the host, which spares the device's memory (Ren et al., "ZeRO-Offload", USENIX ATC 2021); the
/// same trainer, so all policies, checkpoints and bits are those of the host. One stream's; used by one thread.
template <class T, class Trainer> class offloaded_trainer {
public:
  template <class Strategy, class Optimizer, class... More>
  offloaded_trainer(Strategy& strategy, const stream& on, std::vector<device_tensor<T>> parameters, Optimizer optimizer,
                    const More&... more)
      : on_{on}, parameters_{std::move(parameters)}, values_{on, "cuda::bind", parameters_},
        gradients_{on, "cuda::bind", parameters_}, trainer_{strategy.bind(fetched(), std::move(optimizer), more...)} {
    publish();
  }
  offloaded_trainer(const offloaded_trainer&) = delete;
  offloaded_trainer& operator=(const offloaded_trainer&) = delete;

  /// One step with gradients that the stream was given before, as many as there are parameters and as long; a tensor
  /// that has none has no values. Each is offered as soon as it is on the host, the last one first, while others are
  /// still on their way. Returns when the parameters are on their way back: what the stream is given next finds them.
  /// Collective where the policy's step is. Errors: those of trainer::step, after which the parameters are as they
  /// were; invalid_argument; unsupported while the stream is captured; transport.
  void step(std::span<const device_tensor<const T>> gradients) {
    detail::refuse_capture(on_, call, "the trainer works on the host, which takes part in every step");
    if (gradients.size() != parameters_.size()) refuse_count(gradients.size());
    std::vector<tensor<const T>> given;
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      const auto& values = gradients[k].values;
      detail::require_one_device(on_, call, values);
      if (!values.empty()) detail::require_length(call, parameters_[k].values, values);
      given.push_back({parameters_[k].name, gradients_[k].first(values.size()), parameters_[k].shape});
    }
    values_.slot().wait();
    gradients_.slot().wait();
    std::vector<event> here;
    for (std::size_t k = gradients.size(); k-- > 0;) {
      if (!gradients[k].values.empty()) gradients_.fetch(on_, k, gradients[k].values.data());
      here.emplace_back(on_);
    }
    trainer_.begin(given);
    for (std::size_t k = gradients.size(); k-- > 0;) {
      if (gradients[k].values.empty()) continue;
      here[gradients.size() - 1 - k].wait();
      trainer_.ready(k);
    }
    trainer_.finish();
    publish();
  }

  /// As those of the trainer; parameters that they change go to the device.
  void join() {
    values_.slot().wait();
    trainer_.join();
    publish();
  }
  void finalize() {
    values_.slot().wait();
    trainer_.finalize();
    publish();
  }
  template <class Folder, class... How> void save(const Folder& folder, const How&... how) {
    trainer_.save(folder, how...);
  }
  template <class Folder> std::vector<std::string> load(const Folder& folder) {
    values_.slot().wait();
    auto differences = trainer_.load(folder);
    publish();
    return differences;
  }

  /// For everything else that it can tell.
  Trainer& on_host() noexcept { return trainer_; }

private:
  static constexpr const char* call = "cuda::offloaded_trainer";

  std::vector<tensor<T>>& fetched() {
    detail::refuse_capture(on_, "cuda::bind", "bind before the capture begins");
    for (std::size_t k = 0; k < parameters_.size(); ++k) values_.fetch(on_, k, parameters_[k].values.data());
    values_.slot().wait();
    return values_.tensors();
  }
  void publish() {
    for (std::size_t k = 0; k < parameters_.size(); ++k) values_.publish(on_, k, parameters_[k].values.data());
  }
  [[noreturn]] void refuse_count(std::size_t n) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .detail = "there are " + std::to_string(n) + " gradients for " + std::to_string(parameters_.size()) +
                           " parameters"}};
  }

  const stream& on_;
  std::vector<device_tensor<T>> parameters_;
  detail::mirror<T> values_, gradients_;
  Trainer trainer_;
};

/// strategy.bind(parameters, optimizer, more...) of tensors in device memory, which the stream was given before.
/// Collective. Strategy, stream and values outlive what is returned. Errors: those of bind; unsupported while the
/// stream is captured.
template <class T, class Strategy, class Optimizer, class... More>
auto bind(Strategy& strategy, const stream& on, std::vector<device_tensor<T>> parameters, Optimizer optimizer,
          const More&... more) {
  using trainer = decltype(strategy.bind(std::declval<std::vector<tensor<T>>&>(), optimizer, more...));
  return offloaded_trainer<T, trainer>{strategy, on, std::move(parameters), std::move(optimizer), more...};
}

} // namespace tutti::cuda
