// The strategies of train_text, assembled for ranks that are threads.
#include "job.hpp"
#include "run.hpp"

void train_text::run(tutti::threads::communicator& world, const settings& s, const models::text_data& text) {
  job{world, s, text}.run();
}
