// A progress bar on stderr: a moving line on a terminal, ten lines in a log.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include <unistd.h>

namespace support {

class progress {
public:
  /// Prints only when `shown`; `total` is what done counts to.
  progress(bool shown, long total) : shown_{shown}, total_{total}, terminal_{isatty(2) == 1} {}

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

  void update(long done, const std::string& text) {
    const auto now = std::chrono::steady_clock::now();
    const bool due = terminal_ ? now - last_ > std::chrono::milliseconds(100)
                               : done * 10 / total_ > printed_ * 10 / total_;
    if (!shown_ || (!due && done != total_)) return;
    last_ = now;
    printed_ = done;
    constexpr long width = 24;
    const long filled = done * width / total_;
    const double left = done > 0 ? seconds() / double(done) * double(total_ - done) : 0;
    std::fprintf(stderr, "%s[%s%s] %ld/%ld  %s  %.0f s left%s", terminal_ ? "\r\x1b[K" : "",
                 std::string(std::size_t(filled), '#').c_str(),
                 std::string(std::size_t(width - filled), '.').c_str(), done, total_, text.c_str(),
                 left, terminal_ && done != total_ ? "" : "\n");
    std::fflush(stderr);
  }

private:
  bool shown_;
  long total_;
  bool terminal_;
  long printed_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), last_{};
};

/// 1234567 as "1.23 MB".
inline std::string bytes_text(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int u = 0;
  for (; bytes >= 1000 && u < 4; ++u) bytes /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, u == 0 ? "%.0f %s" : "%.2f %s", bytes, units[u]);
  return text;
}

} // namespace support
