// The strategies of train_text, assembled for ranks that are processes.
#include "job.hpp"
#include "run.hpp"
#include "tracing.hpp"

void train_text::run(tutti::mpi::communicator& world, const settings& s, const models::text_data& text) {
  tracing trace{s.trace, world.rank()};
  job{world, s, text, trace.part()}.run();
  trace.join(world);
}
