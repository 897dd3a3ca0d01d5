// stream_execution: exchanges of device memory in the order of a stream.
#pragma once

#include <tutti/core/options.hpp>
#include <tutti/cuda/stream.hpp>

namespace tutti::cuda {

/// Given to exchange() of a communicator that moves device memory: the round is enqueued on a stream of the device that
/// holds what it names, and sees what was enqueued there before. The stream outlives the round.
struct stream_execution {
  static constexpr bool in_order = true;
  const stream& on;
  options how = {};
};

} // namespace tutti::cuda
