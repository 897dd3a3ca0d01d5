// Many copies within a device in one launch, by CUB.
#pragma once

#include <tutti/cuda/copy_table.hpp>
#include <tutti/cuda/cub_version.cuh>
#include <tutti/cuda/launch.cuh>

#include <cub/device/device_memcpy.cuh>

#include <cstddef>
#include <cstdint>

namespace tutti::cuda::detail {

/// Bytes of workspace for so many copies.
template <class Built> std::size_t workspace_for_copies(const stream& on, std::size_t count) {
  const current_device held{on.device()};
  std::size_t bytes = 0;
  cuda::check(cub::DeviceMemcpy::Batched(nullptr, bytes, static_cast<const void* const*>(nullptr),
                                         static_cast<void* const*>(nullptr), static_cast<const std::size_t*>(nullptr),
                                         std::int64_t(count), on.handle()),
              "cub::DeviceMemcpy::Batched");
  return bytes;
}
template <class Built>
void copy_all(const stream& on, const copy_table& table, std::byte* workspace, std::size_t bytes) {
  const current_device held{on.device()};
  cuda::check(cub::DeviceMemcpy::Batched(workspace, bytes, table.from, table.to, table.sizes, std::int64_t(table.count),
                                         on.handle()),
              "cub::DeviceMemcpy::Batched");
}

} // namespace tutti::cuda::detail
