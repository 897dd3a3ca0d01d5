// What a GPU would run: kernels in a cubin (an ELF file), and which instructions they are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace cubin {

/// Instructions of a kernel, sixteen bytes each: the operation is in the low 12 bits, the width of a load or store in
/// bits 73 to 75, where 6 is 128 bits (sm_90; found by compiling known accesses).
struct kernel {
  std::string name;                                                   ///< as C++ writes it
  std::size_t loads = 0, wide_loads = 0, stores = 0, wide_stores = 0; ///< of global memory
  std::size_t local = 0;                                              ///< loads and stores of local memory
  std::size_t fused = 0;                                              ///< multiply-adds of float and double
  std::size_t registers = 0;                                          ///< of a thread
};

inline void count(kernel& k, std::uint64_t low, std::uint64_t high) {
  const auto operation = unsigned(low & 0xfff), form = operation & 0x1ff;
  const bool wide = (high >> 9 & 7) == 6;
  switch (operation) {
  case 0x981:
  case 0x381:
    ++k.loads, k.wide_loads += wide;
    break;
  case 0x986:
  case 0x386:
    ++k.stores, k.wide_stores += wide;
    break;
  case 0x983:
  case 0x383:
  case 0x987:
  case 0x387:
    ++k.local;
    break;
  default:
    k.fused += form == 0x023 || form == 0x02b; // FFMA, DFMA
  }
}

/// A mangled name as C++ writes it.
inline std::string written(const std::string& name) {
  int status = 0;
  char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  const std::string all = text ? text : name;
  std::free(text);
  return all;
}

/// The kernels in a file. No file, no kernels.
inline std::vector<kernel> read(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  const std::string bytes{std::istreambuf_iterator<char>{file}, {}};
  const auto at = [&]<class X>(std::size_t where, X x) {
    if (where + sizeof x <= bytes.size()) std::memcpy(&x, bytes.data() + where, sizeof x);
    return x;
  };
  std::vector<kernel> all;
  std::vector<std::uint32_t> symbols;
  std::map<std::uint32_t, std::uint32_t> registers; ///< by the symbols of kernels
  if (bytes.size() < 64 || bytes.compare(0, 4, "\177ELF") != 0) return all;
  const auto sections = at(0x28, std::uint64_t{});
  const auto size = at(0x3a, std::uint16_t{}), many = at(0x3c, std::uint16_t{}), names = at(0x3e, std::uint16_t{});
  const auto text = at(sections + std::size_t{names} * size + 0x18, std::uint64_t{});
  for (std::size_t s = 0; s < many; ++s) {
    const std::size_t header = sections + s * size;
    const std::string name = bytes.c_str() + text + at(header, std::uint32_t{});
    const auto begin = at(header + 0x18, std::uint64_t{}), length = at(header + 0x20, std::uint64_t{});
    if (name == ".nv.info") // entries of a form, an attribute and a length or a value; 0x2f are registers
      for (std::size_t i = begin; i < begin + length;) {
        const bool has_length = bytes[i] == 4;
        if (has_length && bytes[i + 1] == 0x2f) registers[at(i + 4, std::uint32_t{})] = at(i + 8, std::uint32_t{});
        i += 4 + (has_length ? at(i + 2, std::uint16_t{}) : 0);
      }
    if (name.compare(0, 6, ".text.") != 0) continue;
    kernel k;
    k.name = written(name.substr(6));
    symbols.push_back(at(header + 0x2c, std::uint32_t{}));
    for (std::size_t i = begin; i + 16 <= begin + length; i += 16)
      count(k, at(i, std::uint64_t{}), at(i + 8, std::uint64_t{}));
    all.push_back(std::move(k));
  }
  for (std::size_t k = 0; k < all.size(); ++k) all[k].registers = registers[symbols[k]];
  return all;
}

} // namespace cubin
