// Wrong on purpose, for the check of the include graph.
#include <tutti/core/fine.hpp>
#include <tutti/mpi/communicator.hpp>
#include "relative.hpp"
