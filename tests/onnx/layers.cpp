// Every module of torch::nn that is known, each option that changes the graph, and inputs of other sizes.
#include "round_trip.hpp"

BOOST_AUTO_TEST_SUITE(onnx_layers)

namespace {
using namespace onnx_test;

/// By a holder: filled, in evaluation mode or not, other batches too.
template <class Holder>
void layer(const std::string& name, Holder holder, const Tensor& x, onnx_options how = {}) {
  std::vector<std::int64_t> other = x.sizes().vec();
  other[0] = 1;
  Tensor more = numbers(other, 9);
  other[0] = 5;
  round_trip(name, filled(*holder), x, {more, numbers(other, 4)}, how);
}
} // namespace

BOOST_AUTO_TEST_CASE(linear_and_shapes) {
  const Tensor x = numbers({2, 6}, 1), wide = numbers({2, 3, 4}, 2), picture = numbers({2, 3, 4, 5}, 3);

  layer("linear", nn::Linear(6, 4), x);
  layer("linear_without_bias", nn::Linear(nn::LinearOptions(6, 4).bias(false)), x);
  layer("linear_of_three", nn::Linear(4, 5), wide);
  layer("linear_of_three_without_bias", nn::Linear(nn::LinearOptions(4, 5).bias(false)), wide);
  layer("identity", nn::Identity(), x);
  layer("dropout", nn::Dropout(.5), x);
  layer("dropout_of_channels", nn::Dropout2d(.5), picture);
  layer("alpha_dropout", nn::AlphaDropout(.5), x);
  layer("flatten", nn::Flatten(), picture);
  layer("flatten_the_middle", nn::Flatten(nn::FlattenOptions().start_dim(1).end_dim(2)), picture);
  layer("flatten_all", nn::Flatten(nn::FlattenOptions().start_dim(0)), picture);
  layer("flatten_the_first", nn::Flatten(nn::FlattenOptions().start_dim(0).end_dim(1)), picture);
  layer("sequential", nn::Sequential(nn::Linear(6, 8), nn::ReLU(), nn::Dropout(.5), nn::Linear(8, 3)), x);
  layer("nothing", nn::Sequential(nn::Dropout(), nn::Identity()), x);
}

BOOST_AUTO_TEST_CASE(convolutions) {
  const Tensor line = numbers({2, 4, 11}, 1), picture = numbers({2, 4, 9, 8}, 2), room = numbers({2, 2, 5, 6, 7}, 3);

  layer("conv1d", nn::Conv1d(nn::Conv1dOptions(4, 6, 3).stride(2).padding(1).dilation(2)), line);
  layer("conv2d", nn::Conv2d(nn::Conv2dOptions(4, 6, {3, 2}).stride({1, 2}).padding({2, 1})), picture);
  layer("conv2d_without_bias", nn::Conv2d(nn::Conv2dOptions(4, 6, 1).bias(false)), picture);
  layer("conv2d_in_groups", nn::Conv2d(nn::Conv2dOptions(4, 8, 3).groups(4)), picture);
  layer("conv3d", nn::Conv3d(nn::Conv3dOptions(2, 3, {2, 3, 1}).padding({0, 1, 2})), room);
  layer("conv2d_same", nn::Conv2d(nn::Conv2dOptions(4, 3, {4, 3}).padding(torch::kSame).dilation({1, 2})), picture);
  layer("conv1d_same_even", nn::Conv1d(nn::Conv1dOptions(4, 3, 2).padding(torch::kSame)), line);
  layer("conv2d_valid", nn::Conv2d(nn::Conv2dOptions(4, 3, 3).padding(torch::kValid)), picture);
  layer("conv2d_circular", nn::Conv2d(nn::Conv2dOptions(4, 3, 3).padding({2, 1}).padding_mode(torch::kCircular)),
        picture);
  layer("conv2d_reflect", nn::Conv2d(nn::Conv2dOptions(4, 3, 3).padding({2, 1}).padding_mode(torch::kReflect)),
        picture);
  layer("conv1d_reflect", nn::Conv1d(nn::Conv1dOptions(4, 3, 3).padding(2).padding_mode(torch::kReflect)), line);
  layer("conv2d_replicate", nn::Conv2d(nn::Conv2dOptions(4, 3, 3).padding(1).padding_mode(torch::kReplicate)), picture);
  layer("conv2d_any_size", nn::Conv2d(nn::Conv2dOptions(4, 3, 3).padding(1)), picture, {.varying = {{0, 2, 3}}});
  layer("conv_transpose1d", nn::ConvTranspose1d(nn::ConvTranspose1dOptions(4, 6, 3).stride(2)), line);
  layer("conv_transpose2d",
        nn::ConvTranspose2d(nn::ConvTranspose2dOptions(4, 6, 3).stride(2).padding(1).output_padding(1).groups(2)),
        picture);
  layer("conv_transpose3d", nn::ConvTranspose3d(nn::ConvTranspose3dOptions(2, 3, 2).bias(false).dilation(2)), room);
  layer("pad_reflect1d", nn::ReflectionPad1d(nn::ReflectionPad1dOptions({2, 1})), line);
  layer("pad_reflect2d", nn::ReflectionPad2d(nn::ReflectionPad2dOptions({2, 1, 0, 3})), picture);
  layer("pad_replicate2d", nn::ReplicationPad2d(nn::ReplicationPad2dOptions({2, 1, 0, 3})), picture);
  layer("pad_replicate3d", nn::ReplicationPad3d(nn::ReplicationPad3dOptions({2, 1, 0, 3, 1, 1})), room);
  layer("pad_zero2d", nn::ZeroPad2d(nn::ZeroPad2dOptions({1, 2, 3, 0})), picture);
  layer("pad_constant1d", nn::ConstantPad1d(nn::ConstantPad1dOptions({2, 1}, 3.5)), line);
}

BOOST_AUTO_TEST_CASE(pools) {
  const Tensor line = numbers({2, 3, 10}, 1), picture = numbers({2, 3, 9, 8}, 2), room = numbers({2, 2, 5, 6, 7}, 3);

  layer("max_pool1d", nn::MaxPool1d(nn::MaxPool1dOptions(3).stride(2).padding(1)), line);
  layer("max_pool2d", nn::MaxPool2d(2), picture);
  layer("max_pool2d_options", nn::MaxPool2d(nn::MaxPool2dOptions({3, 2}).stride({2, 1}).padding({1, 0})), picture);
  layer("max_pool2d_dilated", nn::MaxPool2d(nn::MaxPool2dOptions({3, 2}).dilation({1, 2})), picture);
  layer("max_pool2d_ceil", nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).ceil_mode(true)), picture);
  layer("max_pool2d_ceil_dropped", nn::MaxPool2d(nn::MaxPool2dOptions(2).stride(3).padding(1).ceil_mode(true)),
        picture);
  layer("max_pool3d", nn::MaxPool3d(2), room);
  layer("avg_pool1d", nn::AvgPool1d(nn::AvgPool1dOptions(3).stride(2).padding(1)), line);
  layer("avg_pool2d", nn::AvgPool2d(nn::AvgPool2dOptions({3, 2}).stride({2, 1}).padding({1, 1})), picture);
  layer("avg_pool2d_without_pad", nn::AvgPool2d(nn::AvgPool2dOptions(3).stride(2).padding(1).count_include_pad(false)),
        picture);
  layer("avg_pool2d_ceil", nn::AvgPool2d(nn::AvgPool2dOptions(3).stride(2).padding(1).ceil_mode(true)), picture);
  layer("avg_pool2d_ceil_without_pad",
        nn::AvgPool2d(nn::AvgPool2dOptions(3).stride(2).padding(1).ceil_mode(true).count_include_pad(false)), picture);
  layer("avg_pool1d_ceil", nn::AvgPool1d(nn::AvgPool1dOptions(3).stride(3).padding(1).ceil_mode(true)), line);
  layer("avg_pool2d_divisor", nn::AvgPool2d(nn::AvgPool2dOptions(2).divisor_override(3)), picture,
        {.varying = {{0, 2, 3}}});
  layer("avg_pool3d_ceil", nn::AvgPool3d(nn::AvgPool3dOptions(2).ceil_mode(true)), room);
  layer("adaptive_avg_pool2d_to_one", nn::AdaptiveAvgPool2d(1), picture, {.varying = {{0, 2, 3}}});
  layer("adaptive_avg_pool2d", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({3, 4})), picture);
  layer("adaptive_avg_pool1d", nn::AdaptiveAvgPool1d(5), line);
  layer("adaptive_max_pool2d", nn::AdaptiveMaxPool2d(nn::AdaptiveMaxPool2dOptions({1, 4})), picture);
  layer("adaptive_max_pool3d_to_one", nn::AdaptiveMaxPool3d(1), room);

  // pytorch/pytorch#183528: what is divided by never counts what lies beyond the padding.
  const Tensor count = at::arange(1, 17, at::kFloat).reshape({1, 1, 4, 4});
  const nn::AvgPool2d both(nn::AvgPool2dOptions(3).stride(2).padding(1).ceil_mode(true).count_include_pad(true));
  const Tensor wanted = at::tensor({14. / 9, 10. / 3, 2., 19. / 3, 11., 6., 4.5, 7.5, 4.}, at::kFloat);
  nn::AvgPool2d ceil = both;
  BOOST_CHECK(at::allclose(ceil(count).flatten(), wanted, 1e-4));
  layer("avg_pool2d_of_the_report", both, count);
}

BOOST_AUTO_TEST_CASE(normalisations) {
  const Tensor row = numbers({4, 6}, 1), line = numbers({3, 6, 5}, 2), picture = numbers({2, 6, 4, 5}, 3),
               room = numbers({2, 6, 3, 2, 4}, 4);

  layer("batch_norm1d", nn::BatchNorm1d(6), row);
  layer("batch_norm1d_of_lines", nn::BatchNorm1d(6), line);
  layer("batch_norm2d", nn::BatchNorm2d(nn::BatchNorm2dOptions(6).eps(.1)), picture);
  layer("batch_norm2d_plain", nn::BatchNorm2d(nn::BatchNorm2dOptions(6).affine(false)), picture);
  layer("batch_norm2d_stateless", nn::BatchNorm2d(nn::BatchNorm2dOptions(6).track_running_stats(false)), picture);
  layer("batch_norm3d", nn::BatchNorm3d(6), room);
  layer("layer_norm", nn::LayerNorm(nn::LayerNormOptions({5})), line);
  layer("layer_norm_of_two", nn::LayerNorm(nn::LayerNormOptions({6, 5}).eps(.01)), line);
  layer("layer_norm_plain", nn::LayerNorm(nn::LayerNormOptions({5}).elementwise_affine(false)), line);
  layer("layer_norm_of_large", nn::LayerNorm(nn::LayerNormOptions({5})), line * 1e3);
  // One operator: taken apart, engines of half precision lose it (NVIDIA/TensorRT#4493).
  const folder here;
  nn::LayerNorm norm(nn::LayerNormOptions({5}));
  tutti::torch::to_onnx(norm, line, here / "norm.onnx");
  const auto model = model_of(here / "norm.onnx");
  BOOST_CHECK_EQUAL(model.graph().node(0).op_type(), "LayerNormalization");
  BOOST_CHECK_EQUAL(model.opset_import(0).version(), 17);

  layer("group_norm", nn::GroupNorm(2, 6), picture, {.varying = {{0, 2, 3}}});
  layer("group_norm_plain", nn::GroupNorm(nn::GroupNormOptions(3, 6).affine(false)), line);
  layer("instance_norm1d", nn::InstanceNorm1d(6), line);
  layer("instance_norm2d", nn::InstanceNorm2d(nn::InstanceNorm2dOptions(6).affine(true)), picture);
  layer("instance_norm2d_tracked", nn::InstanceNorm2d(nn::InstanceNorm2dOptions(6).track_running_stats(true)), picture);
}

BOOST_AUTO_TEST_CASE(activations) {
  const Tensor x = numbers({2, 4, 6, 5}, 1) * 2;

  layer("relu", nn::ReLU(), x);
  layer("relu_in_place", nn::ReLU(nn::ReLUOptions(true)), x);
  layer("relu6", nn::ReLU6(), x * 4);
  layer("leaky_relu", nn::LeakyReLU(nn::LeakyReLUOptions().negative_slope(.2)), x);
  layer("rrelu", nn::RReLU(), x);
  layer("elu", nn::ELU(nn::ELUOptions().alpha(.7)), x);
  layer("celu", nn::CELU(nn::CELUOptions().alpha(.7)), x);
  layer("selu", nn::SELU(), x);
  layer("gelu", nn::GELU(), x);
  layer("gelu_tanh", nn::GELU(nn::GELUOptions().approximate("tanh")), x);
  layer("silu", nn::SiLU(), x);
  layer("mish", nn::Mish(), x);
  layer("sigmoid", nn::Sigmoid(), x);
  layer("tanh", nn::Tanh(), x);
  layer("softplus", nn::Softplus(nn::SoftplusOptions().beta(2).threshold(3)), x);
  layer("softsign", nn::Softsign(), x);
  layer("hardtanh", nn::Hardtanh(nn::HardtanhOptions().min_val(-.5).max_val(2)), x);
  layer("hardshrink", nn::Hardshrink(.6), x);
  layer("softshrink", nn::Softshrink(.6), x);
  layer("tanhshrink", nn::Tanhshrink(), x);
  layer("threshold", nn::Threshold(.3, 7), x);
  layer("log_sigmoid", nn::LogSigmoid(), x);
  layer("softmax", nn::Softmax(1), x);
  layer("softmax_last", nn::Softmax(-1), x);
  layer("softmin", nn::Softmin(2), x);
  layer("softmax2d", nn::Softmax2d(), x);
  layer("log_softmax", nn::LogSoftmax(1), x);
  layer("prelu", nn::PReLU(), x);
  layer("prelu_by_channel", nn::PReLU(nn::PReLUOptions().num_parameters(4)), x);
  layer("glu", nn::GLU(1), x);
}

BOOST_AUTO_TEST_SUITE_END()
