// Runs a test's body, body(communicator, report), on simulated ranks.
#pragma once

#include "communicators/report.hpp"

#include <boost/test/unit_test.hpp>

#include <tutti/communicators/simulated.hpp>

#include <exception>
#include <string>
#include <vector>

template <class Body>
tutti::simulated::report on_simulated(int ranks, const tutti::simulated::machine& on, Body&& body) {
  std::vector<report> reports(static_cast<std::size_t>(ranks));
  std::string thrown;
  tutti::simulated::report took;
  try {
    took = tutti::simulated::run(ranks, on, [&](tutti::simulated::communicator& comm) {
      body(comm, reports[static_cast<std::size_t>(comm.rank())]);
    });
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  BOOST_CHECK_MESSAGE(thrown.empty(), "on " << ranks << " ranks: threw " << thrown);
  for (int r = 0; r < ranks; ++r) {
    const report& mine = reports[static_cast<std::size_t>(r)];
    BOOST_CHECK_MESSAGE(mine.passed(), "rank " << r << " of " << ranks << ": " << mine.text());
  }
  return took;
}
