// One file of every type and kind of shape, which exchange.py writes and reads too:
//   test_training --run_test=safetensors_exchange -- [--write FILE] [--read FILE]
#include "training/arguments.hpp"
#include "training/scratch.hpp"

#include <tutti/training/safetensors.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace {

namespace sx = tutti::safetensors;

const std::map<std::string, std::string> exchanged_note{{"note", "\xc3\xa9 \"\\/\n\x01 end"}};

std::vector<sx::description> exchanged_tensors() {
  const std::pair<const char*, std::vector<std::uint64_t>> kinds[] = {{"matrix", {2, 3}},
                                                                      {"scalar", {}},
                                                                      {"none", {0}},
                                                                      {"flat \"none\"\n", {2, 0}},
                                                                      {"\xe2\x82\xac", {1, 4, 2}}};
  std::vector<sx::description> out;
  for (int type = 0; type < 13; ++type)
    for (const auto& [kind, shape] : kinds)
      out.push_back({std::string{sx::name(sx::dtype(type))} + "." + kind, sx::dtype(type), shape});
  return out;
}

std::vector<std::byte> exchanged_bytes(const sx::entry& tensor) {
  std::vector<std::byte> out(tensor.end - tensor.begin);
  const std::size_t most = tensor.type == sx::dtype::boolean ? 2 : 251;
  for (std::size_t k = 0; k < out.size(); ++k)
    out[k] = std::byte((7 * k + tensor.name.size()) % most);
  return out;
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_exchange)

BOOST_AUTO_TEST_CASE(a_file_of_everything) {
  const scratch folder;
  const std::string from = argument("--read");
  const std::string to = argument("--write", from.empty() ? folder / "x" : "");
  if (!to.empty()) {
    sx::writer file{to, sx::layout{exchanged_tensors(), exchanged_note}};
    for (const sx::entry& tensor : file.layout().tensors())
      file.write_bytes(tensor, 0, exchanged_bytes(tensor));
    file.publish();
  }

  const sx::reader in{from.empty() ? to : from};
  BOOST_CHECK_EQUAL(in.size(), exchanged_tensors().size());
  BOOST_CHECK(in.metadata() == exchanged_note);
  for (const sx::description& wanted : exchanged_tensors()) {
    const sx::entry tensor = in.expect(wanted.name, wanted.type, wanted.shape);
    std::vector<std::byte> values(tensor.end - tensor.begin);
    in.read_bytes(tensor, 0, values);
    BOOST_CHECK_MESSAGE(values == exchanged_bytes(tensor), wanted.name << " holds other values");
  }
}

BOOST_AUTO_TEST_SUITE_END()
