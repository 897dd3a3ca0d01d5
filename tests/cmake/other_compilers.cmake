# The proofs with the other compilers that are installed: clang++ builds them all and runs them, up to
# 64 ranks; nvcc, as device-side front end, checks those that are static assertions alone (Boost.Test
# is not for .cu).

set(flags -std=c++20 -O2 -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/tests)

if(TUTTI_CLANG AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(program ${CMAKE_CURRENT_BINARY_DIR}/test_proof_clang)
  list(JOIN proofs " " sources)
  list(JOIN flags " " all_flags)
  tutti_test(NAME proof.clang++ LABELS proof TIMEOUT 600 COMMAND bash -c
    "'${TUTTI_CLANG}' ${all_flags} -DBOOST_TEST_DYN_LINK -DBOOST_TEST_NO_MAIN \
     -DTUTTI_TEST_LARGEST=64 ${CMAKE_CURRENT_SOURCE_DIR}/main.cpp ${sources} -pthread \
     '$<TARGET_FILE:Boost::unit_test_framework>' -o '${program}' && '${program}'")
endif()

if(TUTTI_NVCC)
  foreach(source IN LISTS proofs)
    cmake_path(GET source STEM stem)
    tutti_includes(includes ${source})
    if(NOT includes MATCHES "boost/test")
      tutti_test(NAME proof.nvcc.${stem} LABELS proof TIMEOUT 300
        COMMAND ${TUTTI_NVCC} -x cu ${flags} -c ${source} -o ${CMAKE_CURRENT_BINARY_DIR}/${stem}.nvcc.o)
    endif()
  endforeach()
endif()
