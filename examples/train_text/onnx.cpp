// --onnx: the trained transformer as a file.
#include "results.hpp"

#if TUTTI_WITH_ONNX
#include "models/onnx.hpp"
#endif

void train_text::write_onnx([[maybe_unused]] const std::string& file, [[maybe_unused]] model_type& model) {
#if TUTTI_WITH_ONNX
  models::onnx_of(model).write(file);
#endif
}
