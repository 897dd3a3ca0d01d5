// Plays: who says what, read from text in which a line with a name and a colon begins a speech.
#pragma once

#include "data_file.hpp"
#include "random.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace models {

/// Characters that follow `context` others of the same speech: what a model of the next character is trained on.
/// Before a speech begins there are only line breaks.
struct play {
  static constexpr int context = 8;

  std::string text;                  ///< speeches, each after `context` line breaks
  std::vector<std::uint32_t> places; ///< of the characters that are to be predicted
  std::vector<int> role_of;          ///< of each place
  std::vector<std::string> roles;
  std::array<std::uint8_t, 256> code{}; ///< a number for each character that occurs, the same in all plays
  int characters = 0;
  std::string source;

  std::size_t size() const { return places.size(); }
  int inputs() const { return context * characters; }
  int label(std::size_t i) const { return code[std::uint8_t(text[places[i]])]; }
  /// One 1 for each of the characters before it.
  template <class T>
  void copy_input(std::size_t i, T* out) const {
    std::fill_n(out, inputs(), T{0});
    for (int k = 0; k < context; ++k)
      out[k * characters + code[std::uint8_t(text[places[i] - std::size_t(context - k)])]] = T{1};
  }
};

namespace play_detail {

/// Letters as they are; all else that is printed by itself, or as a blank.
inline play empty_play() {
  play p;
  p.code.fill(0);
  int next = 1; // 0 is a line break
  for (const char c : std::string_view{" abcdefghijklmnopqrstuvwxyz.,;:!?'-"})
    p.code[std::uint8_t(c)] = std::uint8_t(next++);
  for (int c = 0; c < 256; ++c) {
    if (c >= 'A' && c <= 'Z') p.code[std::size_t(c)] = p.code[std::size_t(c - 'A' + 'a')];
    else if (c != '\n' && p.code[std::size_t(c)] == 0) p.code[std::size_t(c)] = 1;
  }
  p.characters = next;
  return p;
}
inline void add_speech(play& to, int role, std::string_view words) {
  to.text.append(std::size_t(play::context), '\n');
  for (const char c : words) {
    to.places.push_back(std::uint32_t(to.text.size()));
    to.role_of.push_back(role);
    to.text += c;
  }
}

} // namespace play_detail

/// Two plays: of each role the first nine tenths of its speeches, and the rest, which is held out.
struct plays {
  play training, held_out;
};

/// Speeches are apart by an empty line, and begin with a line "Name:". Roles with fewer than `least` characters are
/// left out.
inline plays plays_of(std::string_view text, const std::string& source, std::size_t least = 200) {
  std::map<std::string, std::vector<std::string_view>> said;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find("\n\n", begin), text.size());
    const std::string_view paragraph = text.substr(begin, end - begin);
    if (const std::size_t name = paragraph.find(":\n"); name != paragraph.npos && name < 40)
      said[std::string{paragraph.substr(0, name)}].push_back(paragraph.substr(name + 2));
    begin = end + 2;
  }
  plays out{play_detail::empty_play(), play_detail::empty_play()};
  for (const auto& [role, speeches] : said) {
    std::size_t length = 0;
    for (const auto& one : speeches) length += one.size();
    if (length < least) continue;
    const int number = int(out.training.roles.size());
    std::size_t before = 0;
    for (const auto& one : speeches) {
      play_detail::add_speech(10 * before < 9 * length ? out.training : out.held_out, number, one);
      before += one.size();
    }
    for (play* p : {&out.training, &out.held_out}) p->roles.push_back(role);
  }
  out.training.source = source;
  if (out.training.size() == 0 || out.held_out.size() == 0)
    throw unreadable("play", source, "there are no speeches in it",
                     "give text of paragraphs that begin with \"Name:\"");
  return out;
}

/// A stand-in that needs no file: eight roles that say their favourite words, the same on every machine.
inline plays generate_plays(int speeches = 60) {
  constexpr std::array<const char*, 24> words{"speak", "noble", "lord",  "crown", "sword", "night", "love", "sweet",
                                              "fair",  "queen", "honest", "fool",  "ghost", "sea",   "storm", "gold",
                                              "rose",  "grave", "war",    "peace", "moon",  "heart", "king",  "friend"};
  std::string text;
  for (int k = 0; k < speeches * 8; ++k) {
    const std::size_t role = std::size_t(k) % 8;
    text += "Role " + std::to_string(role) + ":\n";
    for (std::uint64_t w = 0; w < 12; ++w) {
      const std::uint64_t bits = draw(7, std::uint64_t(k), w);
      text += words[(3 * role + bits % 6) % words.size()];
      text += w == 11 ? "." : bits % 7 == 0 ? ", " : " ";
    }
    text += "\n\n";
  }
  return plays_of(text, "generated speeches");
}

/// text/tiny_shakespeare.txt below TUTTI_DATA; the stand-in when that is unset.
inline plays find_plays() {
  const auto folder = data_folder();
  if (!folder) return generate_plays();
  const auto file = plain_or_gz(*folder / "text" / "tiny_shakespeare.txt");
  const auto bytes = read_file(file, "play");
  return plays_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

} // namespace models
