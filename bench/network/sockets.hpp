// A TCP connection between two ranks, and nothing else: two threads in send and recv, for comparison.
#pragma once

#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace bench {

class sockets {
public:
  /// Collective on two ranks. Rank 0 listens on the address that two_nodes.sh has given its node.
  template <class Comm>
  explicit sockets(Comm& comm) {
    std::vector<std::uint32_t> place(2); // address and port, as the network orders them
    const int ear = comm.rank() == 0 ? listen_on(place) : -1;
    tutti::broadcast(comm, place);
    fd_ = ear >= 0 ? accept(ear, nullptr, nullptr) : socket(AF_INET, SOCK_STREAM, 0);
    if (ear >= 0) close(ear);
    check(fd_, "socket");
    if (ear >= 0) return;
    const sockaddr_in there = at(place[0], std::uint16_t(place[1]));
    check(connect(fd_, reinterpret_cast<const sockaddr*>(&there), sizeof there), "connect");
  }
  sockets(const sockets&) = delete;
  sockets& operator=(const sockets&) = delete;
  ~sockets() { close(fd_); }

  /// As many bytes each way at the same time.
  void exchange(std::vector<char>& out, std::vector<char>& in) const {
    std::jthread sender{[&] {
      for (std::size_t done = 0; done < out.size();)
        done += moved(send(fd_, out.data() + done, piece(out.size() - done), MSG_NOSIGNAL));
    }};
    for (std::size_t done = 0; done < in.size();)
      done += moved(recv(fd_, in.data() + done, piece(in.size() - done), MSG_WAITALL));
  }

private:
  static std::size_t piece(std::size_t bytes) { return (std::min)(bytes, std::size_t{1} << 20); }
  static std::size_t moved(ssize_t bytes) {
    if (bytes <= 0) throw std::runtime_error("sockets: the connection is lost");
    return std::size_t(bytes);
  }
  static void check(int result, const char* call) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), call);
  }
  static sockaddr_in at(std::uint32_t address, std::uint16_t port) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = address;
    place.sin_port = port;
    return place;
  }
  static int listen_on(std::vector<std::uint32_t>& place) {
    const char* address = std::getenv("tutti_address_of_a");
    if (!address) throw std::runtime_error("sockets: run this by two_nodes.sh");
    sockaddr_in here = at(inet_addr(address), 0);
    socklen_t length = sizeof here;
    const int ear = socket(AF_INET, SOCK_STREAM, 0);
    check(ear, "socket");
    check(bind(ear, reinterpret_cast<const sockaddr*>(&here), length), "bind");
    check(listen(ear, 1), "listen");
    check(getsockname(ear, reinterpret_cast<sockaddr*>(&here), &length), "getsockname");
    place = {here.sin_addr.s_addr, here.sin_port};
    return ear;
  }

  int fd_ = -1;
};

} // namespace bench
