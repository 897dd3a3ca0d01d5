// Which of many checkpoints is the last, and which are not kept.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/training/files.hpp>
#include <tutti/training/folders.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace tutti {

namespace detail {

/// A name that ends in a number: "step-100".
struct numbered_name {
  std::string_view before, digits;

  explicit numbered_name(std::string_view name) {
    const std::size_t end = name.find_last_not_of("0123456789");
    const std::size_t begin = end == std::string_view::npos ? 0 : end + 1;
    before = name.substr(0, begin);
    digits = name.substr(begin);
  }
  bool has_number() const noexcept { return !digits.empty(); }
  /// By number, however long: never as text.
  bool is_below(const numbered_name& other) const noexcept {
    const std::string_view a = without_zeros(digits), b = without_zeros(other.digits);
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  }

private:
  static std::string_view without_zeros(std::string_view digits) noexcept {
    return digits.substr((std::min)(digits.find_first_not_of('0'), digits.size()));
  }
};

inline std::string_view without(std::string_view name, std::string_view suffix) noexcept {
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

inline bool holds_checkpoint(const std::string& folder) noexcept {
  struct stat about = {};
  return ::stat((folder + "/" + std::string{state_file}).c_str(), &about) == 0;
}
/// Where the checkpoint of a path is now: a program may have been killed just before the last
/// moment.
inline std::string where_published(const std::string& path) {
  const std::string before = path + std::string{previous_ending};
  return !holds_checkpoint(path) && holds_checkpoint(before) ? before : path;
}

/// Deletes those before `path` of the same name but for the number, until `keep` are left with it;
/// and what killed programs have left of them.
template <class Calls> void keep_last(const char* call, const std::string& path, int keep) {
  const std::string folder = folder_of(path);
  const std::string name = path.substr(path.find_last_of('/') + 1);
  const numbered_name mine{name};
  std::vector<std::string> older;
  for (const std::string& found : names_in(call, folder)) {
    const std::string_view whole = without(without(found, partial_ending), previous_ending);
    const numbered_name other{whole};
    if (other.before != mine.before || !other.has_number() || !other.is_below(mine)) continue;
    const std::string at = folder + "/" + found;
    if (what_is_at(call, at) != found_at::folder || !foreign_name(call, at).empty()) continue;
    if (whole.size() == found.size()) older.push_back(found);
    else remove_checkpoint<Calls>(call, at);
  }
  std::sort(older.begin(), older.end(), [](const std::string& a, const std::string& b) {
    return numbered_name{a}.is_below(numbered_name{b});
  });
  for (std::size_t k = 0; k + std::size_t(keep) <= older.size(); ++k) {
    const std::string at = folder + "/" + older[k], away = at + std::string{partial_ending};
    bool there = true;
    rename_for_good<Calls>(call, at, away, there); // half of one is no checkpoint
    remove_checkpoint<Calls>(call, away);
  }
}

} // namespace detail

/// The checkpoint in this folder whose name ends in the greatest number - step-100 rather than
/// step-9 - to be given to load; empty where there is none, or no such folder. What a killed
/// program left unfinished is none.
inline std::string latest_checkpoint(std::string folder) {
  const char* const call = "latest_checkpoint";
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  struct stat about = {};
  if (::stat(folder.c_str(), &about) != 0) {
    if (errno == ENOENT) return {};
    detail::system_refused(call, folder, "cannot be looked at", errno);
  }
  std::string latest;
  for (const std::string& found : detail::names_in(call, folder)) {
    const std::string name{detail::without(found, detail::previous_ending)};
    const detail::numbered_name number{name};
    if (!number.has_number() || !detail::holds_checkpoint(folder + "/" + found)) continue;
    const detail::numbered_name best{latest};
    const bool same = !best.is_below(number) && !number.is_below(best);
    if (latest.empty() || (same ? latest < name : best.is_below(number))) latest = name;
  }
  return latest.empty() ? latest : folder + "/" + latest;
}

} // namespace tutti
