// For tests of what is said to whoever asks for what cannot be.
#pragma once

#include <exception>
#include <string>

namespace trial {

/// What call() throws, its first line.
template <class Call>
std::string text_of(Call&& call) {
  try {
    call();
  } catch (const std::exception& e) {
    const std::string all = e.what();
    return all.substr(0, all.find('\n'));
  }
  return "nothing";
}

} // namespace trial
