// What one rank found wrong. Checking never throws and never stops, so that a test that fails on
// one rank does not leave the others waiting; who started the ranks asserts the verdict of all of
// them.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

class report {
public:
  /// `text` is what should have been, or something that makes it.
  template <class Text> bool check(bool holds, Text&& text) {
    ++checks_;
    if (holds) return true;
    if (++failures_ <= 20) {
      if constexpr (requires { text(); }) faults_ += "\n  " + std::string{text()};
      else faults_ += "\n  " + std::string{std::forward<Text>(text)};
    }
    return false;
  }

  bool passed() const { return failures_ == 0; }
  std::string text() const {
    return std::to_string(failures_) + " of " + std::to_string(checks_) +
           " checks failed:" + faults_;
  }

private:
  std::size_t checks_ = 0, failures_ = 0;
  std::string faults_;
};
