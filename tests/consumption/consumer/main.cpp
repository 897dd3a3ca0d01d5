#include <tutti/tutti.hpp>

#ifdef WITH_MPI
#include <tutti/mpi/mpi.hpp>
#endif

int main() {}
