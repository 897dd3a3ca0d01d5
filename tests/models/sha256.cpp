#include "sha256.hpp"

#include <boost/test/unit_test.hpp>

#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

std::string hash_of(std::string_view text) {
  return models::hex(models::sha256(std::as_bytes(std::span{text})));
}

} // namespace

BOOST_AUTO_TEST_SUITE(models)
BOOST_AUTO_TEST_SUITE(hashes)

// The examples of FIPS 180-4, one block and two, and no bytes at all.
BOOST_AUTO_TEST_CASE(are_those_of_the_standard) {
  BOOST_TEST(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  BOOST_TEST(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  BOOST_TEST(hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

BOOST_AUTO_TEST_CASE(are_the_same_on_threads_that_hash_at_once) {
  std::vector<std::string> found(4);
  std::vector<std::thread> threads;
  for (std::string& hash : found) {
    threads.emplace_back([&hash] { hash = hash_of("abc"); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }

  for (const std::string& hash : found) {
    BOOST_TEST(hash == hash_of("abc"));
  }
}

BOOST_AUTO_TEST_CASE(are_written_with_two_lower_case_digits_a_byte) {
  const std::vector<unsigned char> bytes{0x00, 0x0f, 0xa0, 0xff};

  BOOST_TEST(models::hex(bytes) == "000fa0ff");
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
