// A torch::nn::Module as an ONNX file, for ONNX Runtime, TensorRT and their like. Target `tutti::onnx`.
//
//   tutti::torch::to_onnx(*net, example, "net.onnx");
//
// LibTorch does not know what forward() of a module of yours computes: a visitor says so, in a few lines.
//
//   tutti::torch::to_onnx(*net, example, "net.onnx",
//                         [](tutti::torch::onnx_graph& graph, network& net, tutti::torch::onnx_value x) {
//     x = graph(torch::nn::ReLU(), graph(net.first, x));
//     return graph(net.last, flatten(x, 1));
//   });
//
// A file is never wrong: what a visitor describes is compared with what forward() computes, and everything is done for
// a second example of another size, which has to give the same graph - so nothing of the example's size is in the file.
// ONNX's own checker has the last word.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/modules.hpp>
#include <tutti/adapters/onnx/values.hpp>
#include <tutti/adapters/onnx/write.hpp>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace tutti::torch {

namespace detail {

/// What a visitor is called with.
template <class Call>
struct visitor_of;
template <class Result, class Visitor, class Module, class... Values>
struct visitor_of<Result (Visitor::*)(onnx_graph&, Module&, Values...) const> {
  using module = Module;
  using values = std::tuple<std::remove_cvref_t<Values>...>;
  static constexpr std::size_t count = sizeof...(Values);
  static_assert(
      (std::is_same_v<std::remove_cvref_t<Values>, onnx_value> && ...),
      "tutti::torch::to_onnx: behind the module a visitor takes tutti::torch::onnx_value, one for each tensor "
      "that forward() is given");
};
template <class Visitor>
concept names_its_module = requires {
  typename visitor_of<decltype(&Visitor::operator())>::module;
};

/// How what is described differs from what forward() computes; empty where it does not, up to rounding.
inline std::string difference(const std::vector<onnx_value>& described, const std::vector<at::Tensor>& computed) {
  if (described.size() != computed.size())
    return std::to_string(computed.size()) + " tensors, and " + std::to_string(described.size()) + " are described";
  for (std::size_t k = 0; k < computed.size(); ++k) {
    const at::Tensor &a = described[k].example(), &b = computed[k];
    if (!a.defined() && !b.defined()) continue;
    if (!a.defined() || !b.defined()) return "a tensor that is described, or not, where there is none, or one";
    const auto facts = [](const at::Tensor& t) {
      return std::string{c10::toString(t.scalar_type())} + " " + c10::str(t.sizes());
    };
    if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
      return facts(b) + " where " + facts(a) + " is described";
    if (b.numel() == 0) continue;
    const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
    const double largest = y.abs().nan_to_num(0, 0).max().item<double>();
    if (!at::allclose(x, y, 1e-4, 1e-5 * largest + 1e-7, true))
      return "other values than are described, off by " + std::to_string((x - y).abs().max().item<double>()) +
             " where the largest is " + std::to_string(largest);
  }
  return "";
}

template <class Visitor>
class typed_visitor final : public onnx_visitor {
  using call = visitor_of<decltype(&Visitor::operator())>;
  using module_type = std::remove_const_t<typename call::module>;

public:
  explicit typed_visitor(const Visitor& visitor) : visitor_{visitor} {}
  const std::type_info& type() const override { return typeid(module_type); }
  std::vector<onnx_value> operator()(onnx_graph& graph, ::torch::nn::Module& module,
                                     const std::vector<onnx_value>& arguments) const override {
    if (arguments.size() != call::count)
      graph.refuse("its visitor takes " + std::to_string(call::count) + " values and is given " +
                   std::to_string(arguments.size()));
    return visit(graph, dynamic_cast<module_type&>(module), arguments, std::make_index_sequence<call::count>{});
  }

private:
  template <std::size_t... K>
  std::vector<onnx_value> visit(onnx_graph& graph, module_type& module, const std::vector<onnx_value>& x,
                                std::index_sequence<K...>) const {
    std::vector<onnx_value> values;
    append(values, visitor_(graph, module, x[K]...));
    std::vector<at::Tensor> computed;
    append(computed, module.forward(x[K].example().clone()...));
    const std::string wrong = difference(values, computed);
    if (!wrong.empty()) graph.refuse("forward() computes " + wrong);
    return values;
  }

  const Visitor& visitor_;
};

/// Everything as in evaluation, and as it was afterwards: each module's mode, and the generator of random numbers.
class evaluating {
public:
  explicit evaluating(::torch::nn::Module& module) : generator_{at::detail::getDefaultCPUGenerator()} {
    const std::lock_guard lock{generator_.mutex()};
    state_ = generator_.get_state();
    module.apply([this](::torch::nn::Module& m) { modes_.emplace_back(&m, m.is_training()); });
    module.eval();
  }
  evaluating(const evaluating&) = delete;
  evaluating& operator=(const evaluating&) = delete;
  ~evaluating() {
    for (const auto& [module, training] : modes_) module->train(training); // parents first: their children follow
    const std::lock_guard lock{generator_.mutex()};
    generator_.set_state(state_);
  }

private:
  at::NoGradGuard unrecorded_;
  at::Generator generator_;
  at::Tensor state_;
  std::vector<std::pair<::torch::nn::Module*, bool>> modes_;
};

/// The graph of a module for these inputs.
template <class Module, class... Examples>
onnx_sketch sketch_of(Module& module, const onnx_options& options, const std::vector<const onnx_visitor*>& visitors,
                      const std::tuple<Examples...>& examples) {
  onnx_sketch out{std::make_unique<onnx_graph>(module, visitors), {}, {}};
  onnx_graph& graph = *out.graph;
  std::vector<at::Tensor> given, computed;
  append(given, examples);
  const auto names = onnx_names(options.inputs, "input", given.size());
  for (std::size_t k = 0; k < given.size(); ++k) out.inputs.push_back(graph.input(names[k], given[k]));
  std::tuple<in_values_t<Examples>...> inputs;
  const onnx_value* next = out.inputs.data();
  take(next, inputs);

  append(computed, std::apply([&](const auto&... x) { return module.forward(x.clone()...); }, examples));
  const auto results = onnx_names(options.outputs, "output", computed.size());
  for (const std::string& name : results) graph.reserve(name);
  std::vector<onnx_value> values;
  append(values, std::apply([&](const auto&... x) { return graph(module, x...); }, inputs));
  if (const std::string wrong = difference(values, computed); !wrong.empty())
    not_exported(error_code::unsupported, "the module (" + module.name() + "): forward() computes " + wrong +
                                              " by its parts - is it random, or does it change itself?");
  for (std::size_t k = 0; k < values.size(); ++k) out.outputs.push_back(graph.output(results[k], values[k]));
  return out;
}
/// The same for another example, first of twice the size where it may vary, or else of half. It has to be the same
/// graph.
template <class Module, class... Examples>
onnx_sketch varied(const onnx_sketch& first, Module& module, const onnx_options& options,
                   const std::vector<const onnx_visitor*>& visitors, const std::tuple<Examples...>& examples) {
  std::string why;
  for (const bool twice : {true, false}) {
    auto others = examples;
    std::size_t k = 0;
    if (!std::apply([&](auto&... x) { return (resize(x, varying_of(options, k++), twice) && ...); }, others)) continue;
    try {
      onnx_sketch out = sketch_of(module, options, visitors, others);
      const std::string where = difference(*first.graph, *out.graph);
      if (where.empty()) return out;
      why = "\"" + where + "\" depends on the size of the input";
    } catch (const std::exception& e) {
      const std::string text = e.what();
      if (why.empty()) why = "an input of twice the size is refused: " + text.substr(0, text.find('\n'));
    }
  }
  not_exported(error_code::unsupported,
               why + " - name in onnx_options::varying only dimensions that may have any size");
}

template <class Module, class... Examples>
concept takes_examples = requires(Module& module, const Examples&... examples) {
  typename in_values_t<decltype(module.forward(examples...))>;
};

template <class Module, class... Examples, class... Visitors>
void export_module(Module& module, const std::tuple<Examples...>& examples, const std::string& path,
                   const onnx_options& options, const Visitors&... visitors) {
  static_assert(takes_examples<Module, Examples...>,
                "tutti::torch::to_onnx: forward() of this module does not take this example, or gives something other "
                "than tensors and tuples of them - give a std::tuple of as many tensors as forward() takes");
  const std::tuple<typed_visitor<Visitors>...> typed{typed_visitor<Visitors>{visitors}...};
  const auto all = std::apply([](const auto&... v) { return std::vector<const onnx_visitor*>{&v...}; }, typed);
  std::string file;
  {
    const evaluating guard{module};
    const onnx_sketch first = sketch_of(module, options, all, examples);
    const onnx_sketch second = varied(first, module, options, all, examples);
    file = onnx_file(first, second, options.most_bytes);
  }
  write_whole(path, file);
}

} // namespace detail

/// Writes what module.forward(example) computes in evaluation into a file of ONNX: opset 17, IR version 8. An example
/// of several inputs is a std::tuple of tensors. A visitor describes modules of one type, which is that of its second
/// argument, and goes before what is known of torch::nn; see onnx_graph. The module is as it was afterwards.
/// Throws error_code::unsupported, naming the module by its path and type, where it cannot be exported, transport where
/// the file cannot be written, and what forward() throws; there is a whole file or none, and none takes the place of an
/// earlier one. Costs four to six forward passes or more where visitors are nested, and the file in memory twice.
template <class Module, class Example, class... Visitors>
void to_onnx(Module& module, const Example& example, const std::string& path, const onnx_options& options,
             const Visitors&... visitors) {
  static_assert((detail::names_its_module<Visitors> && ...),
                "tutti::torch::to_onnx: a visitor is a lambda that names the type of its module - write "
                "[](tutti::torch::onnx_graph& graph, your_module& module, tutti::torch::onnx_value x) { ... }");
  if constexpr (requires { module.ptr(); }) to_onnx(*module.ptr(), example, path, options, visitors...);
  else if constexpr (std::is_same_v<Example, at::Tensor>)
    detail::export_module(module, std::tuple{example}, path, options, visitors...);
  else detail::export_module(module, example, path, options, visitors...);
}
template <class Module, class Example, class... Visitors>
void to_onnx(Module& module, const Example& example, const std::string& path, const Visitors&... visitors) {
  const onnx_options plain; // not onnx_options{} in the call, at which g++ 12 breaks down
  to_onnx(module, example, path, plain, visitors...);
}

} // namespace tutti::torch
