// A model small enough to check by hand, and runs of it on threads.
#pragma once

#include <tutti/tutti.hpp>

#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace trial {

/// Three tensors; the gradient of rank r pulls every value towards its index plus r.
struct model {
  std::vector<std::vector<float>> values, pulls;

  explicit model(float start) {
    for (const std::size_t n : {std::size_t{700}, std::size_t{1}, std::size_t{37}}) {
      values.emplace_back(n, start);
      pulls.emplace_back(n);
    }
  }
  static std::string name(std::size_t k) { return "tensor" + std::to_string(k); }

  std::vector<tutti::tensor<float>> parameters() {
    std::vector<tutti::tensor<float>> out;
    for (std::size_t k = 0; k < values.size(); ++k) out.push_back({name(k), values[k]});
    return out;
  }
  std::vector<tutti::tensor<const float>> gradients(int rank) {
    std::vector<tutti::tensor<const float>> out;
    for (std::size_t k = 0; k < values.size(); ++k) {
      for (std::size_t i = 0; i < values[k].size(); ++i)
        pulls[k][i] = values[k][i] - float(i) - float(rank);
      out.push_back({name(k), pulls[k]});
    }
    return out;
  }
  std::vector<float> flat() const {
    std::vector<float> out;
    for (const auto& v : values) out.insert(out.end(), v.begin(), v.end());
    return out;
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
inline bool all_same(const std::vector<std::vector<float>>& results) {
  for (const auto& r : results)
    if (!same_bits(r, results[0])) return false;
  return true;
}

/// The parameters of every rank after body(world, model) has run on it. Ranks begin with different ones.
template <class Body>
std::vector<std::vector<float>> on_ranks(int ranks, Body&& body) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](tutti::threads::communicator& world) {
    model mine{float(world.rank())};
    body(world, mine);
    out[std::size_t(world.rank())] = mine.flat();
  });
  return out;
}

/// What every rank catches: the text of its error, or "none".
template <class Body>
std::vector<std::string> errors_on_ranks(int ranks, Body&& body) {
  std::vector<std::string> out(static_cast<std::size_t>(ranks), "none");
  try {
    tutti::threads::run(ranks, [&](tutti::threads::communicator& world) {
      try {
        body(world);
      } catch (const tutti::error& e) {
        out[std::size_t(world.rank())] = e.what();
        if (e.code() == tutti::error_code::peer_lost) throw;
      }
    });
  } catch (const std::exception&) {
  }
  return out;
}

inline bool all_contain(const std::vector<std::string>& texts, const std::string& wanted) {
  for (const std::string& t : texts)
    if (t.find(wanted) == std::string::npos) return false;
  return true;
}

inline std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& t : texts) out += "\n  " + t;
  return out;
}

} // namespace trial
