// Everything of tutti that needs MPI.
#pragma once

#include <tutti/mpi/communicator.hpp> // mpi::communicator, mpi::world
#include <tutti/mpi/environment.hpp>  // mpi::environment
#include <tutti/mpi/run.hpp>          // mpi::run
