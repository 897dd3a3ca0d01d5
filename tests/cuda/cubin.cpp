// What ptxas has made of the kernels: read out of the cubin, so that no GPU is needed.
#include "cuda/cubin.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

namespace cubins {

/// All that nvcc has left in the folder beside this test.
inline std::vector<cubin::kernel> all() {
  std::vector<cubin::kernel> found;
  for (const auto& file : std::filesystem::directory_iterator{TUTTI_TEST_CUBINS})
    if (file.path().extension() == ".cubin")
      for (auto& k : cubin::read(file.path().string())) found.push_back(std::move(k));
  return found;
}
/// Those whose names have all of the words in them.
inline std::vector<cubin::kernel> named(const std::vector<std::string>& words) {
  std::vector<cubin::kernel> found;
  for (auto& k : all()) {
    bool has_all = true;
    for (const auto& word : words) has_all = has_all && k.name.find(word) != std::string::npos;
    if (has_all) found.push_back(std::move(k));
  }
  return found;
}
inline cubin::kernel one(const std::vector<std::string>& words) {
  const auto found = named(words);
  BOOST_REQUIRE_MESSAGE(found.size() == 1, found.size() << " kernels for " << words.front() << " and " << words.back());
  return found.front();
}

BOOST_AUTO_TEST_SUITE(cuda_cubin)

BOOST_AUTO_TEST_CASE(no_kernel_touches_local_memory) {
  const auto kernels = all();
  BOOST_CHECK_GE(kernels.size(), 70u);
  for (const auto& k : kernels) BOOST_CHECK_MESSAGE(k.local == 0, k.name);
}

BOOST_AUTO_TEST_CASE(what_the_host_starts_is_what_was_compiled) {
  std::set<std::string> registered, compiled;
  for (const auto& file : std::filesystem::directory_iterator{TUTTI_TEST_CUBINS}) {
    const std::string name = file.path().string();
    if (name.find(".stub.c") == std::string::npos) continue;
    std::ifstream in{name};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    // __cudaRegisterEntry(module, function, mangled name, threads of a block);
    for (std::size_t at = text.find("__cudaRegisterEntry("); at != std::string::npos;) {
      const std::size_t end = text.rfind(", ", text.find(';', at)), begin = text.rfind(", ", end - 1) + 2;
      registered.insert(cubin::written(text.substr(begin, end - begin)));
      at = text.find("__cudaRegisterEntry(", end);
    }
  }
  for (const auto& k : all()) compiled.insert(k.name);
  BOOST_CHECK_GE(registered.size(), 70u);
  BOOST_CHECK(registered == compiled);
}

BOOST_AUTO_TEST_CASE(a_reduction_of_eight_loads_eight_packets_and_stores_one) {
  const auto k = one({"reduce_kernel<", "tutti::sum, float, 8ul>"});
  BOOST_CHECK_EQUAL(k.wide_loads, 8u);
  BOOST_CHECK_EQUAL(k.wide_stores, 1u);
  const auto half = one({"reduce_kernel<", "tutti::mean, tutti::bfloat16, 16ul>"});
  BOOST_CHECK_EQUAL(half.wide_loads, 16u);
  BOOST_CHECK_EQUAL(half.wide_stores, 1u);
}

BOOST_AUTO_TEST_CASE(what_streams_moves_sixteen_bytes_at_a_time) {
  const auto wide = [](const cubin::kernel& k, std::size_t loads, std::size_t stores) {
    BOOST_CHECK_MESSAGE(k.wide_loads >= loads && k.wide_stores >= stores,
                        k.name << ": " << k.wide_loads << " and " << k.wide_stores);
  };
  wide(one({"squares_kernel"}), 4, 0);
  wide(one({"scale_kernel"}), 2, 1);
  wide(one({"collect_kernel"}), 3, 2);
  wide(one({"cast_kernel"}), 4, 3);
  for (const char* code : {"int8_code", "fp8_code", "sign_code"}) wide(one({"encode_kernel", code}), 4, 4);
  wide(one({"decode_kernel"}), 0, 2);
  for (const auto& k : named({"update_kernel", "adam_moves"})) wide(k, 4, 3);
  for (const auto& k : named({"reduce_weighted_kernel"})) wide(k, 2, 1);
  wide(one({"vote_kernel"}), 4, 1);
  wide(one({"count_kernel"}), 1, 0);
  for (const char* name : {"tally_kernel", "gather_kernel", "keep_kernel"}) wide(one({name}), 2, 0);
}

BOOST_AUTO_TEST_CASE(columns_stay_in_registers) {
  for (const char* size : {"32ul", "64ul"})
    for (const char* pick : {"middle", "mean_within"}) {
      const auto k = one({"column_kernel", pick, size});
      BOOST_CHECK_EQUAL(k.local, 0u);
      BOOST_CHECK_EQUAL(k.stores, 1u);
    }
}

BOOST_AUTO_TEST_CASE(
    registers_leave_room_for_as_many_blocks_as_were_asked_for) { // 65,536 of a multiprocessor, 256 threads
  const auto at_most = [](const std::vector<std::string>& words, std::size_t most) {
    for (const auto& k : named(words))
      BOOST_CHECK_MESSAGE(k.registers > 0 && k.registers <= most, k.name << ": " << k.registers);
  };
  at_most({""}, 128);
  at_most({"reduce_kernel<", "float, 8ul>"}, 64);
  for (const char* name : {"squares_kernel", "scale_kernel", "cast_kernel", "encode_kernel", "decode_kernel",
                           "count_kernel", "tally_kernel", "gather_kernel", "keep_kernel", "vote_kernel",
                           "distance_kernel"})
    at_most({name}, 64);
}

BOOST_AUTO_TEST_CASE(nothing_is_fused) { // but in divisions, which are made of multiply-adds
  for (const auto& k : named({"reduce_kernel<", "tutti::sum,"})) BOOST_CHECK_MESSAGE(k.fused == 0, k.name);
  for (const auto& k : named({"update_kernel", "tutti::sum,", "sgd_moves"})) BOOST_CHECK_MESSAGE(k.fused == 0, k.name);
  BOOST_CHECK_EQUAL(named({"update_kernel", "tutti::sum,", "sgd_moves"}).size(), 4u);
  for (const char* name : {"cast_kernel", "scale_kernel", "squares_kernel", "distance_kernel", "add_distances_kernel"})
    BOOST_CHECK_EQUAL(one({name}).fused, 0u);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace cubins
