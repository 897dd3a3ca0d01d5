// The JSON of a safetensors header: objects, strings and arrays of unsigned integers, and nothing
// else. Of what a hostile file may hold nothing is copied: strings are decoded where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tutti::detail {

/// The bytes of the UTF-8 character that text, which is not empty, begins with; 0 where there is
/// none: overlong forms, surrogates and what lies above U+10FFFF are none.
constexpr std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t k) {
    return k < text.size() ? unsigned(static_cast<unsigned char>(text[k])) : 0u;
  };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (std::size_t k = 2; k < length; ++k)
    if ((byte(k) & 0xc0) != 0x80) return 0;
  return length;
}

constexpr bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Text of a file, for a message: what cannot be printed is a question mark, and there is an end to
/// it.
inline std::string quoted(std::string_view text) {
  constexpr std::size_t most = 64;
  std::string out = "'";
  for (const char c : text.substr(0, most)) {
    const bool printable = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
    out += printable ? c : '?';
  }
  return out + (text.size() > most ? "...'" : "'");
}

/// Appends text, which is UTF-8, as a JSON string.
inline void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view plain = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt",
                             digits = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (const std::size_t k = plain.find(c); k != std::string_view::npos)
      (out += '\\') += letters[k];
    else if (static_cast<unsigned char>(c) < 0x20)
      ((out += "\\u00") += digits[std::size_t(c) >> 4]) += digits[std::size_t(c) & 15];
    else out += c;
  }
  out += '"';
}

/// What is wrong with a header.
struct complaint_about_header {
  std::string what;
};

/// A part of the header.
struct header_piece {
  std::uint32_t at = 0, length = 0;
};

/// Walks over the text once, from its first byte, and overwrites strings with what they mean. What
/// is not as it should be is a `complaint_about_header`.
class json_text {
public:
  explicit json_text(std::span<char> text) : text_{text} {}

  std::string_view operator[](header_piece p) const noexcept {
    return {text_.data() + p.at, p.length};
  }

  /// `member(key)` for each member, with the walk standing before the value, which it walks over.
  template <class Member> void object(Member&& member) {
    expect('{');
    if (take('}')) return;
    do {
      const header_piece key = string();
      expect(':');
      member(key);
    } while (take(','));
    expect('}');
  }

  /// `number(value)` for each element of an array; where in the text the array is.
  template <class Number> header_piece numbers(Number&& number) {
    expect('[');
    const std::size_t begin = at_ - 1;
    if (!take(']')) {
      do number(unsigned_number());
      while (take(','));
      expect(']');
    }
    return between(begin, at_);
  }

  header_piece string() {
    expect('"');
    const std::size_t begin = at_;
    for (std::size_t to = at_;;) {
      const char c = peek();
      if (c == '"') {
        ++at_;
        return between(begin, to);
      }
      if (c == '\\') {
        to = put(to, escape());
        continue;
      }
      const std::size_t length = at_ < text_.size() ? utf8_length(rest()) : 0;
      if (at_ == text_.size()) complain("a string has no end");
      if (static_cast<unsigned char>(c) < 0x20) complain("a control character in a string");
      if (length == 0) complain("no UTF-8");
      for (std::size_t k = 0; k < length; ++k) text_[to++] = text_[at_++];
    }
  }

  /// Only spaces are left.
  void only_padding() {
    for (; at_ < text_.size(); ++at_)
      if (text_[at_] != ' ') complain("something other than spaces follows the header's object");
  }

private:
  // Between any two tokens; not before the first: a header begins with its brace.
  void skip_space() {
    const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
    while (at_ > 0 && at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view rest() const { return {text_.data() + at_, text_.size() - at_}; }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) complain(std::string{"expected "} + c);
  }

  std::uint64_t unsigned_number() {
    constexpr std::uint64_t most = UINT64_MAX;
    skip_space();
    if (peek() == '-') complain("a number is below 0");
    if (!is_digit()) complain("expected a number");
    if (peek() == '0') {
      ++at_;
      if (is_digit()) complain("a number begins with 0");
    }
    std::uint64_t value = 0;
    for (; is_digit(); ++at_) {
      const auto digit = std::uint64_t(peek() - '0');
      if (value > (most - digit) / 10) complain("a number is above 2^64 - 1");
      value = value * 10 + digit;
    }
    if (const char c = peek(); c == '.' || c == 'e' || c == 'E') complain("a number is no integer");
    return value;
  }
  bool is_digit() const { return peek() >= '0' && peek() <= '9'; }

  std::uint32_t escape() {
    ++at_;
    const char c = peek();
    ++at_;
    switch (c) {
    case '"':
    case '\\':
    case '/':
      return std::uint32_t(c);
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'u':
      break;
    default:
      --at_, complain("no escape of JSON");
    }
    const std::uint32_t first = hexadecimal();
    if (first < 0xd800 || first > 0xdfff) return first;
    const bool pair = first < 0xdc00 && rest().substr(0, 2) == "\\u";
    if (!pair) complain("half a surrogate pair");
    at_ += 2;
    const std::uint32_t second = hexadecimal();
    if (second < 0xdc00 || second > 0xdfff) complain("half a surrogate pair");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  std::uint32_t hexadecimal() {
    std::uint32_t value = 0;
    for (int k = 0; k < 4; ++k, ++at_) {
      const char c = peek();
      const bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'f',
                 upper = c >= 'A' && c <= 'F';
      if (!digit && !lower && !upper) complain("an escape without four hexadecimal digits");
      value = value * 16 + std::uint32_t(digit ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  }

  // A character takes no more bytes than its escape.
  std::size_t put(std::size_t to, std::uint32_t character) {
    const auto low = [&](int shift) { return char(0x80 | ((character >> shift) & 0x3f)); };
    if (character < 0x80) {
      text_[to++] = char(character);
    } else if (character < 0x800) {
      text_[to++] = char(0xc0 | (character >> 6));
      text_[to++] = low(0);
    } else if (character < 0x10000) {
      text_[to++] = char(0xe0 | (character >> 12));
      text_[to++] = low(6);
      text_[to++] = low(0);
    } else {
      text_[to++] = char(0xf0 | (character >> 18));
      text_[to++] = low(12);
      text_[to++] = low(6);
      text_[to++] = low(0);
    }
    return to;
  }

  static header_piece between(std::size_t begin, std::size_t end) {
    return {std::uint32_t(begin), std::uint32_t(end - begin)};
  }

  [[noreturn]] void complain(std::string what) const {
    throw complaint_about_header{"byte " + std::to_string(at_) + " of the header: " + what};
  }

  std::span<char> text_;
  std::size_t at_ = 0;
};

} // namespace tutti::detail
