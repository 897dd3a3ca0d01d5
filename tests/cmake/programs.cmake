# How tests, examples and benchmarks are built: one function, used by all three.
#
#   tutti_program(NAME name SOURCES file...)
#
# The program is linked with what its sources include, found by reading them (and the quoted headers
# they include): <Eigen/...> links Eigen, <tutti/mpi/...> links tutti::mpi. Where that is not
# installed the program is left out with a message, and no target of the name exists.

# Optional packages, all looked for quietly; what misses one says so below.
find_package(Eigen3 CONFIG QUIET)
find_package(CLI11 CONFIG QUIET)
find_package(nlohmann_json CONFIG QUIET)
find_package(ZLIB QUIET)

# The classes of ONNX's files, without LibTorch (tutti::onnx has both): for examples that write a file where they can.
if(TUTTI_ONNX_INCLUDE_DIR AND TUTTI_PROTOBUF_INCLUDE_DIR AND TUTTI_ONNX AND TUTTI_ONNX_PROTO AND TUTTI_PROTOBUF)
  add_library(tutti_onnx_classes INTERFACE)
  target_compile_definitions(tutti_onnx_classes INTERFACE ONNX_NAMESPACE=onnx ONNX_ML=1)
  target_include_directories(tutti_onnx_classes SYSTEM INTERFACE ${TUTTI_ONNX_INCLUDE_DIR} ${TUTTI_PROTOBUF_INCLUDE_DIR})
  target_link_libraries(tutti_onnx_classes INTERFACE ${TUTTI_ONNX} ${TUTTI_ONNX_PROTO} ${TUTTI_PROTOBUF})
endif()

# TensorRT, or TensorRT for RTX: whichever has headers.
find_path(TUTTI_TENSORRT_INCLUDE_DIR NvInfer.h)
find_library(TUTTI_TENSORRT NAMES nvinfer tensorrt_rtx)
find_library(TUTTI_TENSORRT_PARSER NAMES nvonnxparser tensorrt_onnxparser_rtx)
mark_as_advanced(TUTTI_TENSORRT_INCLUDE_DIR TUTTI_TENSORRT TUTTI_TENSORRT_PARSER)
if(TUTTI_TENSORRT_INCLUDE_DIR AND TUTTI_TENSORRT AND TUTTI_TENSORRT_PARSER AND TARGET CUDA::cudart)
  add_library(tutti_tensorrt INTERFACE)
  target_include_directories(tutti_tensorrt SYSTEM INTERFACE ${TUTTI_TENSORRT_INCLUDE_DIR})
  target_link_libraries(tutti_tensorrt INTERFACE ${TUTTI_TENSORRT} ${TUTTI_TENSORRT_PARSER} CUDA::cudart)
endif()

# include pattern, target (or library) to link, what to install
set(tutti_optional
  "<tutti/mpi/" tutti::mpi "Open MPI or MPICH"
  "<tutti/federated/secure/" tutti::secure "libsodium"
  "<tutti/cuda/" tutti::cuda "the CUDA Toolkit (preset cuda)"
  "<tutti/federated/privacy/" tutti::privacy "libsodium"
  "<tutti/adapters/eigen" Eigen3::Eigen "Eigen"
  "<tutti/adapters/torch" tutti::torch "LibTorch"
  "<tutti/adapters/torch_onnx" tutti::onnx "libonnx"
  "<Eigen/" Eigen3::Eigen "Eigen"
  "<CLI/" CLI11::CLI11 "CLI11"
  "<nlohmann/" nlohmann_json::nlohmann_json "nlohmann-json"
  "<zlib.h>" ZLIB::ZLIB "zlib"
  "<NvInfer.h>" tutti_tensorrt "TensorRT with its headers (preset cuda)"
  "<cublas_v2.h>" CUDA::cublas "cuBLAS"
  "<sodium" tutti::secure "libsodium"
  "<mpi.h>" tutti::mpi "Open MPI or MPICH")

# Where quoted headers are looked for beside the folder of who includes them: "models/mlp.hpp".
set(tutti_quoted_include_dirs
  ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/examples ${PROJECT_SOURCE_DIR}/examples/models)

# The #include lines of the files, and of the headers they include in quotes.
function(tutti_includes out)
  set(lines)
  set(seen)
  set(queue ${ARGN})
  while(queue)
    list(POP_FRONT queue file)
    list(APPEND seen ${file})
    cmake_path(GET file PARENT_PATH folder)
    file(STRINGS ${file} found REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
    list(APPEND lines ${found})
    foreach(line IN LISTS found)
      if(line MATCHES "\"([^\"]+)\"")
        foreach(base ${folder} ${tutti_quoted_include_dirs})
          cmake_path(SET header NORMALIZE ${base}/${CMAKE_MATCH_1})
          if(EXISTS ${header} AND NOT header IN_LIST seen AND NOT header IN_LIST queue)
            list(APPEND queue ${header})
          endif()
        endforeach()
      endif()
    endforeach()
  endwhile()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${seen})
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

function(tutti_program)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" NAME SOURCES)
  tutti_includes(includes ${arg_SOURCES})

  set(libraries)
  set(optional ${tutti_optional})
  while(optional)
    list(POP_FRONT optional pattern library package)
    string(FIND "${includes}" "${pattern}" position)
    if(position EQUAL -1)
      continue()
    elseif(TARGET ${library})
      list(APPEND libraries ${library})
    else()
      message(STATUS "tutti: ${arg_NAME} is left out: ${package} was not found")
      return()
    endif()
  endwhile()
  list(REMOVE_DUPLICATES libraries)

  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE tutti::tutti ${libraries})
  target_include_directories(${arg_NAME} PRIVATE ${tutti_quoted_include_dirs})
  tutti_own(${arg_NAME})
endfunction()

# What holds for every target of our own and for none of a consumer's.
function(tutti_own target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic>
    $<$<AND:$<BOOL:${TUTTI_WERROR}>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>>:-Werror>
    # Local memory in a kernel is a bug of its author.
    $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xptxas=--warn-on-local-memory-usage,-Werror>)
endfunction()

# Which MPI the launcher belongs to (openmpi, mpich or empty): labels and arguments depend on it.
set(tutti_mpi_kind "")
set(tutti_mpi_version "none")
if(TARGET tutti::mpi AND MPIEXEC_EXECUTABLE)
  execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE version ERROR_VARIABLE version)
  if(version MATCHES "Open MPI|OpenRTE")
    set(tutti_mpi_kind openmpi)
  else()
    set(tutti_mpi_kind mpich)
  endif()
  string(REGEX MATCH "[0-9]+\\.[0-9]+[.0-9a-z]*" version "${version}")
  set(tutti_mpi_version "${tutti_mpi_kind} ${version}")
endif()

# The environment under which tests start MPI jobs: Open MPI refuses root and more ranks than cores
# unless told otherwise; MPICH ignores all three.
set(tutti_mpi_environment
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1)

# What keeps the sanitizers quiet about libraries that are not ours.
set(tutti_sanitizer_environment
  "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/cmake/lsan.supp:print_suppressions=0"
  "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/cmake/tsan.supp:halt_on_error=1"
  "UBSAN_OPTIONS=print_stacktrace=1")

# The compilers beside the one in use that also have to accept the headers, proofs and rejections.
find_program(TUTTI_CLANG clang++)
find_program(TUTTI_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDACXX)
