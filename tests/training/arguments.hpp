// What is given to the runner after `--`.
#pragma once

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>

/// The word after `option`, or `otherwise` where that is not given.
inline std::string argument(std::string_view option, std::string otherwise = "") {
  const auto& given = boost::unit_test::framework::master_test_suite();
  for (int k = 1; k + 1 < given.argc; ++k)
    if (given.argv[k] == option) return given.argv[k + 1];
  return otherwise;
}
