// The memory of a device as a memory space (training/memory.hpp): strategies on tensors there.
#pragma once

#include <tutti/core/tensor.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/stream.hpp>

#include <span>
#include <string>

namespace tutti::cuda {

namespace detail {

template <class T> class device_verbs;

} // namespace detail

/// Where tensors of a device are, and in the order of which stream a trainer works on them:
///
///   auto trainer = strategy.bind(parameters, optimizer, cuda::device_memory{on});
///   trainer.step(gradients);          // which the stream was given before
///
/// The model, what the optimizer remembers of it, and contributions stay on the device. Where kernels know the
/// reducer, what is reduced over a schedule travels from there over an nccl_communicator - without a topology by its
/// own collectives where they compute the same - and over an MPI that takes device memory when it runs. It is encoded
/// there by cast to four bytes or fewer and by int8_block, fp8_block and sign_block of 128 or 256 values, inside of
/// error_feedback or not; over another communicator encoded bytes are then what goes through the host. Without a codec,
/// ranks that are threads, or processes of one machine, and reach each other's device memory, which they try, reduce it
/// where it is over tutti::direct (the default of up to eight ranks, where no topology is named); then the end of the
/// trainer is collective, as a peer_buffer's is. Anything else that travels goes through the host, and where servers
/// answer what they keep. The same trainer, so every policy and every checkpoint of the host is there, with the same
/// bits: only norms, by which gradients are clipped, are added up in another order. What the stream is given next finds
/// the step done, whatever of it has yet to be. Include <tutti/cuda/device_verbs.cuh> where bind and step are called.
/// The stream outlives the trainer.
///
/// Over NCCL a step may be captured that was made once before, if the host waits for no verdict (non_finite::pass, no
/// clipping), every step of the policy is alike and the optimizer has the same numbers in each: a graph repeats those
/// of its step. That counts for its first launch; trainer.replayed(times) counts the others. Whatever needs the host
/// refuses (unsupported).
class device_memory {
public:
  template <class T> using span = device_span<T>;
  template <class T> using verbs = detail::device_verbs<T>;

  explicit device_memory(const stream& on) noexcept : on_{&on} {}
  const stream& on() const noexcept { return *on_; }

  /// What is wrong with values there; empty when nothing is.
  template <class T> std::string wrong(const device_span<T>& values) const {
    if (values.empty() || values.device() == on_->device()) return {};
    return "values are on device " + std::to_string(values.device()) + " and the stream on device " +
           std::to_string(on_->device()) + " - copy the values there first";
  }

  /// Values of this memory, as whoever has tensors there knows them.
  template <class T> device_span<T> values(std::span<T> place) const noexcept {
    return {place.data(), place.size(), on_->device()};
  }

private:
  const stream* on_;
};

/// A tensor in the memory of a device.
template <class T> using device_tensor = tensor<T, device_memory>;

} // namespace tutti::cuda
