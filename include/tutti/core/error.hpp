// Every failure of tutti is one exception type that says which call failed, where, and because of whom.
#pragma once

#if !defined(__cpp_exceptions)
#error "tutti: every failure is an exception, they are off - compile without -fno-exceptions"
#include <tutti/core/no_exceptions> // there is none: the compiler stops here, after one sentence
#endif

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace tutti {

enum class error_code : std::uint8_t {
  invalid_argument, ///< a call was made with values that cannot work; nothing was sent
  mismatch,         ///< ranks disagree about a call: its kind, length, type or plan
  peer_lost,        ///< a rank threw, left or died; `peer` names it
  timeout,          ///< the deadline passed; `peer` is the one that was waited for
  non_finite,       ///< a gradient, or what was reduced, holds a NaN or an infinity
  out_of_memory,    ///< memory or shared memory could not be had
  transport,        ///< the native layer (MPI, CUDA, system call) reported an error; see `native`
  unsupported,      ///< this build or machine cannot do what was asked
  unsafe_build,     ///< floating-point arithmetic is not what the source says: a build, or a mode
  bad_data          ///< a file or a message does not hold what it should
};

constexpr std::string_view name(error_code code) noexcept {
  switch (code) {
  case error_code::invalid_argument: return "invalid_argument";
  case error_code::mismatch: return "mismatch";
  case error_code::peer_lost: return "peer_lost";
  case error_code::timeout: return "timeout";
  case error_code::non_finite: return "non_finite";
  case error_code::out_of_memory: return "out_of_memory";
  case error_code::transport: return "transport";
  case error_code::unsupported: return "unsupported";
  case error_code::unsafe_build: return "unsafe_build";
  case error_code::bad_data: return "bad_data";
  }
  return "unknown";
}

/// What is known of a failure. Members that do not apply keep their defaults.
struct failure {
  error_code code = error_code::transport;
  std::string call = {};   ///< the public call that failed: "all_reduce"
  int rank = -1;           ///< the rank that reports
  int peer = -1;           ///< the rank that caused it
  std::string detail = {}; ///< what is wrong and what to do
  std::string native = {}; ///< the text of MPI, CUDA or the system
};

/// The exception of the library.
/// `what()` reads "tutti: CALL: CODE on rank R (peer P): DETAIL [NATIVE]".
class error : public std::runtime_error {
public:
  explicit error(failure what) : std::runtime_error{text(what)}, failure_{std::move(what)} {}

  error_code code() const noexcept { return failure_.code; }
  int rank() const noexcept { return failure_.rank; }
  int peer() const noexcept { return failure_.peer; }
  const std::string& call() const noexcept { return failure_.call; }
  const std::string& native() const noexcept { return failure_.native; }
  const failure& details() const noexcept { return failure_; }

private:
  static std::string text(const failure& f) {
    std::string out = "tutti: ";
    if (!f.call.empty()) out += f.call + ": ";
    out += name(f.code);
    if (f.rank >= 0) out += " on rank " + std::to_string(f.rank);
    if (f.peer >= 0) out += " (peer " + std::to_string(f.peer) + ")";
    if (!f.detail.empty()) out += ": " + f.detail;
    if (!f.native.empty()) out += " [" + f.native + "]";
    return out;
  }

  failure failure_;
};

} // namespace tutti
