// From an ONNX file to an engine of TensorRT, which is built once and then run: what to_onnx() wrote, without Python.
//   torch_mnist --onnx mnist.onnx && deploy_tensorrt mnist.onnx mnist.engine
//   deploy_tensorrt mnist.engine                    times the engine
// Dimensions that the file leaves open are 1 at least, --usual where it is fastest, and --most at most.
// refuses: /no/such/file.onnx out.engine => deploy_tensorrt: /no/such/file.onnx cannot be read
#if !__has_include(<NvInfer.h>)
#error "deploy_tensorrt: there is no <NvInfer.h> - install TensorRT (or TensorRT for RTX) with its headers"
#endif

#include <CLI/CLI.hpp>
#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace {

struct log_of_errors final : nvinfer1::ILogger {
  void log(Severity severity, const char* text) noexcept override {
    if (severity <= Severity::kWARNING) std::fprintf(stderr, "TensorRT: %s\n", text);
  }
};

std::string read(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) throw std::runtime_error(path + " cannot be read");
  return {std::istreambuf_iterator<char>{in}, {}};
}
template <class Made>
std::unique_ptr<Made> checked(Made* made, const char* what) {
  if (made == nullptr) throw std::runtime_error(std::string{"TensorRT makes no "} + what);
  return std::unique_ptr<Made>{made};
}
void checked(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw std::runtime_error(std::string{call} + ": " + cudaGetErrorString(status));
}

/// The engine of a model, as a file holds it.
void build(const std::string& model, const std::string& path, std::int64_t usual, std::int64_t most,
           nvinfer1::ILogger& log) {
  const std::string bytes = read(model);
  const auto builder = checked(nvinfer1::createInferBuilder(log), "builder");
  const auto network = checked(builder->createNetworkV2(0), "network");
  const auto parser = checked(nvonnxparser::createParser(*network, log), "parser");
  if (!parser->parse(bytes.data(), bytes.size()))
    throw std::runtime_error(model + ": " + (parser->getNbErrors() > 0 ? parser->getError(0)->desc() : "no model"));
  const auto config = checked(builder->createBuilderConfig(), "configuration");
  nvinfer1::IOptimizationProfile* const profile = builder->createOptimizationProfile();
  for (int k = 0; k < network->getNbInputs(); ++k) {
    const nvinfer1::ITensor& input = *network->getInput(k);
    const auto open_to = [&](std::int64_t size) {
      nvinfer1::Dims out = input.getDimensions();
      for (int d = 0; d < out.nbDims; ++d)
        if (out.d[d] < 0) out.d[d] = static_cast<std::remove_reference_t<decltype(out.d[d])>>(size);
      return out;
    };
    using which = nvinfer1::OptProfileSelector;
    if (!profile->setDimensions(input.getName(), which::kMIN, open_to(1)) ||
        !profile->setDimensions(input.getName(), which::kOPT, open_to(usual)) ||
        !profile->setDimensions(input.getName(), which::kMAX, open_to(most)))
      throw std::runtime_error(std::string{input.getName()} + ": TensorRT does not take these sizes");
  }
  config->addOptimizationProfile(profile);
  const auto engine = checked(builder->buildSerializedNetwork(*network, *config), "engine");
  std::ofstream out{path, std::ios::binary};
  out.write(static_cast<const char*>(engine->data()), static_cast<std::streamsize>(engine->size()));
  if (!out.flush()) throw std::runtime_error(path + " cannot be written");
  std::printf("%s: %zu bytes\n", path.c_str(), std::size_t(engine->size()));
}

/// Runs an engine on zeros.
void run(const std::string& path, std::int64_t usual, nvinfer1::ILogger& log) {
  const std::string bytes = read(path);
  const auto runtime = checked(nvinfer1::createInferRuntime(log), "runtime");
  const auto engine = checked(runtime->deserializeCudaEngine(bytes.data(), bytes.size()), "engine of this file");
  const auto context = checked(engine->createExecutionContext(), "context");
  const auto release = [](void* memory) { cudaFree(memory); };
  std::vector<std::unique_ptr<void, decltype(release)>> rooms;
  const auto give_room = [&](const char* name, const nvinfer1::Dims& sizes) {
    std::size_t room = 8; // of the largest element
    for (int d = 0; d < sizes.nbDims; ++d) room *= std::size_t(sizes.d[d]);
    void* memory = nullptr;
    checked(cudaMalloc(&memory, room), "cudaMalloc");
    rooms.emplace_back(memory, release);
    checked(cudaMemset(memory, 0, room), "cudaMemset");
    context->setTensorAddress(name, memory);
  };
  for (const auto mode : {nvinfer1::TensorIOMode::kINPUT, nvinfer1::TensorIOMode::kOUTPUT})
    for (int k = 0; k < engine->getNbIOTensors(); ++k) { // outputs know their shapes when the inputs have theirs
      const char* const name = engine->getIOTensorName(k);
      if (engine->getTensorIOMode(name) != mode) continue;
      nvinfer1::Dims sizes = context->getTensorShape(name);
      for (int d = 0; d < sizes.nbDims; ++d)
        if (sizes.d[d] < 0) sizes.d[d] = static_cast<std::remove_reference_t<decltype(sizes.d[d])>>(usual);
      if (mode == nvinfer1::TensorIOMode::kINPUT) context->setInputShape(name, sizes);
      give_room(name, sizes);
    }
  const auto pass = [&] {
    if (!context->enqueueV3(nullptr)) throw std::runtime_error(path + " does not run");
    checked(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  };
  for (int warm = 0; warm < 10; ++warm) pass();
  std::vector<double> times;
  for (int k = 0; k < 100; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    pass();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + 50, times.end());
  std::printf("%s: %.1f us a pass, median of 100\n", path.c_str(), times[50]);
}

} // namespace

int main(int argc, char** argv) try {
  std::string from, to;
  std::int64_t usual = 8, most = 64;
  CLI::App app{"From an ONNX file to an engine of TensorRT, and how fast that runs"};
  app.option_defaults()->always_capture_default();
  app.add_option("from", from, "an ONNX file, or an engine")->required();
  app.add_option("engine", to, "file that the engine of the ONNX file is written into; without, `from` is run");
  app.add_option("--usual", usual, "size for which open dimensions are fastest");
  app.add_option("--most", most, "size that open dimensions have at most");
  CLI11_PARSE(app, argc, argv);
  log_of_errors log;
  if (to.empty()) run(from, usual, log);
  else build(from, to, usual, most, log);
} catch (const std::exception& e) {
  std::fprintf(stderr, "deploy_tensorrt: %s\n", e.what());
  return 1;
}
