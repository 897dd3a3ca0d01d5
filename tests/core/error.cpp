#include <tutti/core/error.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(core)

BOOST_AUTO_TEST_CASE(an_error_says_what_is_known_and_nothing_else) {
  using tutti::error, tutti::error_code;
  const error all{{.code = error_code::timeout,
                   .call = "all_reduce",
                   .rank = 2,
                   .peer = 0,
                   .detail = "no answer within 10 ms",
                   .native = "errno 110"}};
  BOOST_CHECK_EQUAL(all.what(),
                    "tutti: all_reduce: timeout on rank 2 (peer 0): no answer within 10 ms "
                    "[errno 110]");
  BOOST_CHECK_EQUAL(error({.code = error_code::bad_data}).what(), "tutti: bad_data");
  BOOST_CHECK_EQUAL(error({.code = error_code::peer_lost, .peer = 3}).what(),
                    "tutti: peer_lost (peer 3)");
  BOOST_CHECK_EQUAL(error({.call = "send", .native = "broken"}).what(),
                    "tutti: send: transport [broken]");
}

BOOST_AUTO_TEST_CASE(an_error_keeps_its_parts_when_it_is_copied_and_caught) {
  std::string call;
  try {
    const tutti::error original{
        {.code = tutti::error_code::mismatch, .call = "reduce", .rank = 1, .peer = 4}};
    throw tutti::error{original};
  } catch (const std::runtime_error& caught) {
    const auto& e = dynamic_cast<const tutti::error&>(caught);
    call = e.call();
    BOOST_CHECK(e.code() == tutti::error_code::mismatch && e.rank() == 1 && e.peer() == 4);
    BOOST_CHECK_EQUAL(e.native(), "");
  }
  BOOST_CHECK_EQUAL(call, "reduce");
}

BOOST_AUTO_TEST_CASE(every_code_has_a_name_of_its_own) {
  std::string names;
  for (int k = 0; k <= int(tutti::error_code::bad_data); ++k) {
    const std::string name{tutti::name(tutti::error_code(k))};
    BOOST_CHECK(name != "unknown" && names.find(" " + name + " ") == std::string::npos);
    names += " " + name + " ";
  }
  BOOST_CHECK_EQUAL(tutti::name(tutti::error_code(200)), "unknown");
}

BOOST_AUTO_TEST_SUITE_END()
