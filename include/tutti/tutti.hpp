// Everything of tutti that needs only the standard library.
// MPI: <tutti/mpi/mpi.hpp>. CUDA: <tutti/cuda/...>. Virtual time: <tutti/communicators/simulated.hpp>. Proofs and drawings of schedules:
// <tutti/topologies/proof.hpp>, <tutti/topologies/svg.hpp>. Law checkers: <tutti/reducers/laws.hpp>...
#pragma once

#include <tutti/codecs/cast.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/identity.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/random_k.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/codecs/stochastic.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/checked.hpp>
#include <tutti/communicators/counted.hpp>
#include <tutti/communicators/faulty.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/communicators/traced.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/delay_compensated.hpp>
#include <tutti/optimizers/schedules.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/strategy/strategy.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/k_nomial_tree.hpp>
#include <tutti/topologies/one_shot.hpp>
#include <tutti/topologies/pat.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>
#include <tutti/topologies/torus.hpp>
