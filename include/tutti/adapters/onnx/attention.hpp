// Attention of torch::nn, and the layers made of it, as nodes of ONNX: (length, batch, width), as forward() takes them.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/layers.hpp>
#include <tutti/adapters/onnx/values.hpp>

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

namespace tutti::torch {

/// What is added to scores so that no place attends to a later one: (n, n), where n is the size of x in this dimension.
inline onnx_value causal_mask(const onnx_value& x, std::int64_t dimension = 0) {
  onnx_graph& g = x.graph();
  const std::int64_t d = detail::positive(x, dimension), n = x.example().size(d);
  const onnx_value one = sizes(x, d, d + 1);
  const at::Tensor low = at::full({1}, -std::numeric_limits<double>::infinity(), x.example().options());
  const at::Tensor all = low.expand({n, n}).contiguous();
  const onnx_value full = g.node("ConstantOfShape", {cat({one, one}, 0)}, {onnx_attribute("value", low)}, all);
  const onnx_value distance = g.constant(at::scalar_tensor(1, at::kLong), "distance");
  return g.node("Trilu", {full, distance}, {onnx_attribute("upper", 1)}, at::triu(all, 1));
}

namespace detail {

inline std::tuple<onnx_value, onnx_value> describe(onnx_graph& g, nn::MultiheadAttentionImpl& m,
                                                   const onnx_value& query, const onnx_value& key,
                                                   const onnx_value& value, const onnx_value& key_padding_mask = {},
                                                   bool need_weights = true, const onnx_value& attn_mask = {},
                                                   bool average = true) {
  if (m.bias_k.defined() || m.options.add_zero_attn()) g.refuse("add_bias_kv and add_zero_attn");
  if (attn_mask.defined() && (attn_mask.dim() != 2 || !attn_mask.example().is_floating_point()))
    g.refuse("attn_mask is to be of two dimensions, and added");
  require_batch(query, 3);
  const std::int64_t heads = m.options.num_heads(), width = m.options.embed_dim();
  const auto part = [&](const at::Tensor& of, std::int64_t k, const char* name) {
    return of.defined() ? g.constant(of.narrow(0, k * width, width), name) : onnx_value{};
  };

  onnx_value q, k, v;
  if (m._qkv_same_embed_dim && query.name() == key.name() && key.name() == value.name()) {
    const onnx_value all = linear(query, g.constant(m.in_proj_weight), g.constant(m.in_proj_bias));
    const auto parts = g.nodes("Split", {all}, {onnx_attribute("axis", -1)}, at::chunk(all.example(), 3, -1));
    q = parts[0], k = parts[1], v = parts[2];
  } else if (m._qkv_same_embed_dim) {
    q = linear(query, part(m.in_proj_weight, 0, "q_weight"), part(m.in_proj_bias, 0, "q_bias"));
    k = linear(key, part(m.in_proj_weight, 1, "k_weight"), part(m.in_proj_bias, 1, "k_bias"));
    v = linear(value, part(m.in_proj_weight, 2, "v_weight"), part(m.in_proj_bias, 2, "v_bias"));
  } else {
    q = linear(query, g.constant(m.q_proj_weight), part(m.in_proj_bias, 0, "q_bias"));
    k = linear(key, g.constant(m.k_proj_weight), part(m.in_proj_bias, 1, "k_bias"));
    v = linear(value, g.constant(m.v_proj_weight), part(m.in_proj_bias, 2, "v_bias"));
  }
  const std::vector<std::int64_t> by_head{0, 0, heads, width / heads};
  q = permute(reshape(q * (1 / std::sqrt(double(width / heads))), by_head), {1, 2, 0, 3});
  k = permute(reshape(k, by_head), {1, 2, 3, 0});
  v = permute(reshape(v, by_head), {1, 2, 0, 3});

  onnx_value scores = matmul(q, k); // (batch, heads, places of query, places of key)
  if (attn_mask.defined()) scores = scores + attn_mask;
  if (key_padding_mask.defined()) {
    const onnx_value hidden = unsqueeze(unsqueeze(key_padding_mask, 1), 2);
    const onnx_value low = scalar(scores, -std::numeric_limits<double>::infinity());
    scores = g.node("Where", {hidden, low, scores}, {},
                    scores.example().masked_fill(hidden.example(), -std::numeric_limits<double>::infinity()));
  }
  const onnx_value weights = softmax(scores, 3);
  const onnx_value mixed = reshape(permute(matmul(weights, v), {2, 0, 1, 3}), {0, 0, -1});
  return {g(m.out_proj, mixed), !need_weights ? onnx_value{} : average ? mean(weights, {1}) : weights};
}

/// What feeds forward in a layer of an encoder or a decoder.
template <class Layer>
onnx_value feed_forward(onnx_graph& g, Layer& m, const onnx_value& x) {
  const onnx_value wide = g(m.linear1, x);
  if (get_if<::torch::enumtype::kReLU>(&m.options.activation()) != nullptr) return g(m.linear2, relu(wide));
  if (get_if<::torch::enumtype::kGELU>(&m.options.activation()) != nullptr) return g(m.linear2, gelu(wide));
  g.refuse("its activation is a function");
}
inline onnx_value describe(onnx_graph& g, nn::TransformerEncoderLayerImpl& m, const onnx_value& x,
                           const onnx_value& mask = {}, const onnx_value& key_padding_mask = {}) {
  const onnx_value seen = g(m.norm1, x + std::get<0>(g(m.self_attn, x, x, x, key_padding_mask, false, mask)));
  return g(m.norm2, seen + feed_forward(g, m, seen));
}
inline onnx_value describe(onnx_graph& g, nn::TransformerDecoderLayerImpl& m, const onnx_value& x,
                           const onnx_value& memory, const onnx_value& mask = {}, const onnx_value& memory_mask = {},
                           const onnx_value& key_padding_mask = {}, const onnx_value& memory_key_padding_mask = {}) {
  const onnx_value seen = g(m.norm1, x + std::get<0>(g(m.self_attn, x, x, x, key_padding_mask, false, mask)));
  const onnx_value heard =
      g(m.norm2,
        seen + std::get<0>(g(m.multihead_attn, seen, memory, memory, memory_key_padding_mask, false, memory_mask)));
  return g(m.norm3, heard + feed_forward(g, m, heard));
}
inline onnx_value describe(onnx_graph& g, nn::TransformerEncoderImpl& m, onnx_value x, const onnx_value& mask = {},
                           const onnx_value& key_padding_mask = {}) {
  for (const auto& layer : *m.layers)
    x = g(dynamic_cast<nn::TransformerEncoderLayerImpl&>(*layer), x, mask, key_padding_mask);
  return m.norm.is_empty() ? x : g(m.norm, x);
}
inline onnx_value describe(onnx_graph& g, nn::TransformerDecoderImpl& m, onnx_value x, const onnx_value& memory,
                           const onnx_value& mask = {}, const onnx_value& memory_mask = {},
                           const onnx_value& key_padding_mask = {}, const onnx_value& memory_key_padding_mask = {}) {
  for (const auto& layer : *m.layers)
    x = g(dynamic_cast<nn::TransformerDecoderLayerImpl&>(*layer), x, memory, mask, memory_mask, key_padding_mask,
          memory_key_padding_mask);
  return m.norm.is_empty() ? x : g(m.norm, x);
}

} // namespace detail

} // namespace tutti::torch
