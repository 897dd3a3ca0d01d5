// What a library of Python takes for the same work: a script that prints lines "NAME: SECONDS", by TUTTI_PYTHON, else python3.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace bench {

using seconds_of = std::map<std::string, double>;

class python_peer {
public:
  /// `script` lies under bench/. It runs once to see whether what it needs can be had.
  python_peer(const std::string& script, const std::string& arguments) {
    const char* const python = std::getenv("TUTTI_PYTHON");
    command_ = std::string{python ? python : "python3"} + " " + TUTTI_SOURCE_DIR + "/bench/" + script + " " + arguments +
               " 2>/dev/null";
    found_ = !run().empty();
  }
  bool found() const { return found_; }
  /// What it prints in a process of its own; nothing where it is not to be had.
  seconds_of once() const { return found_ ? run() : seconds_of{}; }

private:
  seconds_of run() const {
    seconds_of all;
    FILE* const out = popen(command_.c_str(), "r");
    if (out == nullptr) return all;
    std::array<char, 64> name{};
    for (double value = 0; std::fscanf(out, " %63[^:]: %lf", name.data(), &value) == 2;) all[name.data()] = value;
    if (pclose(out) != 0) all.clear();
    return all;
  }

  std::string command_;
  bool found_ = false;
};

} // namespace bench
