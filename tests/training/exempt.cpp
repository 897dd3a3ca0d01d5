// exempt, and what codecs do without it: tensors of one dimension travel as they are, and the others as they would alone, whatever the policy and however
// tensors are ordered; its memory is saved and goes on.
#include "scratch.hpp"
#include "training/small.hpp"

#include <tutti/codecs/exempt.hpp>
#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(exempt_tensors)

namespace {

using small_model::floats;
using small_model::on;

enum class which { all, matrices };

/// Two layers and a scalar, or a part of them, with a gradient that depends on the step, the rank and the place alone.
struct layers {
  explicit layers(which w) {
    const auto add = [&](const char* name, std::vector<std::int64_t> shape) {
      if (w == which::matrices && shape.size() < 2) return;
      std::size_t n = 1;
      for (const std::int64_t d : shape) n *= std::size_t(d);
      names.push_back(name), shapes.push_back(shape), values.emplace_back(n, .5f);
    };
    add("w1", {8, 9}), add("b1", {8}), add("gain", {}), add("w2", {5, 8}), add("b2", {5});
  }
  template <class V> std::vector<tutti::tensor<V>> tensors(std::vector<floats>& of) const {
    std::vector<tutti::tensor<V>> out;
    for (std::size_t k = 0; k < of.size(); ++k) out.push_back({names[k], of[k], shapes[k]});
    return out;
  }
  std::vector<floats> gradient(int rank, int step) const {
    auto out = values;
    for (std::size_t k = 0; k < out.size(); ++k)
      for (std::size_t i = 0; i < out[k].size(); ++i)
        out[k][i] = float((i * 37 + std::size_t(names[k][0] * 5 + names[k][1]) + std::size_t(step * 11 + rank * 3)) % 23) - 11;
    return out;
  }
  floats flat(bool matrices) const {
    floats out;
    for (std::size_t k = 0; k < values.size(); ++k)
      if ((shapes[k].size() >= 2) == matrices) out.insert(out.end(), values[k].begin(), values[k].end());
    return out;
  }

  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> shapes;
  std::vector<floats> values;
};

struct outcome {
  floats matrices, vectors;
  std::size_t bytes = 0;
};
struct course {
  int from = 0, to = 6;
  std::string save = {}, load = {};
  std::size_t bucket_bytes = 64;
  std::vector<tutti::role_rule> roles = {};
};

template <class Codec, class Sync>
std::vector<outcome> trained(which w, const Codec& codec, const Sync& sync, const course& how = {}) {
  return on(2, [&](auto& world) {
    tutti::counted comm{world};
    layers model{w};
    tutti::strategy strategy{comm, tutti::direct{}, codec, sync};
    auto parameters = model.tensors<float>(model.values);
    auto trainer = strategy.bind(parameters, tutti::sgd{.learning_rate = .125},
                                 tutti::training_options{.bucket_bytes = how.bucket_bytes, .roles = how.roles});
    if (!how.load.empty()) trainer.load(how.load);
    for (int step = how.from; step < how.to; ++step) {
      auto g = model.gradient(world.rank(), step);
      trainer.step(model.tensors<const float>(g));
    }
    if (!how.save.empty()) trainer.save(how.save);
    trainer.finalize();
    return outcome{model.flat(true), model.flat(false), std::size_t(comm.sent().bytes)};
  });
}
void must_agree(const std::vector<outcome>& all) {
  for (const outcome& one : all) BOOST_CHECK(one.matrices == all[0].matrices && one.vectors == all[0].vectors);
}

const tutti::error_feedback sparse{tutti::top_k{.1}};
const tutti::diloco every_third{.period = 3, .outer = {.learning_rate = .5, .momentum = .5}};

/// Vectors by plain loops: `outer` and `momentum` of steps in threes. All numbers are multiples of a power of two, so sums
/// and means are exact.
floats plain_vectors(bool in_threes) {
  const layers model{which::all};
  floats out;
  for (std::size_t k = 0; k < model.values.size(); ++k)
    for (std::size_t i = 0; i < model.values[k].size() && model.shapes[k].size() < 2; ++i) {
      float agreed = .5f, learnt = 0, velocity = 0;
      for (int step = 0; step < 6; ++step) {
        learnt += .125f * (model.gradient(0, step)[k][i] + model.gradient(1, step)[k][i]) / 2;
        if (in_threes && step % 3 != 2) continue;
        velocity = in_threes ? .5f * velocity + learnt : learnt;
        agreed -= (in_threes ? .5f : 1.f) * velocity;
        learnt = 0;
      }
      out.push_back(agreed);
    }
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(vectors_travel_as_they_are_and_matrices_as_they_would_alone) {
  for (const std::size_t bucket_bytes : {1u << 20, 1u}) { // a bucket of all matrices and one of all vectors; of each tensor
    const course how{.bucket_bytes = bucket_bytes};
    const auto all = trained(which::all, tutti::exempt{sparse}, tutti::synchronous{}, how);
    must_agree(all);
    BOOST_CHECK(all[0].matrices == trained(which::matrices, sparse, tutti::synchronous{}, how)[0].matrices);
    BOOST_CHECK(all[0].vectors == plain_vectors(false));
  }
  const auto apart = trained(which::all, tutti::exempt{sparse}, every_third); // a fragment that has both
  must_agree(apart);
  BOOST_CHECK(apart[0].vectors == plain_vectors(true));
  const auto owned = trained(which::all, tutti::exempt{sparse}, tutti::sharded{});
  must_agree(owned);
  BOOST_CHECK(owned[0].vectors == plain_vectors(false));
}

// What has one dimension by its shape, unless it has another role.
BOOST_AUTO_TEST_CASE(a_codec_alone_leaves_vectors_as_they_are) {
  const floats plain = plain_vectors(false);
  const auto biases = [](const floats& of) {
    floats out(of.begin(), of.begin() + 8);
    out.insert(out.end(), of.end() - 5, of.end());
    return out;
  };
  const auto by_default = trained(which::all, sparse, tutti::synchronous{});
  must_agree(by_default);
  BOOST_CHECK(biases(by_default[0].vectors) == biases(plain));
  const auto other_roles =
      trained(which::all, sparse, tutti::synchronous{}, {.roles = {{"b1", tutti::parameter_role::values}}});
  must_agree(other_roles);
  BOOST_CHECK(biases(other_roles[0].vectors) != biases(plain));
}

BOOST_AUTO_TEST_CASE(what_travels_is_what_the_codec_says_and_vectors_as_they_are) {
  const auto a_step = [](which w, const auto& codec) { // without what bind sends
    const auto sent = [&](int steps) {
      const auto both = trained(w, codec, tutti::synchronous{}, {.to = steps, .bucket_bytes = 1 << 20});
      return both[0].bytes + both[1].bytes;
    };
    return sent(2) - sent(1);
  };
  // 14 values of vectors in shards of seven: each to its owner and back. The roll call has the same length.
  BOOST_CHECK_EQUAL(a_step(which::all, tutti::exempt{sparse}), a_step(which::matrices, sparse) + 2 * (7 + 7) * 4);
}

BOOST_AUTO_TEST_CASE(what_is_remembered_of_matrices_goes_on_from_files) {
  const scratch folder;
  const auto check = [&](const auto& sync, const std::string& file) {
    const auto at_once = trained(which::all, tutti::exempt{sparse}, sync);
    trained(which::all, tutti::exempt{sparse}, sync, {.to = 4, .save = file});
    const auto later = trained(which::all, tutti::exempt{sparse}, sync, {.from = 4, .load = file});
    BOOST_CHECK(at_once[0].matrices == later[0].matrices && at_once[0].vectors == later[0].vectors);
  };
  check(every_third, folder / "third");
  check(tutti::synchronous{}, folder / "step");
  // What is saved belongs to tensors, not to places: without exempt they stand elsewhere in the range.
  const auto stopped = trained(which::all, tutti::exempt{sparse}, tutti::synchronous{}, {.to = 4});
  const auto read = trained(which::all, sparse, tutti::synchronous{}, {.from = 4, .to = 4, .load = folder / "step"});
  BOOST_CHECK(stopped[0].matrices == read[0].matrices && stopped[0].vectors == read[0].vectors);
}

BOOST_AUTO_TEST_CASE(a_model_that_is_exempt_as_a_whole_is_refused) {
  const auto texts = on(2, [](auto& world) {
    floats values(8);
    tutti::strategy strategy{world, tutti::direct{}, tutti::exempt{sparse}};
    return thrown_by([&] { strategy.bind(values, tutti::sgd{}); });
  });
  small_model::expect_texts("values without a shape", texts,
                            "every tensor is exempt from the codec - give tensors their shapes, or leave the codec out");
}

BOOST_AUTO_TEST_SUITE_END()
