// A finished graph becomes a file, which appears whole or not at all.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/core/error.hpp>
#include <tutti/training/files.hpp>

#include <ATen/ATen.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace tutti::torch {

/// How a module is written, to_onnx().
struct onnx_options {
  /// The dimensions of each input that may have another size than in the example; inputs behind the last that is named
  /// are as that. All others are fixed in the file.
  std::vector<std::vector<std::int64_t>> varying = {{0}};
  std::vector<std::string> inputs = {};  ///< names; without, "input", or "input_0" and so on
  std::vector<std::string> outputs = {}; ///< names; without, "output", or "output_0" and so on
  std::uint64_t most_bytes = 0x7fffffff; ///< of a file; ONNX has no more in one
};

namespace detail {

[[noreturn]] inline void not_exported(error_code code, const std::string& why) {
  throw tutti::error{{.code = code, .call = "to_onnx", .detail = why}};
}

/// A graph that was walked for one example.
struct onnx_sketch {
  std::unique_ptr<onnx_graph> graph;
  std::vector<onnx_value> inputs, outputs;
};

inline std::vector<std::string> onnx_names(const std::vector<std::string>& given, const char* what, std::size_t count) {
  if (!given.empty() && given.size() != count)
    not_exported(error_code::invalid_argument, "there are " + std::to_string(count) + " " + what + "s and " +
                                                   std::to_string(given.size()) + " names for them");
  std::vector<std::string> out = given;
  for (std::size_t k = 0; out.size() < count; ++k) out.push_back(count == 1 ? what : what + ("_" + std::to_string(k)));
  return out;
}
inline std::vector<std::int64_t> varying_of(const onnx_options& options, std::size_t input) {
  if (options.varying.empty()) return {};
  return options.varying[(std::min)(input, options.varying.size() - 1)];
}
/// Makes each dimension of an example that varies twice as long, or half; false where there is no half.
inline bool resize(at::Tensor& example, const std::vector<std::int64_t>& varying, bool twice) {
  for (const std::int64_t d : varying) {
    if (d < 0 || d >= example.dim())
      not_exported(error_code::invalid_argument, "onnx_options::varying has dimension " + std::to_string(d) +
                                                     " of an input with " + std::to_string(example.dim()));
    if (!twice && example.size(d) < 2) return false;
    example = twice ? at::cat({example, example}, d) : example.narrow(d, 0, example.size(d) / 2).clone();
  }
  return true;
}

/// Where two graphs of one module are not the same, or nothing.
inline std::string difference(const onnx_graph& a, const onnx_graph& b) {
  for (std::size_t k = 0; k < (std::min)(a.constants().size(), b.constants().size()); ++k) {
    const auto &one = a.constants()[k], &other = b.constants()[k];
    if (one.name != other.name) break; // a node before differs
    if (!one.tensor.is_same(other.tensor) &&
        (one.tensor.sizes() != other.tensor.sizes() || one.tensor.scalar_type() != other.tensor.scalar_type() ||
         !at::equal(one.tensor, other.tensor)))
      return one.name;
  }
  const std::size_t nodes = (std::min)(a.written().size(), b.written().size());
  for (std::size_t k = 0; k < nodes; ++k)
    if (a.written()[k].SerializeAsString() != b.written()[k].SerializeAsString()) return a.written()[k].name();
  if (a.written().size() != b.written().size()) return (a.written().size() > nodes ? a : b).written()[nodes].name();
  return "";
}

/// A tensor by name; of its sizes those are left open, under a name, that are other in another example.
inline void declare(onnx::ValueInfoProto& out, const onnx_value& value, const onnx_value& other) {
  out.set_name(value.name());
  auto& type = *out.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx_element(value.example().scalar_type()));
  auto& shape = *type.mutable_shape();
  for (std::int64_t d = 0; d < value.dim(); ++d) {
    auto& dimension = *shape.add_dim();
    if (value.example().size(d) == other.example().size(d)) dimension.set_dim_value(value.example().size(d));
    else dimension.set_dim_param(value.name() + "_" + std::to_string(d));
  }
}

/// The file of a graph; `other` is the same for an example of other sizes.
inline std::string onnx_file(const onnx_sketch& sketch, const onnx_sketch& other, std::uint64_t most_bytes) {
  std::uint64_t bytes = 0;
  for (const auto& each : sketch.graph->constants()) bytes += each.tensor.nbytes();
  const auto too_long = [&] {
    not_exported(error_code::unsupported, "the file would have " + std::to_string(bytes) + " bytes, and may have " +
                                              std::to_string(most_bytes) + " - export parts of the module");
  };
  if (bytes > most_bytes) too_long();

  onnx::ModelProto model;
  model.set_ir_version(8);
  model.set_producer_name("tutti");
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("forward");
  for (std::size_t k = 0; k < sketch.inputs.size(); ++k) declare(*graph.add_input(), sketch.inputs[k], other.inputs[k]);
  for (std::size_t k = 0; k < sketch.outputs.size(); ++k)
    declare(*graph.add_output(), sketch.outputs[k], other.outputs[k]);
  for (const auto& each : sketch.graph->constants()) put(*graph.add_initializer(), each.name, each.tensor);
  for (const auto& node : sketch.graph->written()) *graph.add_node() = node;
  bytes = model.ByteSizeLong();
  if (bytes > most_bytes) too_long();
  try {
    onnx::checker::check_model(model);
  } catch (const std::exception& e) {
    not_exported(error_code::unsupported, std::string{"ONNX's checker says: "} + e.what());
  }
  return model.SerializeAsString();
}

/// On the disk under a name of its own, and then, at once, under `path`.
inline void write_whole(const std::string& path, const std::string& bytes) {
  using namespace tutti::detail;
  const std::string beside = path + ".new-" + std::to_string(::getpid());
  bool there = true;
  try {
    open_file<> file{"to_onnx", beside, O_WRONLY | O_CREAT | O_TRUNC};
    file.write(0, std::as_bytes(std::span{bytes}));
    file.flush_and_close();
    rename_for_good<system_calls>("to_onnx", beside, path, there);
  } catch (...) {
    if (there) system_calls::unlink(beside.c_str());
    throw;
  }
}

} // namespace detail

} // namespace tutti::torch
