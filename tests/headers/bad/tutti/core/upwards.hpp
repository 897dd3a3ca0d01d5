// Wrong on purpose, for the check of the include graph.
#include <tutti/core/fine.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <mpi.h>
#include "functional"
