// Folders by POSIX calls: looked into, made, taken away, and published in one step.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/process.hpp>
#include <tutti/training/files.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <sys/stat.h>

namespace tutti::detail {

enum class found_at { nothing, folder, something_else };

/// What is at a path; a link is something else.
inline found_at what_is_at(const char* call, const std::string& path) {
  struct stat about = {};
  if (::lstat(path.c_str(), &about) == 0)
    return S_ISDIR(about.st_mode) ? found_at::folder : found_at::something_else;
  if (errno == ENOENT || errno == ENOTDIR) return found_at::nothing;
  system_refused(call, path, "cannot be looked at", errno);
}

/// In no order.
inline std::vector<std::string> names_in(const char* call, const std::string& folder) {
  struct closes {
    void operator()(DIR* open) const noexcept { ::closedir(open); }
  };
  const std::unique_ptr<DIR, closes> open{::opendir(folder.c_str())};
  if (!open) system_refused(call, folder, "cannot be looked into", errno);
  std::vector<std::string> names;
  for (errno = 0; const dirent* one = ::readdir(open.get()); errno = 0)
    if (const std::string_view name{one->d_name}; name != "." && name != "..")
      names.emplace_back(name);
  if (errno != 0) system_refused(call, folder, "cannot be read to its end", errno);
  return names;
}

/// The folder that path is in, and those that that one is in.
template <class Calls> void make_folders_above(const char* call, const std::string& path) {
  const std::string above = folder_of(path);
  if (what_is_at(call, above) != found_at::nothing) return;
  make_folders_above<Calls>(call, above);
  if (Calls::mkdir(above.c_str()) != 0 && errno != EEXIST)
    system_refused(call, above, "cannot be made", errno);
  flush_folder<Calls>(call, folder_of(above));
}

/// The files of a checkpoint. A folder that holds anything else is nobody's to take away or
/// replace.
inline constexpr std::string_view model_file = "model.safetensors",
                                  state_file = "state.safetensors";
inline constexpr std::string_view partial_ending = ".partial", previous_ending = ".previous";

/// The name of something in the folder that is no part of a checkpoint; empty where there is none.
inline std::string foreign_name(const char* call, const std::string& folder) {
  for (const std::string& name : names_in(call, folder)) {
    std::string_view whole = name;
    if (whole.ends_with(partial_ending)) whole.remove_suffix(partial_ending.size());
    if (whole != model_file && whole != state_file) return name;
  }
  return {};
}
/// `invalid_argument` where it is not one that a checkpoint may replace.
inline void require_replaceable(const char* call, const std::string& path) {
  std::string why;
  const found_at what = what_is_at(call, path);
  if (what == found_at::something_else)
    why = "is a file or a link - give the folder of the checkpoint itself";
  else if (what == found_at::folder)
    if (const std::string name = foreign_name(call, path); !name.empty())
      why = "holds " + name + ", which is of no checkpoint - give a folder that holds nothing else";
  if (!why.empty())
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = path + ": " + why}};
}

/// Takes a checkpoint away, if there is one.
template <class Calls> void remove_checkpoint(const char* call, const std::string& path) {
  require_replaceable(call, path);
  if (what_is_at(call, path) == found_at::nothing) return;
  for (const std::string& name : names_in(call, path))
    if (const std::string file = path + "/" + name; Calls::unlink(file.c_str()) != 0)
      system_refused(call, file, "cannot be deleted", errno);
  if (Calls::rmdir(path.c_str()) != 0) system_refused(call, path, "cannot be deleted", errno);
}

/// A folder on its way: PATH.partial until it is published, and taken away where it never is.
template <class Calls> class folder_in_making {
public:
  /// What a killed program left in its place is taken away.
  folder_in_making(const char* call, std::string path) : call_{call}, path_{std::move(path)} {
    require_replaceable(call_, path_);
    make_folders_above<Calls>(call_, path_);
    remove_checkpoint<Calls>(call_, now());
    if (Calls::mkdir(now().c_str()) != 0) system_refused(call_, now(), "cannot be made", errno);
    there_ = true;
  }
  folder_in_making(const folder_in_making&) = delete;
  folder_in_making& operator=(const folder_in_making&) = delete;
  ~folder_in_making() {
    if (!there_ || !maker_.is_this()) return;
    for (const std::string_view name : {model_file, state_file})
      Calls::unlink((now() + "/" + std::string{name}).c_str());
    Calls::rmdir(now().c_str());
  }

  std::string now() const { return path_ + std::string{partial_ending}; }

  /// When all that it holds is on the disk. Whoever looks, and whenever, finds at the path what was
  /// there before or all of this; where the system cannot exchange two folders, there is a moment
  /// in which what was there is PATH.previous, and nothing is at the path.
  void publish() {
    if (what_is_at(call_, path_) == found_at::nothing) {
      rename_for_good<Calls>(call_, now(), path_, there_);
    } else if (Calls::exchange(now().c_str(), path_.c_str()) == 0) {
      there_ = false; // what has this name now is the old one
      flush_folder<Calls>(call_, folder_of(path_));
    } else if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
      remove_checkpoint<Calls>(call_, before());
      bool kept = true;
      rename_for_good<Calls>(call_, path_, before(), kept);
      try {
        rename_for_good<Calls>(call_, now(), path_, there_);
      } catch (...) {
        if (there_) Calls::rename(before().c_str(), path_.c_str());
        throw;
      }
    } else {
      system_refused(call_, now(), "cannot be exchanged with " + path_, errno);
    }
  }
  /// When it is published: takes away what was there before.
  void remove_old() const {
    remove_checkpoint<Calls>(call_, now());
    remove_checkpoint<Calls>(call_, before());
  }

private:
  std::string before() const { return path_ + std::string{previous_ending}; }

  const char* call_;
  std::string path_;
  bool there_ = false;
  process maker_;
};

} // namespace tutti::detail
