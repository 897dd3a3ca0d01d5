// What of torch::nn is linear, slides a window, or moves elements about, as nodes of ONNX.
//
// Windows: ONNX has pads at the beginnings and at the ends, and rounds down. Where LibTorch rounds up, or pads with
// other than zeros, the padding is a node of its own.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/values.hpp>

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tutti::torch::detail {

namespace nn = ::torch::nn;
using sizes_type = std::vector<std::int64_t>;

/// One number per dimension of space, of whichever type the options have them in.
template <class Expanding>
sizes_type numbers(const Expanding& of) {
  return {of->begin(), of->end()};
}
inline sizes_type behind(sizes_type a, const sizes_type& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline void require_batch(const onnx_value& x, std::int64_t rank) {
  if (x.dim() != rank)
    x.graph().refuse("an input with " + std::to_string(x.dim()) + " dimensions - with a batch there are " +
                     std::to_string(rank));
}

/// Pads the last dimensions, as many as there are numbers.
inline onnx_value pad(const onnx_value& x, const sizes_type& before, const sizes_type& after, const char* mode,
                      double number = 0) {
  onnx_graph& g = x.graph();
  const sizes_type none(std::size_t(x.dim()) - before.size(), 0);
  sizes_type reversed; // as LibTorch has them: from the last dimension on, before and after
  for (std::size_t k = before.size(); k-- > 0;) reversed.push_back(before[k]), reversed.push_back(after[k]);
  const std::string m = mode;
  const at::Tensor example =
      m == "constant"
          ? at::constant_pad_nd(x.example(), reversed, number)
          : nn::functional::pad(x.example(), m == "reflect"
                                                 ? nn::functional::PadFuncOptions(reversed).mode(::torch::kReflect)
                                                 : nn::functional::PadFuncOptions(reversed).mode(::torch::kReplicate));
  const onnx_value pads = integers(g, behind(behind(none, before), behind(none, after)), "pads");
  if (m == "constant") return g.node("Pad", {x, pads, scalar(x, number)}, {onnx_attribute("mode", mode)}, example);
  return g.node("Pad", {x, pads}, {onnx_attribute("mode", mode)}, example);
}
/// The same, with what is at the other end.
inline onnx_value pad_around(onnx_value x, const sizes_type& before, const sizes_type& after) {
  const std::int64_t first = x.dim() - std::int64_t(before.size());
  for (std::size_t k = 0; k < before.size(); ++k) {
    const std::int64_t dimension = first + std::int64_t(k);
    std::vector<onnx_value> parts;
    if (before[k] > 0) parts.push_back(slice(x, dimension, -before[k]));
    parts.push_back(x);
    if (after[k] > 0) parts.push_back(slice(x, dimension, 0, after[k]));
    if (parts.size() > 1) x = cat(parts, dimension);
  }
  return x;
}

inline onnx_value describe(onnx_graph& g, nn::LinearImpl& m, const onnx_value& x) {
  return linear(x, g.constant(m.weight), g.constant(m.bias));
}

template <std::size_t D, class Module>
onnx_value convolution(onnx_graph& g, Module& m, onnx_value x) {
  const auto& o = m.options;
  require_batch(x, std::int64_t(D) + 2);
  const at::Tensor example = m.forward(x.example());
  const sizes_type kernel = numbers(o.kernel_size()), dilation = numbers(o.dilation());
  sizes_type before(D, 0), after(D, 0);
  if (const auto* given = get_if<::torch::ExpandingArray<D>>(&o.padding())) {
    before = after = numbers(*given);
  } else if (get_if<::torch::enumtype::kSame>(&o.padding()) != nullptr) {
    for (std::size_t k = 0; k < D; ++k) {
      const std::int64_t all = dilation[k] * (kernel[k] - 1);
      before[k] = all / 2, after[k] = all - all / 2;
    }
  }
  const sizes_type none(D, 0);
  if (get_if<::torch::enumtype::kZeros>(&o.padding_mode()) == nullptr) {
    if (get_if<::torch::enumtype::kCircular>(&o.padding_mode()) != nullptr) x = pad_around(x, before, after);
    else
      x = pad(x, before, after, get_if<::torch::enumtype::kReflect>(&o.padding_mode()) != nullptr ? "reflect" : "edge");
    before = after = none;
  }
  return g.node("Conv", {x, g.constant(m.weight), g.constant(m.bias)},
                {onnx_attribute("kernel_shape", kernel), onnx_attribute("strides", *o.stride()),
                 onnx_attribute("pads", behind(before, after)), onnx_attribute("dilations", dilation),
                 onnx_attribute("group", o.groups())},
                example);
}
template <std::size_t D, class Module>
onnx_value transposed_convolution(onnx_graph& g, Module& m, const onnx_value& x) {
  const auto& o = m.options;
  require_batch(x, std::int64_t(D) + 2);
  const auto* padding = get_if<::torch::ExpandingArray<D>>(&o.padding());
  if (padding == nullptr) g.refuse("a padding that is not a number");
  return g.node("ConvTranspose", {x, g.constant(m.weight), g.constant(m.bias)},
                {onnx_attribute("kernel_shape", *o.kernel_size()), onnx_attribute("strides", *o.stride()),
                 onnx_attribute("pads", behind(numbers(*padding), numbers(*padding))),
                 onnx_attribute("output_padding", *o.output_padding()), onnx_attribute("dilations", *o.dilation()),
                 onnx_attribute("group", o.groups())},
                m.forward(x.example()));
}
inline onnx_value describe(onnx_graph& g, nn::Conv1dImpl& m, const onnx_value& x) { return convolution<1>(g, m, x); }
inline onnx_value describe(onnx_graph& g, nn::Conv2dImpl& m, const onnx_value& x) { return convolution<2>(g, m, x); }
inline onnx_value describe(onnx_graph& g, nn::Conv3dImpl& m, const onnx_value& x) { return convolution<3>(g, m, x); }
inline onnx_value describe(onnx_graph& g, nn::ConvTranspose1dImpl& m, const onnx_value& x) {
  return transposed_convolution<1>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::ConvTranspose2dImpl& m, const onnx_value& x) {
  return transposed_convolution<2>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::ConvTranspose3dImpl& m, const onnx_value& x) {
  return transposed_convolution<3>(g, m, x);
}

/// How far the last windows reach beyond the input, of those that LibTorch has: rounding up, one may begin in the input
/// or in the padding before it only.
inline sizes_type reach(const at::Tensor& in, const at::Tensor& out, const sizes_type& kernel, const sizes_type& stride,
                        const sizes_type& padding, const sizes_type& dilation) {
  sizes_type after(kernel.size());
  for (std::size_t k = 0; k < kernel.size(); ++k) {
    const auto d = std::int64_t(k + 2);
    const std::int64_t end = (out.size(d) - 1) * stride[k] + dilation[k] * (kernel[k] - 1) + 1;
    after[k] = (std::max)(end - padding[k] - in.size(d), std::int64_t{0});
  }
  return after;
}
template <std::size_t D, class Module>
onnx_value largest_of_windows(onnx_graph& g, Module& m, const onnx_value& x) {
  const auto& o = m.options;
  require_batch(x, std::int64_t(D) + 2);
  const sizes_type kernel = numbers(o.kernel_size()), stride = numbers(o.stride()), padding = numbers(o.padding()),
                   dilation = numbers(o.dilation());
  const at::Tensor example = m.forward(x.example());
  const sizes_type after = o.ceil_mode() ? reach(x.example(), example, kernel, stride, padding, dilation) : padding;
  return g.node("MaxPool", {x},
                {onnx_attribute("kernel_shape", kernel), onnx_attribute("strides", stride),
                 onnx_attribute("pads", behind(padding, after)), onnx_attribute("dilations", dilation)},
                example);
}
/// What a window is divided by is LibTorch's: the number of its elements in the input, or in the padded input, but
/// never beyond, however it was rounded; or a given number. ONNX divides by the window; the rest is a product with what
/// LibTorch's mean of ones is, in units of the node's.
template <std::size_t D, class Module>
onnx_value mean_of_windows(onnx_graph& g, Module& m, const onnx_value& x) {
  const auto& o = m.options;
  require_batch(x, std::int64_t(D) + 2);
  const sizes_type kernel = numbers(o.kernel_size()), stride = numbers(o.stride()), padding = numbers(o.padding()),
                   one(D, 1), none(D, 0);
  bool divided = false;
  if constexpr (D > 1) divided = o.divisor_override().has_value();
  const at::Tensor example = m.forward(x.example());
  const auto window = [&](const sizes_type& pads, bool with_pads) {
    return std::vector{onnx_attribute("kernel_shape", kernel), onnx_attribute("strides", stride),
                       onnx_attribute("pads", pads), onnx_attribute("count_include_pad", with_pads)};
  };
  if (!o.ceil_mode() && !divided)
    return g.node("AveragePool", {x}, window(behind(padding, padding), o.count_include_pad()), example);

  const sizes_type after = o.ceil_mode() ? reach(x.example(), example, kernel, stride, padding, one) : padding;
  sizes_type shape = behind({1, 1}, x.example().sizes().slice(2).vec());
  const at::Tensor ones = at::ones(shape, x.example().options());
  sizes_type reversed;
  for (std::size_t k = D; k-- > 0;) reversed.push_back(padding[k]), reversed.push_back(after[k]);
  const auto plain = [&](const at::Tensor& of) {
    const at::Tensor padded = at::constant_pad_nd(of, reversed, 0);
    if constexpr (D == 1) return at::avg_pool1d(padded, kernel, stride);
    else if constexpr (D == 2) return at::avg_pool2d(padded, kernel, stride);
    else return at::avg_pool3d(padded, kernel, stride);
  };
  const onnx_value padded = pad(x, padding, after, "constant");
  const onnx_value means = g.node("AveragePool", {padded}, window(behind(none, none), false), plain(x.example()));
  at::Tensor ratio = m.forward(ones) / plain(ones);
  if ((ratio == ratio.min()).all().template item<bool>()) ratio = ratio.min().reshape(sizes_type(D + 2, 1));
  return means * g.constant(ratio, "divisors");
}
inline onnx_value describe(onnx_graph& g, nn::MaxPool1dImpl& m, const onnx_value& x) {
  return largest_of_windows<1>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::MaxPool2dImpl& m, const onnx_value& x) {
  return largest_of_windows<2>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::MaxPool3dImpl& m, const onnx_value& x) {
  return largest_of_windows<3>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::AvgPool1dImpl& m, const onnx_value& x) {
  return mean_of_windows<1>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::AvgPool2dImpl& m, const onnx_value& x) {
  return mean_of_windows<2>(g, m, x);
}
inline onnx_value describe(onnx_graph& g, nn::AvgPool3dImpl& m, const onnx_value& x) {
  return mean_of_windows<3>(g, m, x);
}

inline bool is_one(std::int64_t size) { return size == 1; }
template <class Optional>
bool is_one(const Optional& size) {
  return size && *size == 1;
}
/// To a given size: all at once, or by windows of one size, where that divides.
template <std::size_t D, class Module>
onnx_value adaptive(onnx_graph& g, Module& m, const onnx_value& x, const char* op, const char* all) {
  require_batch(x, std::int64_t(D) + 2);
  const at::Tensor example = m.forward(x.example());
  sizes_type window(D);
  bool one = true;
  for (std::size_t k = 0; k < D; ++k) {
    const std::int64_t in = x.example().size(std::int64_t(k + 2)), out = example.size(std::int64_t(k + 2));
    if (in % out != 0)
      g.refuse("from " + std::to_string(in) + " to " + std::to_string(out) +
               ", and windows of one size do not give that - choose a divisor");
    window[k] = in / out;
    one = one && is_one((*m.options.output_size())[k]);
  }
  if (one) return g.node(all, {x}, {}, example);
  return g.node(op, {x}, {onnx_attribute("kernel_shape", window), onnx_attribute("strides", window)}, example);
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveAvgPool1dImpl& m, const onnx_value& x) {
  return adaptive<1>(g, m, x, "AveragePool", "GlobalAveragePool");
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveAvgPool2dImpl& m, const onnx_value& x) {
  return adaptive<2>(g, m, x, "AveragePool", "GlobalAveragePool");
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveAvgPool3dImpl& m, const onnx_value& x) {
  return adaptive<3>(g, m, x, "AveragePool", "GlobalAveragePool");
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveMaxPool1dImpl& m, const onnx_value& x) {
  return adaptive<1>(g, m, x, "MaxPool", "GlobalMaxPool");
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveMaxPool2dImpl& m, const onnx_value& x) {
  return adaptive<2>(g, m, x, "MaxPool", "GlobalMaxPool");
}
inline onnx_value describe(onnx_graph& g, nn::AdaptiveMaxPool3dImpl& m, const onnx_value& x) {
  return adaptive<3>(g, m, x, "MaxPool", "GlobalMaxPool");
}

inline onnx_value describe(onnx_graph& g, nn::EmbeddingImpl& m, const onnx_value& x) {
  if (m.options.max_norm()) g.refuse("max_norm, by which reading changes the table");
  return embedding(g.constant(m.weight), x);
}
inline onnx_value describe(onnx_graph&, nn::FlattenImpl& m, const onnx_value& x) {
  return flatten(x, m.options.start_dim(), m.options.end_dim());
}
inline onnx_value describe(onnx_graph&, nn::IdentityImpl&, const onnx_value& x) { return x; }
inline onnx_value describe(onnx_graph&, nn::DropoutImpl&, const onnx_value& x) { return x; }
inline onnx_value describe(onnx_graph&, nn::Dropout2dImpl&, const onnx_value& x) { return x; }
inline onnx_value describe(onnx_graph&, nn::Dropout3dImpl&, const onnx_value& x) { return x; }
inline onnx_value describe(onnx_graph&, nn::AlphaDropoutImpl&, const onnx_value& x) { return x; }
inline onnx_value describe(onnx_graph&, nn::FeatureAlphaDropoutImpl&, const onnx_value& x) { return x; }

/// A module that pads: its numbers are from the last dimension on, before and after.
template <std::size_t D, class Module>
onnx_value padded(Module& m, const onnx_value& x, const char* mode, double number = 0) {
  require_batch(x, std::int64_t(D) + 2);
  sizes_type before(D), after(D);
  for (std::size_t k = 0; k < D; ++k) {
    before[D - 1 - k] = (*m.options.padding())[2 * k];
    after[D - 1 - k] = (*m.options.padding())[2 * k + 1];
  }
  return pad(x, before, after, mode, number);
}
inline onnx_value describe(onnx_graph&, nn::ReflectionPad1dImpl& m, const onnx_value& x) {
  return padded<1>(m, x, "reflect");
}
inline onnx_value describe(onnx_graph&, nn::ReflectionPad2dImpl& m, const onnx_value& x) {
  return padded<2>(m, x, "reflect");
}
inline onnx_value describe(onnx_graph&, nn::ReflectionPad3dImpl& m, const onnx_value& x) {
  return padded<3>(m, x, "reflect");
}
inline onnx_value describe(onnx_graph&, nn::ReplicationPad1dImpl& m, const onnx_value& x) {
  return padded<1>(m, x, "edge");
}
inline onnx_value describe(onnx_graph&, nn::ReplicationPad2dImpl& m, const onnx_value& x) {
  return padded<2>(m, x, "edge");
}
inline onnx_value describe(onnx_graph&, nn::ReplicationPad3dImpl& m, const onnx_value& x) {
  return padded<3>(m, x, "edge");
}
inline onnx_value describe(onnx_graph&, nn::ZeroPad2dImpl& m, const onnx_value& x) {
  return padded<2>(m, x, "constant");
}
inline onnx_value describe(onnx_graph&, nn::ConstantPad1dImpl& m, const onnx_value& x) {
  return padded<1>(m, x, "constant", m.options.value());
}
inline onnx_value describe(onnx_graph&, nn::ConstantPad2dImpl& m, const onnx_value& x) {
  return padded<2>(m, x, "constant", m.options.value());
}
inline onnx_value describe(onnx_graph&, nn::ConstantPad3dImpl& m, const onnx_value& x) {
  return padded<3>(m, x, "constant", m.options.value());
}

} // namespace tutti::torch::detail
