// The table of codecs: the one place that names them.
#include "codecs.hpp"

#include <tutti/tutti.hpp>

namespace train_text {

namespace {

template <class Codec>
struct coder_of final : float_coder {
  explicit coder_of(const Codec& c) : codec{c} {}
  std::size_t bytes(std::size_t n) const override { return codec.template bytes<float>(n); }
  void encode(std::span<const float> values, std::byte* out, const tutti::coding& at) const override {
    tutti::detail::encode<float>(codec, values, out, at);
  }
  void decode(const std::byte* in, std::span<float> out, const tutti::coding& at) const override {
    tutti::detail::decode<float>(codec, in, out, at);
  }
  std::shared_ptr<const float_coder> results(int ranks) const override {
    return std::make_shared<coder_of>(tutti::detail::results_of(codec, ranks));
  }
  Codec codec;
};

} // namespace

std::vector<codec_choice> codec_choices(int steps) {
  using namespace tutti;
  std::vector<codec_choice> all;
  const auto named = [](const char* name, const auto& codec) {
    return named_codec{name, std::make_shared<coder_of<std::remove_cvref_t<decltype(codec)>>>(codec)};
  };
  const auto add = [&](const char* name, const char* what, const auto& codec, double decay) {
    all.push_back({name, what, error_feedback{named(name, codec), decay}});
  };
  constexpr double with_feedback = 1, without = 0;
  add("half", "cast<half>", cast<tutti::half>{}, without);
  add("fp8_e4m3", "fp8_block<fp8::e4m3>", fp8_block<fp8::e4m3>{}, without);
  add("fp8_e5m2", "fp8_block<fp8::e5m2>", fp8_block<fp8::e5m2>{}, without);
  add("int8", "int8_block", int8_block{}, without);
  add("int4", "error_feedback{int4_block}", int4_block{}, with_feedback);
  add("two_bit", "error_feedback{two_bit_block}", two_bit_block{}, with_feedback);
  add("sign", "error_feedback{sign_block}", sign_block{}, with_feedback);
  add("qsgd", "qsgd", qsgd{}, without);
  add("terngrad", "terngrad", terngrad{}, without);
  add("threshold", "error_feedback{threshold{.001}}", threshold{.001f}, with_feedback);
  add("top_k", "error_feedback{top_k{.01}}", top_k{.01}, with_feedback);
  add("top_k_int8", "error_feedback{basic_top_k<int8_block>{.01}}", basic_top_k<int8_block>{.01}, with_feedback);
  add("random_k", "error_feedback{random_k{.01}}", random_k{.01}, with_feedback);
  add("chunked_top_k", "error_feedback{chunked_top_k{64}}", chunked_top_k{64}, with_feedback);
  add("chunked_two_bit", "error_feedback{basic_chunked_top_k<two_bit_block>{64}, .95}",
      basic_chunked_top_k<two_bit_block>{64}, .95);
  all.push_back({"ef21", "ef21{top_k{.01}}", ef21{named("ef21", top_k{.01})}});
  all.push_back({"dgc", "warmed_up{dgc{top_k{.01}}, steps / 10}, and sgd",
                 warmed_up{dgc{top_k{.01}}, dgc_warm_up(steps)}, true});
  all.push_back({"one_bit_adam", "error_feedback{sign_block}, of the momentum of one_bit_adam",
                 error_feedback{named("sign", sign_block{})}, true});
  all.push_back({"power_sgd", "power_sgd{2}", power_sgd{.rank = 2}});
  return all;
}

std::vector<std::string> codec_names() {
  std::vector<std::string> names{"identity", "bfloat16"};
  for (const codec_choice& one : codec_choices()) names.push_back(one.name);
  names.push_back("list");
  return names;
}

} // namespace train_text
