// Checkpoints: folders from which training goes on with the same bits.
//
//   trainer.save("runs/step-100", {.keep = 3});
//   ...
//   const std::string last = tutti::latest_checkpoint("runs");
//   if (!last.empty())
//     for (const std::string& differs : trainer.load(last)) std::puts(differs.c_str());
//
// A folder is written under another name, PATH.partial, by all ranks together, each its part,
// straight from memory; when everything is on the disk it is renamed. So a path is a complete
// checkpoint or none, whenever a program is killed. What is in it is said in
// training/checkpoint_layout.hpp; parameters are in a file of their own, which the tools of the
// format read.
//
// Loading reads everything before it changes anything. Values that ranks share, or own parts of,
// are loaded by any number of ranks; those that each has its own of, by as many as have saved them.
// What servers hold is owned by them: on another number of ranks workers pull it first, and the
// copies, counts and scales of the loss that each worker had of its own cannot be carried over.
// The numbers of the program's are those of rank 0.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/training/checkpoint_layout.hpp>
#include <tutti/training/checkpoint_reading.hpp>
#include <tutti/training/checkpoint_writing.hpp>
#include <tutti/training/latest.hpp>
#include <tutti/training/options.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What trainers call: a template, so that nothing of it is compiled where nothing is saved.
template <class Folder> struct checkpoints {
  template <class T, class Visit>
  static void save(control& ranks, const flat_model<T>& model, const Visit& visit,
                   std::map<std::string, std::string> knobs, const Folder& folder,
                   const save_options& how) {
    detail::save_checkpoint(ranks, {tensor_places{model}, visit, std::move(knobs)},
                            std::string{folder}, how);
  }
  template <class T, class Visit>
  static std::vector<std::string> load(control& ranks, const flat_model<T>& model,
                                       const Visit& visit, std::map<std::string, std::string> knobs,
                                       const Folder& folder) {
    return detail::load_checkpoint(ranks, {tensor_places{model}, visit, std::move(knobs)},
                                   std::string{folder});
  }
};

} // namespace tutti::detail
