// What runs along places of a text, modules of others, and what their visitors say.
#include "round_trip.hpp"

#include "models.hpp"

BOOST_AUTO_TEST_SUITE(onnx_sequences)

namespace {
using namespace onnx_test;

const onnx_options any_batch_and_length{.varying = {{0, 1}}};
} // namespace

BOOST_AUTO_TEST_CASE(embeddings) {
  nn::Embedding table(nn::EmbeddingOptions(11, 4).padding_idx(3));
  const Tensor text = words({2, 5}, 1, 11);

  round_trip("embedding", filled(*table), text, {words({1, 5}, 2, 11), words({3, 7}, 3, 11)}, any_batch_and_length);
  round_trip("embedding_by_int32", *table, text.to(at::kInt), {words({3, 7}, 3, 11).to(at::kInt)},
             any_batch_and_length);
}

BOOST_AUTO_TEST_CASE(recurrent_modules) {
  const std::vector<Tensor> others{numbers({5, 1, 3}, 2), numbers({7, 3, 3}, 3)};
  const Tensor x = numbers({5, 2, 3}, 1);

  for (const bool both : {false, true})
    for (const bool batch_first : {false, true}) {
      const std::string name = std::string{both ? "_both_ways" : ""} + (batch_first ? "_batch_first" : "");
      nn::LSTM lstm(nn::LSTMOptions(3, 4).num_layers(2).bidirectional(both).batch_first(batch_first).dropout(.5));
      round_trip("lstm" + name, filled(*lstm), x, others, any_batch_and_length);
      nn::GRU gru(nn::GRUOptions(3, 4).num_layers(2).bidirectional(both).batch_first(batch_first));
      round_trip("gru" + name, filled(*gru), x, others, any_batch_and_length);
      nn::RNN rnn(nn::RNNOptions(3, 4).num_layers(2).bidirectional(both).batch_first(batch_first));
      round_trip("rnn" + name, filled(*rnn), x, others, any_batch_and_length);
    }
  nn::RNN with_relu(nn::RNNOptions(3, 4).nonlinearity(torch::kReLU).bias(false));
  round_trip("rnn_relu", filled(*with_relu), x, others, any_batch_and_length);
  nn::LSTM without_bias(nn::LSTMOptions(3, 4).bias(false));
  round_trip("lstm_without_bias", filled(*without_bias), x, others, any_batch_and_length);

  // With states that are given; their batch is dimension 1, and their length the number of layers.
  nn::GRU gru(nn::GRUOptions(3, 4).num_layers(2).bidirectional(true));
  const std::tuple given{x, numbers({4, 2, 4}, 4)};
  round_trip("gru_with_state", filled(*gru), given, {std::tuple{others[1], numbers({4, 3, 4}, 5)}},
             onnx_options{.varying = {{0, 1}, {1}}, .inputs = {"x", "state"}});
  carries_state carrying;
  round_trip("lstm_with_state", filled(carrying), std::tuple{x, numbers({2, 2, 4}, 4), numbers({2, 2, 4}, 5)},
             {std::tuple{others[1], numbers({2, 3, 4}, 5), numbers({2, 3, 4}, 6)}},
             onnx_options{.varying = {{0, 1}, {1}}, .outputs = {"y", "h", "c"}}, describe_carries_state);
}

// The values are worked out by hand: microsoft/onnxscript#2852, ENOT-AutoDL/onnx2torch#256.
BOOST_AUTO_TEST_CASE(gates) {
  const at::NoGradGuard unrecorded;
  nn::GRU gru(1, 1);
  for (const auto& p : gru->parameters()) p.zero_();
  gru->named_parameters()["bias_ih_l0"][1] = -20; // update
  gru->named_parameters()["bias_hh_l0"][2] = 1;   // new, behind the reset gate
  const Tensor nothing = at::zeros({1, 1, 1});
  BOOST_CHECK_CLOSE(std::get<0>(gru(nothing)).item<float>(), .46212f, .01f);
  round_trip("gru_gates", *gru, nothing, {});

  nn::LSTM lstm(1, 1);
  for (const auto& p : lstm->parameters()) p.zero_();
  lstm->named_parameters()["bias_ih_l0"].copy_(at::tensor({0.f, -20.f, 1.f, 20.f}));
  BOOST_CHECK_CLOSE(std::get<0>(lstm(nothing)).item<float>(), .36340f, .01f);
  round_trip("lstm_gates", *lstm, nothing, {});
}

BOOST_AUTO_TEST_CASE(attention) {
  const Tensor x = numbers({5, 2, 8}, 1);
  const std::vector<std::tuple<Tensor, Tensor, Tensor>> others{
      {numbers({7, 3, 8}, 2), numbers({4, 3, 8}, 3), numbers({4, 3, 8}, 4)}};
  const std::tuple three{x, numbers({4, 2, 8}, 5), numbers({4, 2, 8}, 6)};

  nn::MultiheadAttention whole(8, 2);
  round_trip("attention", filled(*whole), three, others, any_batch_and_length);
  nn::MultiheadAttention without_bias(nn::MultiheadAttentionOptions(8, 4).bias(false));
  round_trip("attention_without_bias", filled(*without_bias), three, others, any_batch_and_length);
  nn::MultiheadAttention narrow(nn::MultiheadAttentionOptions(8, 2).kdim(3).vdim(3));
  round_trip("attention_of_other_widths", filled(*narrow), std::tuple{x, numbers({4, 2, 3}, 5), numbers({4, 2, 3}, 6)},
             {}, any_batch_and_length);

  nn::TransformerEncoder encoder(nn::TransformerEncoderOptions(
      nn::TransformerEncoderLayerOptions(8, 2).dim_feedforward(12).activation(torch::kGELU), 2));
  round_trip("encoder", filled(*encoder), x, {numbers({7, 3, 8}, 2)}, any_batch_and_length);
  nn::TransformerDecoderLayer decoder(nn::TransformerDecoderLayerOptions(8, 2).dim_feedforward(12));
  round_trip("decoder_layer", filled(*decoder), std::tuple{x, numbers({4, 2, 8}, 5)},
             {std::tuple{numbers({7, 3, 8}, 2), numbers({3, 3, 8}, 3)}}, any_batch_and_length);

  masked_attention masked;
  const Tensor hidden = at::tensor({0, 0, 0, 1, 1, 0, 0, 0, 0, 1}).reshape({2, 5}).to(at::kBool);
  round_trip("attention_masked", filled(masked), std::tuple{x, hidden}, {}, any_batch_and_length,
             describe_masked_attention);
}

BOOST_AUTO_TEST_CASE(models_with_visitors) {
  convolutional pictures;
  round_trip("convolutional", filled(pictures), numbers({3, 1, 28, 28}, 1), {numbers({1, 1, 28, 28}, 2)},
             describe_convolutional);

  transformer text;
  round_trip("transformer", filled(text), words({2, 5}, 1, 11), {words({3, 7}, 2, 11), words({1, 2}, 2, 11)},
             any_batch_and_length, describe_block, describe_transformer);

  // Tied: the table is in the file once, under its first name.
  const folder here;
  tutti::torch::to_onnx(text, words({2, 5}, 1, 11), here / "tied.onnx", describe_block, describe_transformer);
  const auto model = model_of(here / "tied.onnx");
  int tables = 0;
  for (const auto& each : model.graph().initializer()) tables += each.dims_size() == 2 && each.dims(0) == 11;
  BOOST_CHECK_EQUAL(tables, 1);
  BOOST_CHECK_EQUAL(model.graph().input(0).type().tensor_type().shape().dim(1).dim_value(), 5); // fixed, unless said
}

BOOST_AUTO_TEST_CASE(values_as_tensors) {
  arithmetic numbers_game;
  round_trip("arithmetic", numbers_game, numbers({2, 4, 6}, 1), {numbers({3, 4, 6}, 2)}, describe_arithmetic);
}

BOOST_AUTO_TEST_SUITE_END()
