// Roles of tensors, and an optimizer of whole matrices: against the same worked out plainly, in double.
#include "training/small.hpp"

#include <tutti/optimizers/muon.hpp>
#include <tutti/training/roles.hpp>

#include <atomic>

BOOST_AUTO_TEST_SUITE(whole_matrices)

namespace {

using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::on;
using tutti::parameter_role;
using tutti::training_options;
using doubles = std::vector<double>;

/// Five times a X + b (X X^T) X + c (X X^T)^2 X, of X by its length: each element as the sums say. X X^T X does not
/// depend on which way round a matrix lies.
doubles orthonormalized(doubles x, std::size_t rows, std::size_t columns, int iterations) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  for (double& v : x) v /= std::sqrt(squares);
  const auto by_square = [&](const doubles& y) { // (X X^T) Y
    doubles out(y.size());
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < rows; ++j) {
        double s = 0;
        for (std::size_t c = 0; c < columns; ++c) s += x[i * columns + c] * x[j * columns + c];
        for (std::size_t c = 0; c < columns; ++c) out[i * columns + c] += s * y[j * columns + c];
      }
    return out;
  };
  for (int k = 0; k < iterations; ++k) {
    const doubles once = by_square(x), twice = by_square(once);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] - 4.775 * once[i] + 2.0315 * twice[i];
  }
  return x;
}
floats drawn(std::size_t n, std::uint64_t seed) {
  tutti::random_stream draw{seed};
  floats out;
  for (std::size_t k = 0; k < n; ++k) out.push_back(float(draw.below(2001)) / 1000 - 1);
  return out;
}

/// Tensors of a small transformer, by name and shape, of drawn values.
struct model {
  struct shaped {
    std::string name;
    std::vector<std::int64_t> shape;
  };
  std::vector<shaped> is{{"embedding.weight", {5, 4}}, {"norm.weight", {4}},   {"up.weight", {6, 4}},
                         {"up.bias", {6}},             {"down.weight", {4, 6}}, {"conv.weight", {3, 2, 2}},
                         {"square.weight", {4, 4}},    {"head.weight", {5, 4}}};
  std::vector<floats> values;
  model() {
    for (std::size_t k = 0; k < is.size(); ++k) {
      std::size_t n = 1;
      for (const std::int64_t d : is[k].shape) n *= std::size_t(d);
      values.push_back(drawn(n, k));
    }
  }
  std::vector<tutti::tensor<float>> tensors() {
    std::vector<tutti::tensor<float>> out;
    for (std::size_t k = 0; k < is.size(); ++k) out.push_back({is[k].name, values[k], is[k].shape});
    return out;
  }
  std::vector<floats> gradients(std::uint64_t seed) const {
    std::vector<floats> out;
    for (std::size_t k = 0; k < is.size(); ++k) out.push_back(drawn(values[k].size(), 100 * seed + k));
    return out;
  }
  floats flat() const {
    floats out;
    for (const floats& v : values) out.insert(out.end(), v.begin(), v.end());
    return out;
  }
};
constexpr int matrices = 4; // up, down, conv, square
constexpr int steps = 3;

/// How often any rank has orthonormalised what.
struct calls {
  std::atomic<int> all{0};
  std::atomic<int> of_rank[3] = {};
};
struct counting : tutti::muon<> {
  calls* to = nullptr;
  int rank = 0;
  template <std::floating_point T>
  void orthonormalize(std::span<T> v, tutti::matrix_shape is) const {
    ++to->all;
    ++to->of_rank[rank];
    tutti::muon<>::orthonormalize(v, is);
  }
};

const tutti::muon<> rule{.learning_rate = .1, .momentum = .5, .weight_decay = .2,
                         .inner = {.learning_rate = .01, .weight_decay = .5}};

/// All ranks have the same gradients.
template <class Optimizer, class... Parts>
std::vector<floats> trained(int ranks, const Optimizer& optimizer, const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    model m;
    auto own = optimizer;
    if constexpr (requires { own.rank = 0; }) own.rank = world.rank();
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(m.tensors(), own, training_options{.bucket_bytes = 100});
    for (int step = 1; step <= steps; ++step) trainer.step(small_model::gradients(m.gradients(std::uint64_t(step))));
    trainer.finalize();
    return m.flat();
  });
}
/// The same by hand.
floats wanted() {
  model m;
  std::vector<doubles> momentum(m.is.size());
  floats out;
  for (std::size_t k = 0; k < m.is.size(); ++k) {
    doubles p(m.values[k].begin(), m.values[k].end()), v(p.size()), first(p.size()), second(p.size());
    const auto& is = m.is[k];
    const bool whole = is.name.find("weight") != std::string::npos && is.shape.size() >= 2 && k != 0 && k != 7;
    for (int step = 1; step <= steps; ++step) {
      const floats g = m.gradients(std::uint64_t(step))[k];
      if (whole) {
        const std::size_t rows = std::size_t(is.shape[0]), columns = p.size() / rows;
        doubles u(p.size());
        for (std::size_t i = 0; i < p.size(); ++i) {
          v[i] = .5 * v[i] + double(g[i]);
          u[i] = double(g[i]) + .5 * v[i];
        }
        const doubles o = orthonormalized(u, rows, columns, 5);
        const double scale = std::sqrt(std::max(1.0, double(rows) / double(columns)));
        for (std::size_t i = 0; i < p.size(); ++i) p[i] = (1 - .1 * .2) * p[i] - .1 * scale * o[i];
      } else {
        const double decay = is.shape.size() == 1 ? 0 : .5;
        for (std::size_t i = 0; i < p.size(); ++i) {
          first[i] = .9 * first[i] + .1 * double(g[i]);
          second[i] = .999 * second[i] + .001 * double(g[i]) * double(g[i]);
          const double m1 = first[i] / (1 - std::pow(.9, step)), m2 = second[i] / (1 - std::pow(.999, step));
          p[i] = (1 - .01 * decay) * p[i] - .01 * m1 / (std::sqrt(m2) + 1e-8);
        }
      }
    }
    out.insert(out.end(), p.begin(), p.end());
  }
  return out;
}
void expect_close(const std::string& what, const std::vector<floats>& got, const floats& right) {
  for (std::size_t r = 0; r < got.size(); ++r)
    for (std::size_t k = 0; k < right.size(); ++k)
      BOOST_CHECK_MESSAGE(std::abs(got[r][k] - right[k]) < 1e-4f,
                          what << ", rank " << r << ", value " << k << ": " << got[r][k] << " - wanted " << right[k]);
}

template <class... Parts>
std::string refused(const training_options& how, const Parts&... parts) {
  const auto texts = trial::errors_on_ranks(2, [&](auto& world) {
    model m;
    tutti::strategy strategy{world, parts...};
    strategy.bind(m.tensors(), rule, how);
  });
  return texts[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(products_of_matrices_of_any_size) {
  for (const std::size_t m : {1u, 3u, 4u, 9u})
    for (const std::size_t depth : {1u, 5u})
      for (const std::size_t n : {1u, 15u, 16u, 33u}) {
        const floats a = drawn(m * depth, 1), b = drawn(depth * n, 2);
        floats c(m * n), turned(b.size());
        tutti::detail::multiply(a.data(), b.data(), c.data(), m, depth, n);
        tutti::detail::transpose(b.data(), {depth, n}, turned.data());
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < n; ++j) {
            double s = 0;
            for (std::size_t p = 0; p < depth; ++p) s += double(a[i * depth + p]) * double(turned[j * depth + p]);
            BOOST_CHECK_SMALL(double(c[i * n + j]) - s, 1e-5);
          }
      }
}

// On a diagonal each value goes its own way; the others stay 0. And no length, or none that is a number.
BOOST_AUTO_TEST_CASE(singular_values_come_near_one) {
  floats tall{3, 0, 0, .1f, 0, 0};
  tutti::detail::newton_schulz(std::span{tall}, {3, 2}, 5);
  for (std::size_t k = 0; k < 2; ++k) {
    double x = (k == 0 ? 3 : .1) / std::sqrt(9.01);
    for (int i = 0; i < 5; ++i) x = 3.4445 * x - 4.775 * std::pow(x, 3) + 2.0315 * std::pow(x, 5);
    BOOST_CHECK_CLOSE(double(tall[3 * k]), x, .01);
    BOOST_CHECK(x > .68 && x < 1.14);
  }
  BOOST_CHECK(tall[1] == 0 && tall[2] == 0 && tall[4] == 0 && tall[5] == 0);
  floats nothing(6), wrong{1, NAN, 0, 0};
  tutti::detail::newton_schulz(std::span{nothing}, {2, 3}, 5);
  tutti::detail::newton_schulz(std::span{wrong}, {2, 2}, 5);
  BOOST_CHECK(nothing == floats(6));
  BOOST_CHECK(std::isnan(wrong[1]));
}

BOOST_AUTO_TEST_CASE(steps_are_those_that_are_worked_out_by_hand) {
  const auto one = trained(1, rule);
  expect_close("one rank", one, wanted());
  expect_all("two ranks have the same bits", trained(2, rule), one[0]);
  expect_close("three ranks", trained(3, rule), wanted());
  expect_close("local steps", trained(2, rule, tutti::local_sgd{2}), wanted());
}

// Each matrix once a step, whoever does it, and not all on one rank; where ranks step by themselves, on each.
BOOST_AUTO_TEST_CASE(each_matrix_is_orthonormalised_once_a_step) {
  for (const int ranks : {1, 2, 3}) {
    calls count;
    counting by{rule};
    by.to = &count;
    expect_close("counted", trained(ranks, by), wanted());
    BOOST_CHECK_EQUAL(count.all, matrices * steps);
    for (int r = 0; r < ranks; ++r) BOOST_CHECK_GE(count.of_rank[r], steps);
  }
  calls count;
  counting by{rule};
  by.to = &count;
  trained(2, by, tutti::local_sgd{2});
  BOOST_CHECK_EQUAL(count.all, 2 * matrices * steps);
}
BOOST_AUTO_TEST_CASE(the_most_expensive_goes_to_who_has_least_to_do) {
  std::vector<tutti::detail::owned_matrix> all(6);
  const std::size_t sides[] = {10, 20, 0, 10, 12, 4};
  for (std::size_t k = 0; k < 6; ++k) all[k].shape = {sides[k], sides[k]};
  tutti::detail::share_out(all, 2); // cubes: 8000 to rank 0; 1728, 1000, 1000 and 64 to rank 1
  BOOST_CHECK_EQUAL(all[1].owner, 0);
  for (const std::size_t k : {0u, 3u, 4u, 5u}) BOOST_CHECK_EQUAL(all[k].owner, 1);
}

BOOST_AUTO_TEST_CASE(state_is_that_of_momentum) {
  const auto equal = on(2, [](auto& world) {
    model m, other;
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.tensors(), rule);
    const auto step = [](auto& of, const model& at, std::uint64_t k) {
      of.step(small_model::gradients(at.gradients(k)));
    };
    step(trainer, m, 1);
    auto saved = small_model::state_of(trainer);
    step(trainer, m, 2);
    auto again = strategy.bind(other.tensors(), rule);
    saved.begin_reading();
    again.state(saved);
    step(again, other, 2);
    return m.flat() == other.flat();
  });
  BOOST_CHECK(equal[0] && equal[1]);
}

BOOST_AUTO_TEST_CASE(roles_are_by_shape_and_name_unless_they_are_given) {
  using tutti::role_of;
  const std::int64_t flat[] = {4}, deep[] = {4, 4}, deeper[] = {4, 4, 3, 3};
  BOOST_CHECK(role_of("a.weight", {}) == parameter_role::values);
  BOOST_CHECK(role_of("a.weight", flat) == parameter_role::vector);
  BOOST_CHECK(role_of("a.weight", deep) == parameter_role::matrix);
  BOOST_CHECK(role_of("a.weight", deeper) == parameter_role::matrix);
  BOOST_CHECK(role_of("token_embedding.weight", deep) == parameter_role::embedding);
  BOOST_CHECK(role_of("wte.weight", deep) == parameter_role::embedding);
  BOOST_CHECK(role_of("embed.bias", flat) == parameter_role::vector);
  for (const char* name : {"head", "head.weight", "a.head.weight", "a.head", "lm_head.weight"})
    BOOST_CHECK(role_of(name, deep) == parameter_role::head);
  BOOST_CHECK(role_of("a.headers", deep) == parameter_role::matrix);
  const tutti::role_rule rules[] = {{"a.*", parameter_role::head, 4}, {"a.*", parameter_role::embedding}};
  BOOST_CHECK(role_of("a.weight", deeper, rules) == parameter_role::head);
  BOOST_CHECK(role_of("a.weight", deep, rules) == parameter_role::embedding);
  BOOST_CHECK(role_of("b.weight", deep, rules) == parameter_role::matrix);
}
// Weights shrink by 1 - .1 x .5; a norm and a bias do not, unless a group or a role says so.
BOOST_AUTO_TEST_CASE(vectors_do_not_decay_by_default) {
  const auto shrunk = [](const training_options& how) {
    return on(2, [&](auto& world) {
      model m;
      for (floats& v : m.values) std::fill(v.begin(), v.end(), 1.f);
      std::vector<floats> nothing;
      for (const floats& v : m.values) nothing.push_back(floats(v.size()));
      tutti::strategy strategy{world};
      auto trainer = strategy.bind(m.tensors(), tutti::sgd{.learning_rate = .1, .weight_decay = .5}, how);
      trainer.step(small_model::gradients(nothing));
      return floats{m.values[1][0], m.values[2][0], m.values[3][0]};
    })[1];
  };
  expect_all("default", {shrunk({})}, {1, .95f, 1}, 1e-6);
  expect_all("a group", {shrunk({.groups = {{.names = "*"}}})}, {.95f, .95f, .95f}, 1e-6);
  expect_all("a role", {shrunk({.roles = {{"norm*", parameter_role::values}, {"up.weight", parameter_role::vector}}})},
             {.95f, 1, 1}, 1e-6);
}

BOOST_AUTO_TEST_CASE(what_is_no_matrix_is_refused_by_name) {
  const auto expect = [](const std::string& text, const std::string& wanted) {
    BOOST_CHECK_MESSAGE(text.find(wanted) != std::string::npos, text << " - wanted " << wanted);
  };
  expect(refused({.roles = {{"up.bias", parameter_role::matrix}}}),
         "\"up.bias\" (6) has the role of a matrix, and no rows and columns - give it a shape of two dimensions or more");
  expect(refused({.roles = {{"upp*", parameter_role::matrix}}}), "the role of \"upp*\" is that of no tensor");
  expect(refused({.roles = {{"*", parameter_role::vector}}}),
         "the optimizer takes whole matrices, and no tensor is one: \"embedding.weight\" (5 x 4) has the role vector");
  const auto texts = trial::errors_on_ranks(2, [](auto& world) {
    floats w(4);
    tutti::strategy strategy{world};
    strategy.bind(w, tutti::muon{});
  });
  expect_texts("plain values", texts, "no tensor is one: \"values\" (4) has the role values - give tensors their shapes");
  BOOST_CHECK_EQUAL(tutti::muon<>{.iterations = 0}.wrong(), "iterations of tutti::muon cannot be - give a finite number above 0");
}

BOOST_AUTO_TEST_SUITE_END()
