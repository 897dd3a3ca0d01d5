// Two nodes on this machine, for as long as an object of this kind lives: see two_nodes.sh.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace bench {

inline const std::string two_nodes =
    std::string("bash ") + TUTTI_SOURCE_DIR + "/bench/network/two_nodes.sh ";

class cable {
public:
  explicit cable(const std::string& rate) {
    command("down");
    if (command("up " + rate) != 0)
      throw std::runtime_error(
          "cannot make network namespaces - run it as root, where ip and tc are "
          "there and the kernel has veth and tbf");
  }
  ~cable() { command("down"); }
  cable(const cable&) = delete;
  cable& operator=(const cable&) = delete;

private:
  static int command(const std::string& what) { return std::system((two_nodes + what).c_str()); }
};

} // namespace bench
