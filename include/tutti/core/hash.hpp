// One number for many, the same on every rank: what ranks compare instead of all that they have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tutti::detail {

inline constexpr std::uint64_t hash_of_nothing = 14695981039346656037u;

/// `hash`, and then `value` (the step of FNV-1a).
constexpr std::uint64_t hashed(std::uint64_t hash, std::uint64_t value) noexcept {
  return (hash ^ value) * 1099511628211u;
}

/// A text that holds the name of a type; name_of_type() cuts it out.
template <class T>
constexpr const char* text_with_type() noexcept {
#if defined(__GNUC__)
  return __PRETTY_FUNCTION__;
#else
  return "";
#endif
}
/// As the compiler writes it; empty where it does not say.
inline std::string name_of_type(std::string_view text) {
  const std::size_t begin = text.find("T = ");
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin + 4, text.rfind(']') - begin - 4);
  return std::string{text.substr(0, text.find(';'))}; // behind it g++ says what abbreviations stand for
}

/// A number for a type, the same on every rank that runs the same binary.
template <class T>
constexpr std::uint64_t type_hash() noexcept {
  std::uint64_t h = hash_of_nothing;
  for (const char* c = detail::text_with_type<T>(); *c != '\0'; ++c)
    h = detail::hashed(h, static_cast<unsigned char>(*c));
  return h;
}

} // namespace tutti::detail
