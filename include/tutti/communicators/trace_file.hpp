// What ranks did and when, in a file of the Chrome trace format: open it with Perfetto (ui.perfetto.dev) or
// chrome://tracing.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// A file that any number of `traced` communicators of this process write to, each one rank's part; processes write
/// one each, under names of their own. Whatever has been written is whole: the file is valid JSON at any time, also
/// when the program ends by an exception. It outlives the communicators.
///
/// A rank is a process row, with tracks of its own on which spans do not overlap: what it computes, combines and waits
/// for, and one track for each message that is in flight together with others. Times are microseconds, by the clock of
/// the communicator.
class trace_file {
public:
  /// Throws `transport` when it cannot be written.
  explicit trace_file(std::string path) : path_{std::move(path)}, file_{std::fopen(path_.c_str(), "wb")} {
    if (!file_) fail();
    put(beginning);
  }
  trace_file(const trace_file&) = delete;
  trace_file& operator=(const trace_file&) = delete;
  ~trace_file() {
    if (file_) std::fclose(file_);
  }

  /// Nothing is written after this. Throws `transport` when not all was.
  void close() {
    std::scoped_lock lock{guard_};
    if (!file_) return;
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!whole_ || !closed) fail();
  }

  /// Some events, each ended by a comma and a line break. For `traced`.
  void append(const std::string& events) noexcept {
    std::scoped_lock lock{guard_};
    if (file_ && events.size() > 2) put(events);
  }

private:
  static constexpr const char* beginning = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  static constexpr const char* ending = "\n]}\n";

  /// In the place of the ending, which then comes again.
  void put(const std::string& text) noexcept {
    const bool first = end_ == 0;
    const std::string all = first ? text + ending : (any_ ? ",\n" : "") + text.substr(0, text.size() - 2) + ending;
    if (!first) any_ = true;
    whole_ = whole_ && std::fseek(file_, end_, SEEK_SET) == 0 &&
             std::fwrite(all.data(), 1, all.size(), file_) == all.size() && std::fflush(file_) == 0;
    end_ += long(all.size() - std::strlen(ending));
  }
  [[noreturn]] void fail() const {
    throw error{{.code = error_code::transport,
                 .call = "trace_file",
                 .detail = "cannot write " + path_ + " - give a file in a folder that is there, on a disk with room",
                 .native = std::strerror(errno)}};
  }

  const std::string path_;
  std::mutex guard_;
  std::FILE* file_;
  long end_ = 0; ///< where the ending begins
  bool any_ = false;
  bool whole_ = true;
};

namespace detail {

/// One rank's spans, on their way to the file.
class rank_trace {
public:
  enum track : int { computes = 1, combines = 2, waits = 3, flies = 4 };

  rank_trace(trace_file& to, int rank, deadline now) : file_{to}, rank_{rank}, last_{now} {
    const std::string name = "rank " + std::to_string(rank);
    entry("\"ph\":\"M\",\"name\":\"process_name\",\"args\":{\"name\":\"" + name + "\"}", computes);
    entry("\"ph\":\"M\",\"name\":\"process_sort_index\",\"args\":{\"sort_index\":" + std::to_string(rank) + "}",
          computes);
    name_track(computes, "computes");
    name_track(combines, "combines");
    name_track(waits, "waits");
  }
  rank_trace(const rank_trace&) = delete;
  ~rank_trace() {
    for (open_span& s : open_) write(s);
    file_.append(text_);
  }

  /// Between two calls on its communicator a rank computes.
  void enter(deadline now) {
    if (depth_++ == 0 && now - last_ >= least_computing) add(computes, "computes", last_, now);
  }
  void leave(deadline now) {
    --depth_;
    last_ = now;
  }
  /// A span that goes on where the one before it on its track ended not long ago, if `joins`.
  void add(track on, const char* name, deadline begin, deadline end, bool joins = true) {
    if (end <= begin) return;
    open_span& last = open_[on];
    if (joins && last.name && begin - last.end < least_computing) {
      last.end = end;
      return;
    }
    write(last);
    last = {on, name, begin, end};
  }
  /// A rank that waits on waits for something else.
  void wait_ends() { write(open_[waits]); }

  /// Messages are in flight: on which track.
  int take_off() {
    std::size_t lane = 0;
    while (lane < lanes_.size() && lanes_[lane]) ++lane;
    if (lane == lanes_.size()) {
      lanes_.push_back(true);
      name_track(flies + int(lane), ("in flight " + std::to_string(lane + 1)).c_str());
    }
    lanes_[lane] = true;
    return flies + int(lane);
  }
  void land(int on, const std::string& name, std::size_t bytes, deadline begin, deadline end) {
    lanes_[std::size_t(on - flies)] = false;
    span(name.c_str(), on, begin, end, ",\"args\":{\"bytes\":" + std::to_string(bytes) + "}");
  }

private:
  static constexpr auto least_computing = std::chrono::microseconds{1};
  static constexpr std::size_t most_kept = std::size_t{1} << 16;

  struct open_span {
    int on = 0;
    const char* name = nullptr;
    deadline begin{}, end{};
  };

  void write(open_span& s) {
    if (s.name) span(s.name, s.on, s.begin, s.end, "");
    s.name = nullptr;
  }
  void span(const char* name, int on, deadline begin, deadline end, const std::string& more) {
    entry("\"ph\":\"X\",\"name\":\"" + std::string{name} + "\",\"ts\":" + microseconds(begin.time_since_epoch()) +
              ",\"dur\":" + microseconds(end - begin) + more, on);
  }
  void name_track(int on, const char* name) {
    entry("\"ph\":\"M\",\"name\":\"thread_name\",\"args\":{\"name\":\"" + std::string{name} + "\"}", on);
  }
  void entry(const std::string& what, int on) {
    text_ += "{\"pid\":" + std::to_string(rank_) + ",\"tid\":" + std::to_string(on) + "," + what + "},\n";
    if (text_.size() < most_kept) return;
    file_.append(text_);
    text_.clear();
  }
  /// With three decimals.
  static std::string microseconds(clock::duration d) {
    const std::int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
    const std::string part = std::to_string(1000 + ns % 1000);
    return std::to_string(ns / 1000) + "." + part.substr(1);
  }

  trace_file& file_;
  const int rank_;
  deadline last_; ///< when it was in its communicator
  int depth_ = 0;
  open_span open_[flies];
  std::vector<bool> lanes_;
  std::string text_;
};

} // namespace detail
} // namespace tutti
