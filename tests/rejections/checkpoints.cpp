// What trainers have in headers of their own.
#include <tutti/tutti.hpp>

// REJECT save_without_its_header: tutti::trainer: save and load have a header of their own - include <tutti/training/checkpoint.hpp>
#if defined REJECT_save_without_its_header
#else
#  include <tutti/training/checkpoint.hpp> // indented: check.sh reads the others once for all cases
#endif

#include <vector>

void saved(tutti::self& comm, std::vector<float>& w) {
  tutti::strategy strategy{comm};
  auto trainer = strategy.bind(w, tutti::sgd{});
  trainer.save("runs/step-1", {.keep = 2});
  for (const std::string& differs : trainer.load("runs/step-1")) (void)differs;
}
