// Which modules of torch::nn are known, and how a graph calls a module.
#pragma once

#include <tutti/adapters/onnx/attention.hpp>
#include <tutti/adapters/onnx/elementwise.hpp>
#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/layers.hpp>
#include <tutti/adapters/onnx/recurrent.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace tutti::torch {

namespace detail {

inline onnx_value describe(onnx_graph& g, nn::SequentialImpl& m, onnx_value x) {
  for (nn::AnyModule& each : m) x = g(each, x);
  return x;
}

template <class... Modules>
struct modules {
  template <class Module>
  static constexpr bool has = (std::is_same_v<Module, Modules> || ...);
};
/// Whose forward() is LibTorch's: of classes derived from these only their author knows.
using known_modules = modules<
    nn::AdaptiveAvgPool1dImpl, nn::AdaptiveAvgPool2dImpl, nn::AdaptiveAvgPool3dImpl, nn::AdaptiveMaxPool1dImpl,
    nn::AdaptiveMaxPool2dImpl, nn::AdaptiveMaxPool3dImpl, nn::AlphaDropoutImpl, nn::AvgPool1dImpl, nn::AvgPool2dImpl,
    nn::AvgPool3dImpl, nn::BatchNorm1dImpl, nn::BatchNorm2dImpl, nn::BatchNorm3dImpl, nn::CELUImpl,
    nn::ConstantPad1dImpl, nn::ConstantPad2dImpl, nn::ConstantPad3dImpl, nn::Conv1dImpl, nn::Conv2dImpl, nn::Conv3dImpl,
    nn::ConvTranspose1dImpl, nn::ConvTranspose2dImpl, nn::ConvTranspose3dImpl, nn::Dropout2dImpl, nn::Dropout3dImpl,
    nn::DropoutImpl, nn::ELUImpl, nn::EmbeddingImpl, nn::FeatureAlphaDropoutImpl, nn::FlattenImpl, nn::GELUImpl,
    nn::GLUImpl, nn::GRUImpl, nn::GroupNormImpl, nn::HardshrinkImpl, nn::HardtanhImpl, nn::IdentityImpl,
    nn::InstanceNorm1dImpl, nn::InstanceNorm2dImpl, nn::InstanceNorm3dImpl, nn::LSTMImpl, nn::LayerNormImpl,
    nn::LeakyReLUImpl, nn::LinearImpl, nn::LogSigmoidImpl, nn::LogSoftmaxImpl, nn::MaxPool1dImpl, nn::MaxPool2dImpl,
    nn::MaxPool3dImpl, nn::MishImpl, nn::MultiheadAttentionImpl, nn::PReLUImpl, nn::RNNImpl, nn::ReLU6Impl,
    nn::ReLUImpl, nn::ReflectionPad1dImpl, nn::ReflectionPad2dImpl, nn::ReflectionPad3dImpl, nn::ReplicationPad1dImpl,
    nn::ReplicationPad2dImpl, nn::ReplicationPad3dImpl, nn::RReLUImpl, nn::SELUImpl, nn::SequentialImpl, nn::SiLUImpl,
    nn::SigmoidImpl, nn::Softmax2dImpl, nn::SoftmaxImpl, nn::SoftminImpl, nn::SoftplusImpl, nn::SoftshrinkImpl,
    nn::SoftsignImpl, nn::TanhImpl, nn::TanhshrinkImpl, nn::ThresholdImpl, nn::TransformerDecoderImpl,
    nn::TransformerDecoderLayerImpl, nn::TransformerEncoderImpl, nn::TransformerEncoderLayerImpl, nn::ZeroPad2dImpl>;

template <class Module, class... Arguments>
concept describable = known_modules::has<Module> && requires(onnx_graph& g, Module& m, const Arguments&... arguments) {
  detail::describe(g, m, arguments...);
};

template <class... Known>
onnx_value describe_one_of(onnx_graph& g, nn::Module& module, const onnx_value& x, modules<Known...>) {
  onnx_value out;
  const auto try_one = [&]<class Module>(Module*) {
    if constexpr (describable<Module, onnx_value>)
      if constexpr (std::is_same_v<decltype(detail::describe(g, std::declval<Module&>(), x)), onnx_value>)
        if (typeid(module) == typeid(Module)) out = detail::describe(g, dynamic_cast<Module&>(module), x);
  };
  (try_one(static_cast<Known*>(nullptr)), ...);
  return out;
}
inline onnx_value describe_known(onnx_graph& g, nn::Module& module, const onnx_value& x) {
  return describe_one_of(g, module, x, known_modules{});
}

} // namespace detail

template <class Module, class... Arguments>
  requires std::is_base_of_v<::torch::nn::Module, Module>
auto onnx_graph::operator()(Module& module, const Arguments&... arguments)
    -> detail::in_values_t<decltype(module.forward(detail::as_example(arguments)...))> {
  const scope here{*this, module};
  detail::in_values_t<decltype(module.forward(detail::as_example(arguments)...))> out;
  if (const detail::onnx_visitor* visitor = visitor_of(module)) {
    std::vector<onnx_value> values;
    (detail::append(values, arguments), ...);
    const std::vector<onnx_value> results = (*visitor)(*this, module, values);
    const onnx_value* from = results.data();
    detail::take(from, out);
    return out;
  }
  if constexpr (detail::describable<Module, Arguments...>)
    if (typeid(module) == typeid(Module)) return detail::describe(*this, module, arguments...);
  refuse(unknown());
}

} // namespace tutti::torch
