// Waiting for what another thread of a test does.
#pragma once

#include <chrono>
#include <stdexcept>
#include <thread>

/// By the real clock; a minute at most: what does not come is an error and not a hang.
template <class Done>
void wait_until(Done&& done) {
  const auto late = std::chrono::steady_clock::now() + std::chrono::minutes{1};
  while (!done()) {
    if (std::chrono::steady_clock::now() > late) throw std::runtime_error{"what was waited for has not come in a minute"};
    std::this_thread::yield();
  }
}
