// A graph of ONNX that is written down while a module is walked (adapters/torch_onnx.hpp).
//
// Each value of the graph carries the tensor that LibTorch makes of the example. So shapes are known where a node needs
// them, and what a visitor describes can be compared with what forward() computes.
#pragma once

#include <tutti/core/error.hpp>

#include <ATen/ATen.h>
#include <onnx/onnx_pb.h>
#include <torch/nn/functional.h> // before modules.h, which in LibTorch 1.13 needs it
#include <torch/nn/modules.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::torch {

class onnx_graph;

/// A tensor of the graph; its arithmetic is in adapters/onnx/values.hpp. Undefined: an optional input that is left out.
class onnx_value {
public:
  onnx_value() = default;
  onnx_value(onnx_graph& graph, std::string name, at::Tensor example)
      : graph_{&graph}, name_{std::move(name)}, example_{std::move(example)} {}

  bool defined() const noexcept { return graph_ != nullptr; }
  onnx_graph& graph() const noexcept { return *graph_; }
  const std::string& name() const noexcept { return name_; }
  /// What LibTorch makes of the example here. Its rank and its element hold for any input; of its sizes those do that
  /// onnx_options::varying leaves alone.
  const at::Tensor& example() const noexcept { return example_; }
  std::int64_t dim() const { return example_.dim(); }

private:
  onnx_graph* graph_ = nullptr;
  std::string name_;
  at::Tensor example_;
};

namespace detail {

/// forward() gives tensors, and a visitor values in the same tuple.
template <class Result>
struct in_values;
template <>
struct in_values<at::Tensor> {
  using type = onnx_value;
};
template <class... Results>
struct in_values<std::tuple<Results...>> {
  using type = std::tuple<typename in_values<Results>::type...>;
};
template <class Result>
using in_values_t = typename in_values<std::remove_cvref_t<Result>>::type;

/// What forward() is given in the place of a value: its example; tuples and numbers stay.
inline at::Tensor as_example(const onnx_value& value) { return value.example(); }
template <class... Values>
auto as_example(const std::tuple<Values...>& values) {
  return std::apply([](const auto&... each) { return std::tuple{as_example(each)...}; }, values);
}
template <class Number>
  requires(std::is_arithmetic_v<Number>)
Number as_example(Number number) { return number; }

/// One behind the other.
inline void append(std::vector<onnx_value>& to, const onnx_value& value) { to.push_back(value); }
inline void append(std::vector<at::Tensor>& to, const at::Tensor& value) { to.push_back(value); }
template <class Number>
  requires(std::is_arithmetic_v<Number>)
void append(std::vector<onnx_value>&, Number) {} // switches are no values
template <class All, class... Each>
void append(std::vector<All>& to, const std::tuple<Each...>& values) {
  std::apply([&](const auto&... each) { (append(to, each), ...); }, values);
}
/// And back.
inline void take(const onnx_value*& from, onnx_value& to) { to = *from++; }
template <class... Each>
void take(const onnx_value*& from, std::tuple<Each...>& to) {
  std::apply([&](auto&... each) { (take(from, each), ...); }, to);
}

/// What describes modules of one type.
struct onnx_visitor {
  virtual ~onnx_visitor() = default;
  virtual const std::type_info& type() const = 0;
  virtual std::vector<onnx_value> operator()(onnx_graph& graph, ::torch::nn::Module& module,
                                             const std::vector<onnx_value>& arguments) const = 0;
};

/// What is known of a module of torch::nn that makes one tensor of one, modules.hpp; undefined of others.
onnx_value describe_known(onnx_graph& graph, ::torch::nn::Module& module, const onnx_value& x);

/// The number that ONNX has for an element, or 0.
inline std::int32_t onnx_element(at::ScalarType type) {
  switch (type) {
  case at::kFloat: return onnx::TensorProto::FLOAT;
  case at::kDouble: return onnx::TensorProto::DOUBLE;
  case at::kHalf: return onnx::TensorProto::FLOAT16;
  case at::kBFloat16: return onnx::TensorProto::BFLOAT16;
  case at::kLong: return onnx::TensorProto::INT64;
  case at::kInt: return onnx::TensorProto::INT32;
  case at::kShort: return onnx::TensorProto::INT16;
  case at::kChar: return onnx::TensorProto::INT8;
  case at::kByte: return onnx::TensorProto::UINT8;
  case at::kBool: return onnx::TensorProto::BOOL;
  default: return 0;
  }
}

/// Row-major; who calls has asked for the element.
inline void put(onnx::TensorProto& out, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().cpu().contiguous();
  out.set_name(name);
  out.set_data_type(onnx_element(values.scalar_type()));
  for (const std::int64_t size : values.sizes()) out.add_dims(size);
  out.set_raw_data(values.data_ptr(), values.nbytes());
}

} // namespace detail

/// An attribute of a node: a whole number, a float, text, several whole numbers, or a tensor.
template <class Number>
  requires(std::is_arithmetic_v<Number>)
onnx::AttributeProto onnx_attribute(const char* name, Number value) {
  onnx::AttributeProto out;
  out.set_name(name);
  if constexpr (std::is_floating_point_v<Number>) {
    out.set_type(onnx::AttributeProto::FLOAT);
    out.set_f(static_cast<float>(value));
  } else {
    out.set_type(onnx::AttributeProto::INT);
    out.set_i(static_cast<std::int64_t>(value));
  }
  return out;
}
inline onnx::AttributeProto onnx_attribute(const char* name, const char* value) {
  onnx::AttributeProto out;
  out.set_name(name);
  out.set_type(onnx::AttributeProto::STRING);
  out.set_s(value);
  return out;
}
inline onnx::AttributeProto onnx_attribute(const char* name, at::IntArrayRef values) {
  onnx::AttributeProto out;
  out.set_name(name);
  out.set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) out.add_ints(value);
  return out;
}
inline onnx::AttributeProto onnx_attribute(const char* name, const at::Tensor& value) {
  onnx::AttributeProto out;
  out.set_name(name);
  out.set_type(onnx::AttributeProto::TENSOR);
  detail::put(*out.mutable_t(), "", value);
  return out;
}

/// What a visitor is given: calls modules, holds parameters, takes nodes. Names are those of LibTorch: parameters bear
/// their dotted names, nodes that of the module they stand for. Nothing depends on anything but the order of calls.
class onnx_graph {
public:
  onnx_graph(::torch::nn::Module& root, const std::vector<const detail::onnx_visitor*>& visitors)
      : visitors_{visitors} {
    root.apply([this](const std::string& path, ::torch::nn::Module& m) { paths_.emplace(&m, path); });
    const auto list = [this](const auto& all) {
      for (const auto& entry : all)
        if (entry.value().defined()) paths_of_tensors_.emplace(entry.value().unsafeGetTensorImpl(), entry.key());
    };
    list(root.named_parameters());
    list(root.named_buffers());
  }
  onnx_graph(const onnx_graph&) = delete;
  onnx_graph& operator=(const onnx_graph&) = delete;

  /// What module.forward() makes of these values: by the visitor of its type, or else by what is known of
  /// torch::nn's own. A module without weights need not be registered: graph(torch::nn::ReLU(), x).
  template <class Module, class... Arguments>
    requires std::is_base_of_v<::torch::nn::Module, Module>
  auto operator()(Module& module, const Arguments&... arguments)
      -> detail::in_values_t<decltype(module.forward(detail::as_example(arguments)...))>;
  template <class Module, class... Arguments>
  auto operator()(const ::torch::nn::ModuleHolder<Module>& module, const Arguments&... arguments)
      -> decltype((*this)(*module.ptr(), arguments...)) {
    if (module.is_empty()) refuse("a module that was never made is called");
    return (*this)(*module.ptr(), arguments...);
  }
  onnx_value operator()(const ::torch::nn::AnyModule& module, const onnx_value& x) { return call(*module.ptr(), x); }
  /// One whose type is known at run time only, of one value to one.
  onnx_value call(::torch::nn::Module& module, const onnx_value& x) {
    const scope here{*this, module};
    onnx_value out;
    if (const detail::onnx_visitor* visitor = visitor_of(module)) {
      const std::vector<onnx_value> results = (*visitor)(*this, module, {x});
      if (results.size() == 1) out = results[0];
    } else {
      out = detail::describe_known(*this, module, x);
    }
    if (!out.defined()) refuse(unknown());
    return out;
  }

  /// A parameter, a buffer or any other tensor; undefined is undefined. Given twice it is in the file once.
  onnx_value constant(const at::Tensor& tensor, const char* name = "constant") {
    if (!tensor.defined()) return {};
    const void* const which = tensor.unsafeGetTensorImpl();
    if (const auto there = constants_of_.find(which); there != constants_of_.end())
      return {*this, constants_[there->second].name, tensor};
    const auto known = paths_of_tensors_.find(which);
    const std::string called = unique(known != paths_of_tensors_.end() ? known->second : within(name));
    if (detail::onnx_element(tensor.scalar_type()) == 0 || tensor.layout() != at::kStrided)
      refuse("the tensor \"" + called + "\" is not dense, or ONNX has no element " +
             std::string{c10::toString(tensor.scalar_type())});
    constants_of_.emplace(which, constants_.size());
    constants_.push_back({called, tensor}); // which keeps it alive, so that no other has its address
    return {*this, called, tensor};
  }

  /// A node of opset 17 with one result, of which LibTorch makes `example`.
  onnx_value node(const char* op, const std::vector<onnx_value>& inputs,
                  const std::vector<onnx::AttributeProto>& attributes, const at::Tensor& example) {
    return nodes(op, inputs, attributes, {example})[0];
  }
  /// With several; those whose example is undefined are left out.
  std::vector<onnx_value> nodes(const char* op, const std::vector<onnx_value>& inputs,
                                const std::vector<onnx::AttributeProto>& attributes,
                                const std::vector<at::Tensor>& examples) {
    onnx::NodeProto& node = nodes_.emplace_back();
    node.set_op_type(op);
    node.set_name(unique(within(op)));
    for (const onnx_value& input : inputs) {
      if (input.defined() && &input.graph() != this) refuse("a value of another graph is used");
      node.add_input(input.name());
    }
    while (node.input_size() > 0 && node.input(node.input_size() - 1).empty()) node.mutable_input()->RemoveLast();
    for (const onnx::AttributeProto& attribute : attributes) *node.add_attribute() = attribute;
    std::vector<onnx_value> results;
    for (const at::Tensor& example : examples) {
      if (example.defined()) results.emplace_back(*this, results.empty() ? node.name() : unique(node.name()), example);
      else results.emplace_back();
      node.add_output(results.back().name());
    }
    return results;
  }

  /// Throws error_code::unsupported: this module, named by path and type, cannot be exported, and why.
  [[noreturn]] void refuse(const std::string& why) const {
    throw tutti::error{{.code = error_code::unsupported, .call = "to_onnx", .detail = where() + ": " + why}};
  }

  // By to_onnx alone.
  struct held {
    std::string name;
    at::Tensor tensor;
  };
  onnx_value input(const std::string& name, const at::Tensor& example) { return {*this, unique(name), example}; }
  void reserve(const std::string& name) { names_.insert(name); }
  onnx_value output(const std::string& name, const onnx_value& value) {
    const onnx_value copy = node("Identity", {value}, {}, value.example());
    nodes_.back().set_output(0, name);
    return {*this, name, copy.example()};
  }
  const std::vector<held>& constants() const noexcept { return constants_; }
  const std::vector<onnx::NodeProto>& written() const noexcept { return nodes_; }

private:
  /// While a module is described.
  struct scope {
    onnx_graph& of;
    const ::torch::nn::Module* module;
    std::string path;
    scope(onnx_graph& graph, const ::torch::nn::Module& m) : of{graph}, module{graph.module_}, path{graph.path_} {
      of.module_ = &m;
      if (const auto found = of.paths_.find(&m); found != of.paths_.end()) of.path_ = found->second;
    }
    scope(const scope&) = delete;
    ~scope() { of.module_ = module, of.path_ = path; }
  };

  const detail::onnx_visitor* visitor_of(const ::torch::nn::Module& module) const {
    for (const auto* visitor : visitors_)
      if (visitor->type() == typeid(module)) return visitor;
    return nullptr;
  }
  std::string where() const {
    if (module_ == nullptr) return "the module";
    return (path_.empty() ? "the module" : "\"" + path_ + "\"") + " (" + module_->name() + ")";
  }
  std::string unknown() const {
    return "what forward() computes is not known - give to_onnx a visitor, [](tutti::torch::onnx_graph& graph, " +
           module_->name() + "& module, tutti::torch::onnx_value x) { ... }";
  }
  std::string within(const char* name) const { return path_.empty() ? name : path_ + "/" + name; }
  std::string unique(const std::string& name) {
    std::string out = name;
    for (int k = 1; !names_.insert(out).second; ++k) out = name + "_" + std::to_string(k);
    return out;
  }

  const std::vector<const detail::onnx_visitor*>& visitors_;
  std::unordered_map<const ::torch::nn::Module*, std::string> paths_;
  std::unordered_map<const void*, std::string> paths_of_tensors_;
  std::unordered_map<const void*, std::size_t> constants_of_;
  std::vector<held> constants_;
  std::vector<onnx::NodeProto> nodes_;
  std::set<std::string> names_;
  const ::torch::nn::Module* module_ = nullptr;
  std::string path_;
};

} // namespace tutti::torch
