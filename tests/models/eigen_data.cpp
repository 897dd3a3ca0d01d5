// Eigen's vectors and matrices are handed over as they are; a part of one that has gaps is refused.
#include "communicators/conformance.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/collectives/collectives.hpp>

#include <Eigen/Core>

BOOST_AUTO_TEST_CASE(eigen_is_data_on_threads) {
  on_threads(3, [](auto& world, report& r) {
    const float mine = float(world.rank());
    Eigen::VectorXf v = Eigen::VectorXf::Constant(5, mine);
    tutti::all_reduce(world, v);
    r.check((v.array() == 3.0f).all(), "a vector");
    Eigen::MatrixXd m = Eigen::MatrixXd::Constant(5, 70, mine);
    tutti::all_reduce(world, m, tutti::mean{});
    r.check((m.array() == 1.0).all(), "a matrix");
    Eigen::Matrix3f fixed = Eigen::Matrix3f::Constant(mine);
    tutti::async_all_reduce(world, fixed).wait();
    r.check((fixed.array() == 3.0f).all(), "a matrix of a fixed size");
    tutti::all_reduce(world, m.col(1));
    r.check(m(4, 1) == 3 && m(4, 0) == 1 && m(0, 2) == 1, "a column");
    tutti::all_reduce(world, m.middleCols(2, 3));
    r.check(m(4, 4) == 3 && m(0, 5) == 1, "columns side by side");
    tutti::all_reduce(world, Eigen::Map<Eigen::VectorXf>{v.data(), 2});
    r.check(v[1] == 9 && v[2] == 3, "a map");
    const Eigen::VectorXf in = v;
    tutti::all_reduce(world, in, v);
    r.check(v[2] == 9, "a result beside it");
    const auto got = conformance::failure_of([&] { tutti::all_reduce(world, m.topRows(2)); });
    r.check(got.failed && got.what.code == tutti::error_code::invalid_argument &&
                got.what.detail.find("there are gaps between the columns or rows") != std::string::npos,
            [&] { return "rows of a matrix that is stored by columns - " + conformance::told(got); });
  });
}
