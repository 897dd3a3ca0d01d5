// bench/bars.hpp: what is drawn of measurements.
#include "../../bench/bars.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <unistd.h>

BOOST_AUTO_TEST_SUITE(bench_bars)

BOOST_AUTO_TEST_CASE(each_has_its_bar_its_number_and_its_mark) {
  const auto file = std::filesystem::temp_directory_path() / ("bars" + std::to_string(getpid()) + ".svg");
  bench::write_bars(file.string(), "of <copy>", {{"sum & mean", 0.5, 0.25}, {"median", 2, 0}});
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  std::filesystem::remove(file);
  const std::string svg = text.str();
  const auto count = [&](const std::string& part) {
    int n = 0;
    for (std::size_t at = svg.find(part); at != std::string::npos; at = svg.find(part, at + 1)) ++n;
    return n;
  };
  BOOST_CHECK_EQUAL(count("<rect"), 2);
  BOOST_CHECK_EQUAL(count("<line"), 1); // without a mark there is none
  BOOST_CHECK_EQUAL(count("of &lt;copy> "), 0);
  BOOST_CHECK_EQUAL(count(">of &lt;copy><"), 1);
  BOOST_CHECK_EQUAL(count(">sum &amp; mean<"), 1);
  BOOST_CHECK_EQUAL(count(">0.50<") + count(">2.00<"), 2);
  BOOST_CHECK_EQUAL(count("width=\"90\""), 1); // a quarter of the longest, which has 360
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_says_so) {
  BOOST_CHECK_EXCEPTION(bench::write_bars("/nowhere/bars.svg", "", {}), std::runtime_error,
                        [](const auto& e) { return std::string{e.what()} == "cannot write /nowhere/bars.svg"; });
}

BOOST_AUTO_TEST_SUITE_END()
