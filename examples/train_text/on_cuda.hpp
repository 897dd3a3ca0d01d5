// train_text --device cuda: another program beside this one, which nvcc compiles (cuda_train_text.cu).
#pragma once

#include "settings.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace train_text {

/// Throws for what GPUs are not given.
inline void check_on_cuda(const settings& s) {
  const auto refuse = [](const std::string& what, const char* instead) {
    throw std::runtime_error("train_text: --device cuda is here without " + what + " - " + instead);
  };
  if (s.sync != "synchronous") refuse("--sync " + s.sync, "leave --sync out");
  if (s.topology != "default") refuse("--topology " + s.topology, "leave --topology out");
  if (s.codec != "identity" || s.priced) refuse("a codec", "leave --codec and --priced out");
  if (!s.save.empty() || s.save_every > 0 || !s.resume.empty())
    refuse("checkpoints", "leave --save, --save-every and --resume out");
  if (!s.plot.empty() || !s.trace.empty() || !s.json.empty() || !s.onnx.empty() || s.explain)
    refuse("reports in files", "leave --plot, --trace, --json, --onnx and --explain out");
}

/// Replaces this process by that program, with the same numbers. Returns only by an exception.
[[noreturn]] inline void become_cuda(const settings& s) {
  check_on_cuda(s);
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  std::vector<std::string> words{(folder / "cuda_train_text").string()};
  const auto pass = [&](const char* name, const std::string& value) { words.insert(words.end(), {name, value}); };
  const auto number = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return std::string{text};
  };
  if (!s.data.empty()) pass("--data", s.data);
  pass("--ranks", std::to_string(s.ranks));
  pass("--accumulate", std::to_string(s.accumulate));
  pass("--clip", number(s.clip));
  pass("--steps", std::to_string(s.recipe.steps));
  pass("--batch", std::to_string(s.recipe.batch));
  pass("--learning-rate", number(s.recipe.peak_learning_rate));
  pass("--seed", std::to_string(s.seed));
  pass("--sample", s.sample);
  pass("--score", std::to_string(s.score));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::fflush(nullptr);
  execv(arguments[0], arguments.data());
  throw std::runtime_error("train_text: cannot start " + words[0] + ": " + std::strerror(errno) +
                           " - --device cuda needs it, which is built where there is a CUDA toolkit (nvcc)");
}

} // namespace train_text
