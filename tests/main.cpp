// The main program of every test runner but the one under MPI (tests/mpi/main.cpp).
// Boost.Test is the shared library, so its main is ours to write: signals stay with the operating
// system and the sanitizers, which say more about a crash than a caught SIGSEGV does.
#include <boost/test/unit_test.hpp>

#include <vector>

int main(int argc, char** argv) {
  char leave_signals_alone[] = "--catch_system_errors=no";
  char plain_text[] = "--color_output=no";
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, {leave_signals_alone, plain_text});

  return boost::unit_test::unit_test_main([] { return true; }, static_cast<int>(arguments.size()),
                                          arguments.data());
}
