// What of Eigen's stands in memory as a call needs it, and what does not.
#include <tutti/tutti.hpp>

#include <Eigen/Core>

void of_eigen(tutti::self& comm, Eigen::VectorXf& vector, Eigen::MatrixXf& matrix) {
  // REJECT row_of_columns: tutti: these elements do not stand one behind the other in memory, .* rows of a matrix
  // REJECT eigen_sum: tutti: these elements do not stand one behind the other in memory
  // REJECT eigen_temporary: tutti: this is a temporary
#if defined REJECT_row_of_columns
  tutti::all_reduce(comm, matrix.row(1));
#elif defined REJECT_eigen_sum
  tutti::all_reduce(comm, vector + vector);
#elif defined REJECT_eigen_temporary
  tutti::all_reduce(comm, Eigen::VectorXf(3));
#else
  tutti::all_reduce(comm, vector);
  tutti::all_reduce(comm, matrix, tutti::mean{});
  tutti::all_reduce(comm, matrix.col(1));
  tutti::all_reduce(comm, vector.head(2));
  tutti::all_reduce(comm, Eigen::Map<Eigen::VectorXf>{vector.data(), 2});
#endif
}
