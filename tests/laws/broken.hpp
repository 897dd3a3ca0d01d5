#pragma once

#include <tutti/core/laws.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace laws {

/// The names of the laws that are broken, in alphabetical order.
inline std::string broken(const tutti::law_report& report) {
  std::vector<std::string> names;
  for (const auto& b : report.broken()) names.push_back(b.law);
  std::sort(names.begin(), names.end());
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

} // namespace laws
