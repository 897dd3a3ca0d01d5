// The codecs of train_text by their names on the command line. A strategy names its codec in its type, and every one costs
// seconds to compile; here one type stands for all that can only be decoded where everything meets.
#pragma once

#include <tutti/codecs/dgc.hpp>
#include <tutti/codecs/ef21.hpp>
#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/power_sgd.hpp>
#include <tutti/codecs/top_k.hpp>
#include <tutti/codecs/warmed_up.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace train_text {

/// A codec of floats behind virtual functions.
struct float_coder {
  virtual ~float_coder() = default;
  virtual std::size_t bytes(std::size_t n) const = 0;
  virtual void encode(std::span<const float> values, std::byte* out, const tutti::coding& at) const = 0;
  virtual void decode(const std::byte* in, std::span<float> out, const tutti::coding& at) const = 0;
  virtual std::shared_ptr<const float_coder> results(int ranks) const = 0;
};

/// As a part of a strategy.
class named_codec {
public:
  using part = tutti::codec_part;
  static constexpr tutti::codec_kind kind = tutti::codec_kind::opaque;

  named_codec(std::string name, std::shared_ptr<const float_coder> by) : name_{std::move(name)}, by_{std::move(by)} {}

  template <std::same_as<float> T>
  std::size_t bytes(std::size_t n) const {
    return by_->bytes(n);
  }
  template <std::same_as<float> T>
  void encode(std::span<const T> values, std::byte* out, const tutti::coding& at) const {
    by_->encode(values, out, at);
  }
  template <std::same_as<float> T>
  void decode(const std::byte* in, std::span<T> out, const tutti::coding& at) const {
    by_->decode(in, out, at);
  }
  named_codec results(int ranks) const { return {name_, by_->results(ranks)}; }
  auto compared() const { return std::tie(name_); }

private:
  std::string name_;
  std::shared_ptr<const float_coder> by_;
};

/// What --codec may be beside identity and bfloat16, which are compiled with every policy that takes a codec. A feedback of
/// nothing is none: one type does for all that have one and all that have none.
struct codec_choice {
  std::string name, what;
  std::variant<tutti::error_feedback<named_codec>, tutti::ef21<named_codec>, tutti::warmed_up<tutti::dgc<tutti::top_k>>,
               tutti::power_sgd>
      codec;
  bool of_gradients = false; ///< for --sync synchronous alone
};
/// In a run of so many steps.
std::vector<codec_choice> codec_choices(int steps = 1);

/// Steps of such a run before the momentum of one_bit_adam goes through a codec, and before dgc sends as little as it will.
constexpr int one_bit_warm_up(int steps) { return 1 + steps / 5; }
constexpr int dgc_warm_up(int steps) { return steps / 10; }

/// With which of these --priced is compiled.
template <class Codec>
inline constexpr bool may_be_priced = std::is_same_v<Codec, tutti::error_feedback<named_codec>>;
inline bool takes_prices(const std::string& name) {
  for (const codec_choice& one : codec_choices())
    if (one.name == name)
      return std::visit([]<class Codec>(const Codec&) { return may_be_priced<Codec>; }, one.codec);
  return false;
}

/// "list", which is none, behind them.
std::vector<std::string> codec_names();

/// Whether it is for gradients alone.
inline bool is_of_gradients(const std::string& name) {
  for (const codec_choice& one : codec_choices())
    if (one.name == name) return one.of_gradients;
  return false;
}

inline bool is_typed(const std::string& codec) { return codec == "identity" || codec == "bfloat16"; }

} // namespace train_text
