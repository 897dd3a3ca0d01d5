// Which rank is on which node, and whether the node has a core for each of them.
#pragma once

#include <tutti/mpi/native.hpp>

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace tutti::mpi::detail {

struct node_map {
  std::vector<int> node_of; ///< of each rank; numbered by first appearance
  bool crowded = false;     ///< more ranks on this rank's node than cores that they may run on
  bool roomy = false;       ///< a second core for each of them

  /// The same for some of the ranks.
  node_map among(const std::vector<int>& members) const {
    std::vector<int> number(node_of.size(), -1);
    node_map map{{}, crowded, roomy};
    int count = 0;
    for (const int m : members) {
      int& n = number[std::size_t(node_of[std::size_t(m)])];
      if (n < 0) n = count++;
      map.node_of.push_back(n);
    }
    return map;
  }
};

/// The cores that this thread may run on, one bit each; all of them where the system does not say.
inline std::vector<unsigned long long> allowed_cores() {
  std::vector<unsigned long long> mask(16, ~0ull);
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    std::memcpy(mask.data(), &set, (std::min)(sizeof set, mask.size() * sizeof mask[0]));
#endif
  return mask;
}

/// Collective over comm.
inline node_map find_nodes(MPI_Comm comm) {
  int rank = 0, size = 1, here = 1;
  check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");

  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
        "MPI_Comm_split_type", rank);
  check(MPI_Comm_size(node, &here), "MPI_Comm_size");
  int first = rank; // the lowest rank names the node
  check(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, node), "MPI_Allreduce", rank);
  auto cores = allowed_cores(); // of all ranks of the node: a launcher may give each its own
  check(MPI_Allreduce(MPI_IN_PLACE, cores.data(), int(cores.size()), MPI_UNSIGNED_LONG_LONG,
                      MPI_BOR, node),
        "MPI_Allreduce", rank);
  check(MPI_Comm_free(&node), "MPI_Comm_free");

  node_map map;
  map.node_of.resize(std::size_t(size));
  check(MPI_Allgather(&first, 1, MPI_INT, map.node_of.data(), 1, MPI_INT, comm), "MPI_Allgather",
        rank);
  int count = 0;
  for (int r = 0; r < size; ++r) {
    int& mine = map.node_of[std::size_t(r)];
    mine = mine == r ? count++ : map.node_of[std::size_t(mine)];
  }
  int total = 0;
  for (const auto word : cores) total += std::popcount(word);
  map.crowded = here > total;
  map.roomy = 2 * here <= total;
  return map;
}

} // namespace tutti::mpi::detail
