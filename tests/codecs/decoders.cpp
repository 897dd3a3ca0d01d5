// A few thousand messages of whatever bytes for every decoder; more by tests/codecs/fuzz/.
#include "codecs/decoders.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(message_decoders)

BOOST_AUTO_TEST_CASE(messages_of_whatever_bytes_are_decoded_or_refused) {
  for (const decoders::one& decoder : decoders::all) {
    constexpr int messages = 300;
    tutti::random_stream draw{2718};
    int refused = 0;
    for (int k = 0; k < messages; ++k) {
      std::vector<std::byte> bytes(draw.below(2) == 0 ? draw.below(40) : 4 + draw.below(3000));
      const std::uint32_t most = 1u << draw.below(9); // also of small numbers, which indices may be
      for (std::byte& b : bytes) b = std::byte(draw.below(most));
      for (std::size_t i = 0; i < 2 && i < bytes.size(); ++i) bytes[i] = std::byte(draw.below(256));
      refused += !decoder.try_message(bytes);
    }
    const bool names_places = decoder.name == "top_k";          // which may be none; all other codes are values,
    const bool names_itself = decoder.name == "round_messages"; // but for what says in its first bytes what it is
    BOOST_CHECK_MESSAGE(names_itself   ? refused == messages
                        : names_places ? refused > 0 && refused < messages
                                       : refused == 0,
                        decoder.name << " has refused " << refused);
  }
}

BOOST_AUTO_TEST_SUITE_END()
