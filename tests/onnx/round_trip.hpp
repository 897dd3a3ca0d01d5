// A module goes into a file of ONNX; what the file says is compared with what forward() computes. With --keep FOLDER
// behind two dashes each case is kept, in the layout of ONNX's own test data, for others to evaluate (run.py).
#pragma once

#include "core/text_of.hpp"
#include "evaluator.hpp"

#include <tutti/adapters/torch_onnx.hpp>

#include <ATen/ATen.h>
#include <onnx/defs/schema.h>
#include <onnx/shape_inference/implementation.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace onnx_test {

using at::Tensor;
using tutti::torch::onnx_graph;
using tutti::torch::onnx_options;
using tutti::torch::onnx_value;
namespace nn = ::torch::nn;

/// A folder of this test alone, gone with it.
class folder {
public:
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tutti-onnx-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  folder(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& file) const { return path_ + "/" + file; }
  const std::string& path() const { return path_; }

private:
  std::string path_;
};

inline std::string bytes_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}
inline onnx::ModelProto model_of(const std::string& path) {
  onnx::ModelProto model;
  if (!model.ParseFromString(bytes_of(path))) throw std::runtime_error{path + " is no model"};
  return model;
}
/// Behind the two dashes: --NAME VALUE.
inline std::string argument(const std::string& name, const std::string& otherwise = "") {
  const auto& suite = boost::unit_test::framework::master_test_suite();
  for (int k = 1; k + 1 < suite.argc; ++k)
    if (suite.argv[k] == "--" + name) return suite.argv[k + 1];
  return otherwise;
}
using trial::text_of;

/// Numbers of such sizes that look drawn, from -2 to 2, a function of `name` alone.
inline Tensor numbers(at::IntArrayRef sizes, int name) {
  const Tensor places = at::arange(c10::multiply_integers(sizes), at::kDouble) * .7;
  return (at::sin(places + double(name)) * 2).reshape(sizes).to(at::kFloat);
}
inline Tensor words(at::IntArrayRef sizes, int name, std::int64_t below) {
  return (at::arange(c10::multiply_integers(sizes)) * 7 + name * 3).remainder(below).reshape(sizes);
}
/// Parameters and buffers that no part of a module has by default.
template <class Module>
Module& filled(Module& module, int name = 1) {
  const at::NoGradGuard unrecorded;
  for (const auto& p : module.parameters()) p.copy_(numbers(p.sizes(), name++) * .3);
  for (const auto& b : module.named_buffers())
    if (b.value().defined() && b.value().is_floating_point())
      b.value().copy_(numbers(b.value().sizes(), name++).abs() + .5);
  return module;
}

inline std::vector<Tensor> flat(const Tensor& t) { return {t}; }
template <class... Tensors>
std::vector<Tensor> flat(const std::tuple<Tensors...>& all) {
  std::vector<Tensor> out;
  tutti::torch::detail::append(out, all);
  return out;
}
template <class Module>
std::vector<Tensor> forward(Module& module, const Tensor& x) {
  return flat(module.forward(x.clone()));
}
template <class Module, class... Tensors>
std::vector<Tensor> forward(Module& module, const std::tuple<Tensors...>& all) {
  return flat(std::apply([&](const auto&... x) { return module.forward(x.clone()...); }, all));
}

inline void keep(const std::string& path, const std::vector<Tensor>& tensors, const char* what) {
  for (std::size_t k = 0; k < tensors.size(); ++k) {
    onnx::TensorProto out;
    tutti::torch::detail::put(out, what, tensors[k]);
    std::ofstream{path + "/" + what + "_" + std::to_string(k) + ".pb", std::ios::binary} << out.SerializeAsString();
  }
}

/// A file and what it makes of some inputs, kept where --keep says.
inline void keep_case(const std::string& name, const std::string& file,
                      const std::vector<std::pair<std::vector<Tensor>, std::vector<Tensor>>>& sets) {
  const std::string kept = argument("keep");
  if (kept.empty()) return;
  std::filesystem::create_directories(kept + "/" + name);
  std::filesystem::copy_file(file, kept + "/" + name + "/model.onnx",
                             std::filesystem::copy_options::overwrite_existing);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    const std::string set = kept + "/" + name + "/test_data_set_" + std::to_string(k);
    std::filesystem::create_directories(set);
    keep(set, sets[k].first, "input");
    keep(set, sets[k].second, "output");
  }
}

/// How far a is from b, as a share of the largest, and as much as an infinity where they are of other sizes.
inline double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double out = 0;
  for (std::size_t k = 0; k < (std::max)(a.size(), b.size()); ++k) {
    if (a.size() != b.size() || a[k].sizes() != b[k].sizes() || a[k].scalar_type() != b[k].scalar_type())
      return std::numeric_limits<double>::infinity();
    if (a[k].numel() == 0) continue;
    const double off = (a[k] - b[k]).abs().max().template item<double>(),
                 size = b[k].abs().max().template item<double>();
    out = (std::max)(out, off / (std::max)(size, 1e-6));
  }
  return out;
}

/// A constant of whole numbers that TensorRT would clamp to 32 bits; ends of slices may be (onnx/onnx-tensorrt#919).
inline std::string too_wide(const onnx::ModelProto& model) {
  for (const auto& each : model.graph().initializer())
    if (each.data_type() == onnx::TensorProto::INT64 && each.name().find("ends") == std::string::npos)
      if (const Tensor t = tensor_of(each); t.numel() > 0 && t.abs().max().item<std::int64_t>() > 0x7fffffff)
        return each.name();
  return "";
}

/// The file is well-formed, its shapes can be inferred, and it computes what forward() does, for the example and others
/// of which each may be of another size.
template <class Module, class Example, class... More>
void round_trip(const std::string& name, Module& module, const Example& example, const std::vector<Example>& others,
                const More&... more) {
  const folder here;
  const std::string file = here / "model.onnx";
  const at::NoGradGuard unrecorded;
  std::vector<Example> all{example};
  all.insert(all.end(), others.begin(), others.end());
  std::string wrong;
  try {
    tutti::torch::to_onnx(module, example, file, more...);
    module.eval();
    onnx::ModelProto model = model_of(file);
    wrong = too_wide(model);
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), {true, 1, false});
    for (std::size_t k = 0; k < all.size(); ++k)
      if (const double off = distance(evaluate(model, flat(all[k])), forward(module, all[k])); !(off <= 1e-5))
        wrong += " input " + std::to_string(k) + " is off by " + std::to_string(off * 1e6) + " millionths";
  } catch (const std::exception& e) {
    wrong = e.what();
  }
  BOOST_CHECK_MESSAGE(wrong.empty(), name << ": " << wrong);
  if (!wrong.empty()) return;
  std::vector<std::pair<std::vector<Tensor>, std::vector<Tensor>>> sets;
  for (const Example& each : all) sets.emplace_back(flat(each), forward(module, each));
  keep_case(name, file, sets);
}

} // namespace onnx_test
