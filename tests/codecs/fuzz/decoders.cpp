// libFuzzer for one decoder, the one that TUTTI_DECODER names; `-` says which there are.
#include "codecs/decoders.hpp"

#include <cstdio>
#include <cstdlib>

namespace {
const decoders::one* chosen = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* const name = std::getenv("TUTTI_DECODER");
  for (const decoders::one& one : decoders::all)
    if (name && one.name == name) chosen = &one;
  if (chosen) return 0;
  if (name && std::string_view{name} == "-") {
    for (const decoders::one& one : decoders::all) std::puts(std::string{one.name}.c_str());
    std::exit(0);
  }
  std::fprintf(stderr, "TUTTI_DECODER names no decoder - set it to one of those that it lists for -\n");
  std::exit(2);
}
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t n) {
  (void)chosen->try_message(std::as_bytes(std::span{data, n}));
  return 0;
}
