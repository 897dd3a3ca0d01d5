// What the tests on the mock share.
#pragma once

#include "cuda_mock/mock.hpp"

#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/stream.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace mocked {

namespace cuda = tutti::cuda;

/// What a call is refused with; nothing where it is not.
template <class Call> std::string refusal(Call&& call) {
  try {
    call();
  } catch (const tutti::error& e) {
    return e.what();
  }
  return {};
}
inline bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Values on a stream's device, `offset` of them behind the start of an allocation.
template <class T> class placed {
public:
  placed(const cuda::stream& on, const std::vector<T>& values, std::size_t offset = 0)
      : on_{on}, all_{on, values.size() + offset}, span_{all_.span().subspan(offset, values.size())} {
    if (!values.empty())
      cuda::check(
          cudaMemcpyAsync(span_.data(), values.data(), values.size() * sizeof(T), cudaMemcpyDefault, on.handle()),
          "copy");
  }
  cuda::device_span<T> span() const { return span_; }
  cuda::device_span<const T> read() const { return span_; }
  std::vector<T> values() const {
    std::vector<T> to(span_.size());
    if (!to.empty())
      cuda::check(cudaMemcpyAsync(to.data(), span_.data(), to.size() * sizeof(T), cudaMemcpyDefault, on_.handle()),
                  "copy");
    on_.wait();
    return to;
  }

private:
  const cuda::stream& on_;
  cuda::device_buffer<T> all_;
  cuda::device_span<T> span_;
};

} // namespace mocked
