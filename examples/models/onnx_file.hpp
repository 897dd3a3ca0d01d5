// A graph of ONNX, opset 17, that is written down node by node: by libonnx's protobuf classes, without LibTorch.
#pragma once

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace models {

/// Values are names.
class onnx_file {
public:
  using value = std::string;
  /// A length, or a name for one that may be any.
  using dimension = std::variant<int, const char*>;
  struct attribute {
    const char* name;
    std::variant<int, std::vector<int>, float> is;
  };

  onnx_file() {
    model_.set_ir_version(8);
    model_.set_producer_name("tutti");
    model_.add_opset_import()->set_version(17);
    graph().set_name("forward");
  }

  value input(const char* name, onnx::TensorProto::DataType element, const std::vector<dimension>& shape) {
    declare(*graph().add_input(), name, element, shape);
    return name;
  }
  void output(const value& of, const char* name, const std::vector<dimension>& shape) {
    declare(*graph().add_output(), name, onnx::TensorProto::FLOAT, shape);
    onnx::NodeProto& node = *graph().add_node();
    node.set_op_type("Identity");
    node.add_input(of);
    node.add_output(name);
  }

  value constant(const std::string& name, const std::vector<int>& shape, std::span<const float> values) {
    return hold(name, onnx::TensorProto::FLOAT, shape, std::as_bytes(values));
  }
  value number(float is) {
    return hold(unique("number"), onnx::TensorProto::FLOAT, {}, std::as_bytes(std::span{&is, 1}));
  }
  value integer(std::int64_t is) {
    return hold(unique("integer"), onnx::TensorProto::INT64, {}, std::as_bytes(std::span{&is, 1}));
  }
  value integers(const std::vector<std::int64_t>& are) {
    return hold(unique("integers"), onnx::TensorProto::INT64, {int(are.size())}, std::as_bytes(std::span{are}));
  }

  value node(const char* op, const std::vector<value>& inputs, const std::vector<attribute>& attributes = {}) {
    return nodes(op, inputs, attributes, 1)[0];
  }
  std::vector<value> split(const value& x, int parts, int axis) { return nodes("Split", {x}, {{"axis", axis}}, parts); }

  /// Behind ONNX's checker. Whole or not at all: an earlier file stays until then.
  void write(const std::string& path) {
    onnx::checker::check_model(model_);
    const std::string beside = path + ".new";
    std::ofstream out{beside, std::ios::binary};
    if (!model_.SerializeToOstream(&out) || !out.flush()) throw std::runtime_error("--onnx: cannot write " + beside);
    std::filesystem::rename(beside, path);
  }

private:
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  std::string unique(const std::string& name) { return name + "_" + std::to_string(count_++); }

  std::vector<value> nodes(const char* op, const std::vector<value>& inputs, const std::vector<attribute>& attributes,
                           int outputs) {
    onnx::NodeProto& node = *graph().add_node();
    node.set_op_type(op);
    for (const value& input : inputs) node.add_input(input);
    for (const attribute& each : attributes) {
      onnx::AttributeProto& out = *node.add_attribute();
      out.set_name(each.name);
      if (const int* one = std::get_if<int>(&each.is)) {
        out.set_type(onnx::AttributeProto::INT);
        out.set_i(*one);
      } else if (const auto* several = std::get_if<std::vector<int>>(&each.is)) {
        out.set_type(onnx::AttributeProto::INTS);
        for (const int k : *several) out.add_ints(k);
      } else { // what ConstantOfShape is filled with
        const float filled = std::get<float>(each.is);
        out.set_type(onnx::AttributeProto::TENSOR);
        put(*out.mutable_t(), "", onnx::TensorProto::FLOAT, {1}, std::as_bytes(std::span{&filled, 1}));
      }
    }
    std::vector<value> out;
    for (int k = 0; k < outputs; ++k) node.add_output(out.emplace_back(unique(op)));
    return out;
  }
  value hold(const std::string& name, onnx::TensorProto::DataType element, const std::vector<int>& shape,
             std::span<const std::byte> bytes) {
    put(*graph().add_initializer(), name, element, shape, bytes);
    return name;
  }
  static void put(onnx::TensorProto& out, const std::string& name, onnx::TensorProto::DataType element,
                  const std::vector<int>& shape, std::span<const std::byte> bytes) {
    out.set_name(name);
    out.set_data_type(element);
    for (const int n : shape) out.add_dims(n);
    out.set_raw_data(bytes.data(), bytes.size());
  }
  static void declare(onnx::ValueInfoProto& out, const char* name, onnx::TensorProto::DataType element,
                      const std::vector<dimension>& shape) {
    out.set_name(name);
    auto& type = *out.mutable_type()->mutable_tensor_type();
    type.set_elem_type(element);
    for (const dimension& each : shape) {
      auto& to = *type.mutable_shape()->add_dim();
      if (const int* length = std::get_if<int>(&each)) to.set_dim_value(*length);
      else to.set_dim_param(std::get<const char*>(each));
    }
  }

  onnx::ModelProto model_;
  int count_ = 0;
};

} // namespace models
