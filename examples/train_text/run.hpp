// train_text on one rank, for each of the two transports.
#pragma once

#include "settings.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/mpi/communicator.hpp>

namespace train_text {

/// Collective: every rank has the same settings and text.
void run(tutti::threads::communicator& world, const settings& s, const models::text_data& text);
void run(tutti::mpi::communicator& world, const settings& s, const models::text_data& text);

} // namespace train_text
