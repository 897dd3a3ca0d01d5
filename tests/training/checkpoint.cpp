// Checkpoints: what goes in comes out, at every number of ranks, or one error says on all of them
// why not.
#include "training/arguments.hpp"
#include "training/checkpoint_run.hpp"

#include <boost/test/unit_test.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace checkpoints;
namespace fs = std::filesystem;
namespace sc = tutti::safetensors;

/// The same error on all ranks: its code, and what its text has.
void check_said(const std::vector<std::string>& said, std::string_view code,
                const std::vector<std::string>& parts) {
  for (const std::string& one : said) {
    bool all = one.starts_with(code);
    for (const std::string& part : parts) all = all && has(one, part);
    BOOST_CHECK_MESSAGE(all, "expected " << code << " with " << parts[0] << ", got " << one);
  }
}

/// A run that has something to lose: what it cannot load leaves it as it was.
std::vector<std::string> said_by_loading(int ranks, const std::string& folder,
                                         const std::vector<shape_of>& tensors = usual,
                                         const std::function<void(small_run&)>& change = {}) {
  return said_by(ranks, [&](tutti::control& all) {
    small_run run{all.rank(), all.size(), tensors}, before{all.rank(), all.size(), tensors};
    for (small_run* one : {&run, &before}) {
      if (change) change(*one);
      one->train(99);
    }
    std::string why = thrown_by([&] { load(all, run, folder); });
    if (why == "nothing") return;
    if (!run.equals(before))
      throw std::logic_error{"what was not loaded has changed the run: " + why};
    const std::size_t colon = why.find(": ");
    for (int code = 0; code < 10; ++code)
      if (tutti::name(tutti::error_code(code)) == why.substr(0, colon))
        throw tutti::error{{.code = tutti::error_code(code), .detail = why.substr(colon + 2)}};
  });
}

/// Nothing is thrown on any rank.
template <class Program> void check_on_ranks(int ranks, Program&& program) {
  std::string why = "nothing";
  try {
    on_ranks(ranks, program);
  } catch (const std::exception& e) {
    why = e.what();
  }
  BOOST_CHECK_MESSAGE(why == "nothing", "on " << ranks << " ranks: " << why);
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint)

// deepspeedai/DeepSpeed#5105, #1422: no padding of shards in the file.
BOOST_AUTO_TEST_CASE(shards_have_no_padding) {
  const scratch folder;
  for (const int saved : {1, 3, 4}) {
    save_on(saved, folder / "x", saved);
    for (const int loaded : {2, 5, 1, 3}) BOOST_CHECK_EQUAL(steps_in(loaded, folder / "x"), saved);
  }
  const sc::reader state{folder / "x/state.safetensors"};
  BOOST_CHECK_EQUAL(state.size(), 3u + 2u * usual.size());
  std::vector<float> slot(40);
  state.read("m/c", 0, slot);
  for (std::size_t i = 0; i < slot.size(); ++i)
    BOOST_CHECK_EQUAL(slot[i], float('c' * 1000) + 4.125f + float(i * 10));
}

BOOST_AUTO_TEST_CASE(fifty_seven_elements_whose_slot_is_their_number) {
  const scratch folder;
  const std::vector<shape_of> one{{"w", {57}}};
  const auto numbered = [&](tutti::control& all, small_run& run) {
    const tutti::shard mine = tutti::shard_of(57, all.rank(), all.size());
    std::vector<float> wanted(mine.end - mine.begin);
    std::iota(wanted.begin(), wanted.end(), float(mine.begin));
    return wanted == run.slot;
  };
  check_on_ranks(3, [&](tutti::control& all) {
    small_run run{all.rank(), 3, one};
    std::iota(run.slot.begin(), run.slot.end(), float(19 * all.rank()));
    save(all, run, folder / "x");
  });
  for (const int ranks : {2, 5, 1, 3})
    check_on_ranks(ranks, [&](tutti::control& all) {
      small_run run{all.rank(), all.size(), one};
      load(all, run, folder / "x");
      if (!numbered(all, run)) throw std::logic_error{"another slot"};
    });
}

BOOST_AUTO_TEST_CASE(parameters_are_in_a_file_of_their_own_by_their_names) {
  const scratch folder;
  save_on(2, folder / "x", 1);
  const sc::reader model{folder / "x/model.safetensors"};
  BOOST_CHECK_EQUAL(model.size(), usual.size());
  BOOST_CHECK_EQUAL(model.metadata().at("format"), "pt"); // without which some tools refuse a file
  model.expect("a", sc::dtype::float32, {3, 4});
  model.expect("none", sc::dtype::float32, {0});
  std::vector<float> b(5);
  model.read("b", 0, b);
  BOOST_CHECK(b == (std::vector{98001.f, 98011.f, 98021.f, 98031.f, 98041.f}));
}

// For other tools to read, with -- --write FOLDER: checkpoint.py knows what is in it.
BOOST_AUTO_TEST_CASE(a_checkpoint_for_other_tools) {
  const scratch folder;
  const std::string path = argument("--write", folder / "x");
  save_on(3, path, 6, true);
  BOOST_CHECK_EQUAL(steps_in(3, path), 6);
}

// pytorch/pytorch#1489, facebookresearch/fairscale#380: by name, not by position.
BOOST_AUTO_TEST_CASE(tensors_in_another_order_keep_their_own) {
  const scratch folder;
  check_on_ranks(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2, {{"a", {4}}, {"b", {4}}}};
    run.train(3);
    save(all, run, folder / "x");
  });
  for (const int ranks : {1, 2, 3})
    check_on_ranks(ranks, [&](tutti::control& all) {
      small_run run{all.rank(), all.size(), {{"b", {4}}, {"a", {4}}}};
      load(all, run, folder / "x");
      if (!run.is_as_after(3)) throw std::logic_error{"another's"};
    });
}

// meta-pytorch/torchft#238, #277: replicas, and what each of them has, in the middle of a period.
BOOST_AUTO_TEST_CASE(the_middle_of_a_period_is_resumed_on_as_many_ranks) {
  const scratch folder;
  save_on(3, folder / "x", 6, true);
  BOOST_CHECK_EQUAL(steps_in(3, folder / "x"), 6);
  for (const int ranks : {1, 2, 4})
    check_said(
        said_by_loading(ranks, folder / "x"), "mismatch",
        {"x/state.safetensors: was saved by 3 ranks, of which each has \"skipped\" of its own, "
         "as in the middle of a period, and here are " +
         std::to_string(ranks) + " - resume it on 3, or save where all ranks agree"});

  // The model that others read is rank 0's.
  std::vector<float> b(5);
  sc::reader{folder / "x/model.safetensors"}.read("b", 0, b);
  BOOST_CHECK_EQUAL(b[4], 98046);
  sc::reader{folder / "x/state.safetensors"}.expect("own/a", sc::dtype::float32, {3, 3, 4});
}

BOOST_AUTO_TEST_CASE(numbers_keep_every_bit) {
  const scratch folder;
  constexpr double odd[] = {-0., std::numeric_limits<double>::denorm_min(), 1. / 3,
                            std::numeric_limits<double>::infinity()};
  const double nan = std::bit_cast<double>(0x7ff8000000000123u);
  check_on_ranks(2, [&](tutti::control& all) {
    for (const bool loads : {false, true}) {
      small_run run{all.rank(), 2};
      std::int64_t least = loads ? 0 : INT64_MIN, most = loads ? 0 : INT64_MAX;
      double real[5] = {};
      for (int k = 0; k < 5 && !loads; ++k) real[k] = k < 4 ? odd[k] : nan;
      run.more = [&](tutti::archive& to) {
        to.number("least", least), to.number("most", most);
        for (int k = 0; k < 5; ++k) to.number("real." + std::to_string(k), real[k]);
      };
      if (!loads) {
        save(all, run, folder / "x");
        continue;
      }
      load(all, run, folder / "x");
      bool same = least == INT64_MIN && most == INT64_MAX;
      for (int k = 0; k < 5; ++k)
        same = same && std::bit_cast<std::uint64_t>(real[k]) ==
                           std::bit_cast<std::uint64_t>(k < 4 ? odd[k] : nan);
      if (!same) throw std::logic_error{"another number"};
    }
  });
}

// horovod/horovod#548: an optimizer without slots. pytorch/pytorch#43706,
// facebookresearch/fairscale#50: another type is an error, and nothing is converted.
BOOST_AUTO_TEST_CASE(a_run_without_slots_and_slots_of_another_type) {
  const scratch folder;
  for (const bool loads : {false, true})
    check_on_ranks(3, [&](tutti::control& all) {
      small_run run{all.rank(), 3};
      run.slots = false;
      if (!loads) run.train(2);
      loads ? void(load(all, run, folder / "x")) : save(all, run, folder / "x");
      if (!run.is_as_after(2)) throw std::logic_error{"another run"};
    });
  check_said(said_by_loading(2, folder / "x"), "bad_data",
             {"x/state.safetensors: has no tensor 'agreed/",
              " - load it with the model, optimizer and policy that it was saved with"});

  save_on(2, folder / "y", 1);
  check_said(
      said_by_loading(2, folder / "y", usual, [](small_run& run) { run.slots = false; }),
      "bad_data",
      {"y/state.safetensors: has tensor 'agreed/a', which this run has not - load it with the "
       "model, optimizer and policy that it was saved with"});
  const auto with_another_type = [](auto type) {
    return [type](small_run& run) {
      run.more = [type](tutti::archive& to) {
        std::vector<decltype(type)> v(57);
        to.values("v", v, {0, 57}, held_by::everyone);
      };
    };
  };
  check_on_ranks(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2};
    with_another_type(1.f)(run);
    save(all, run, folder / "z");
  });
  check_said(said_by_loading(2, folder / "z", usual, with_another_type(1.)), "bad_data",
             {"z/state.safetensors: tensor 'v/", " is F32 [", ", and F64 ["});
}

// pytorch/pytorch#8282: shapes are equal or there is an error, and it has both.
BOOST_AUTO_TEST_CASE(the_checkpoint_of_another_model_is_refused_by_all_ranks) {
  const scratch folder;
  const auto save_shapes = [&](const std::vector<shape_of>& tensors) {
    on_ranks(2, [&](tutti::control& all) {
      small_run run{all.rank(), 2, tensors};
      run.train(1);
      save(all, run, folder / "x");
    });
  };
  const std::vector<shape_of> wanted{{"a", {3, 4}}, {"b", {2}}};
  for (const auto& [shape, text] : std::vector<std::pair<std::vector<std::int64_t>, std::string>>{
           {{1, 4}, "[1,4]"}, {{12}, "[12]"}, {{4, 3}, "[4,3]"}, {{3, 4, 1}, "[3,4,1]"}}) {
    save_shapes({{"a", shape}, {"b", {2}}});
    check_said(said_by_loading(3, folder / "x", wanted), "bad_data",
               {"model.safetensors: tensor 'a' is F32 " + text + ", and F32 [3,4] was expected",
                "load: bad_data on rank"});
  }
  save_shapes({{"a", {3, 4}}});
  check_said(said_by_loading(3, folder / "x", wanted), "bad_data",
             {"x/model.safetensors: has no tensor 'b'"});
  save_shapes({{"a", {3, 4}}, {"b", {2}}, {"c", {2}}});
  check_said(said_by_loading(3, folder / "x", wanted), "bad_data",
             {"x/model.safetensors: has tensor 'c', which this run has not"});
}

// sgl-project/sglang#32279, osaurus-ai/vmlx-swift#217: what is cut or missing is no zeros.
BOOST_AUTO_TEST_CASE(files_that_are_cut_longer_gone_or_not_ours_are_named) {
  const scratch folder;
  const auto fails = [&](std::string_view code, const std::string& part) {
    check_said(said_by_loading(3, folder / "x"), code, {part});
  };
  for (const std::string file : {"model.safetensors", "state.safetensors"}) {
    save_on(3, folder / "x", 1);
    const std::string path = folder / ("x/" + file), good = file_bytes(path);
    put_file(path, good.substr(0, good.size() - 1));
    fails("bad_data", file + ": tensor '");
    put_file(path, good + '\0');
    fails("bad_data", file + ": there are ");
    put_file(path, good.substr(0, 5));
    fails("bad_data", file + ": is 5 bytes long");
    put_file(path, std::string(8, '\0') + good.substr(8));
    fails("bad_data",
          file + ": has no header: it is no safetensors file, or one that was never finished");
    fs::remove(path);
    fails("transport", file + ": cannot be opened [No such file or directory]");
    fs::create_directory(path);
    fails("bad_data", file + ": is no file");
    fs::remove_all(folder / "x");
  }
  fails("transport", "x/model.safetensors: cannot be opened");

  save_on(2, folder / "x", 1);
  fs::copy_file(folder / "x/model.safetensors", folder / "x/state.safetensors",
                fs::copy_options::overwrite_existing);
  fails("bad_data", "x/state.safetensors: is of no checkpoint");

  save_on(2, folder / "x", 1);
  std::string older = file_bytes(folder / "x/state.safetensors");
  older.replace(older.find("\"tutti.checkpoint\":\"2\"") + 20, 1, "1");
  put_file(folder / "x/state.safetensors", older);
  fails("bad_data", "x/state.safetensors: has the format '1', and this version reads 2");
}

// What a hostile file can do is be refused, or be loaded: never half of it.
BOOST_AUTO_TEST_CASE(headers_with_any_byte_changed_are_refused_or_loaded) {
  const scratch folder;
  save_on(1, folder / "x", 1);
  std::mt19937_64 random{14};
  int refused = 0;
  for (const std::string file : {"x/model.safetensors", "x/state.safetensors"}) {
    const std::string good = file_bytes(folder / file);
    std::uint64_t header = 0;
    std::memcpy(&header, good.data(), 8);
    for (int k = 0; k < 300; ++k) {
      std::string bad = good;
      bad[random() % (header + 8)] = "0123456789[]{},:\"\\a\xff"[random() % 20];
      put_file(folder / file, bad);
      const std::string said = said_by_loading(1, folder / "x")[0];
      refused += said != "nothing";
    }
    put_file(folder / file, good);
  }
  BOOST_CHECK_GT(refused, 400);
}

// A number that what is visited depends on is put back when the rest cannot be loaded.
BOOST_AUTO_TEST_CASE(a_visit_may_depend_on_numbers) {
  const scratch folder;
  const auto counted = [](std::vector<std::int64_t>& all) {
    return [&all](tutti::archive& to) {
      auto n = std::int64_t(all.size());
      to.number("count", n);
      all.resize(std::size_t(n));
      for (std::size_t k = 0; k < all.size(); ++k) to.number("due." + std::to_string(k), all[k]);
    };
  };
  check_on_ranks(2, [&](tutti::control& all) {
    std::vector<std::int64_t> due{7, 8, 9}, loaded{1};
    small_run run{all.rank(), 2}, other{all.rank(), 2}, third{all.rank(), 2, {{"q", {1}}}};
    run.more = counted(due);
    save(all, run, folder / "x");
    third.more = counted(loaded);
    const std::string why = thrown_by([&] { load(all, third, folder / "x"); });
    if (!has(why, "has no tensor 'q'") || loaded != std::vector<std::int64_t>{1})
      throw std::logic_error{why};
    other.more = counted(loaded);
    load(all, other, folder / "x");
    if (loaded != due) throw std::logic_error{"another list"};
  });
}

BOOST_AUTO_TEST_CASE(numbers_of_the_program_count_and_differences_are_told) {
  const scratch folder;
  save_on(2, folder / "x", 1);
  check_on_ranks(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2};
    if (!load(all, run, folder / "x").empty()) throw std::logic_error{"nothing differs"};
    run.knobs = {{"learning_rate", "0.2"}, {"momentum", "0.9"}};
    const auto told = load(all, run, folder / "x");
    const std::string x = folder / "x";
    if (told != std::vector{"learning_rate is 0.2, and was 0.1 when " + x + " was saved",
                            "momentum is 0.9, and is not in " + x})
      throw std::logic_error{told.empty() ? "nothing was told" : told[0]};
    run.knobs.clear();
    if (load(all, run, folder / "x") !=
        std::vector{"learning_rate was 0.1 when " + x + " was saved, and is not given here"})
      throw std::logic_error{"no knobs"};
  });
}

BOOST_AUTO_TEST_CASE(what_cannot_be_saved_is_refused_on_all_ranks) {
  const scratch folder;
  const auto said = [&](const std::string& path, int keep = 0,
                        const std::function<void(tutti::control&, small_run&)>& change = {}) {
    return said_by(3, [&](tutti::control& all) {
      small_run run{all.rank(), all.size()};
      if (change) change(all, run);
      save(all, run, path, keep);
    });
  };
  for (const std::string path : {"", "/", ".", "x/.."})
    check_said(said(path), "invalid_argument", {"names no folder of its own"});
  check_said(said(folder / "x-1", -1), "invalid_argument", {"save_options::keep is negative"});
  check_said(said(folder / "x", 1), "invalid_argument", {"the name ends in no number"});
  check_said(said(folder / "x", 0,
                  [](tutti::control& all, small_run& run) { run.steps = all.rank() == 2; }),
             "mismatch", {"ranks 0 and 2 have another number in their state"});
  check_said(said(folder / "x", 0,
                  [](tutti::control& all, small_run& run) { run.slots = all.rank() != 1; }),
             "mismatch", {"ranks 0 and 1 have unlike state"});
  check_said(said(folder / "x", 0,
                  [](tutti::control&, small_run& run) {
                    run.more = [](tutti::archive& to) {
                      std::int64_t twice = 0;
                      to.number("steps", twice);
                    };
                  }),
             "invalid_argument", {"'steps' is given twice"});
  check_said(said(folder / "x", 0,
                  [](tutti::control&, small_run& run) {
                    run.more = [](tutti::archive& to) {
                      std::vector<float> values(3);
                      to.values("v", values, {0, 4}, held_by::everyone);
                    };
                  }),
             "invalid_argument", {"the values \"v\" of the state are not as many as their place"});
  // A state that throws, on one rank: that rank has its own exception, and the others hear of it.
  std::vector<std::string> heard(3);
  on_ranks(3, [&](tutti::control& all) {
    small_run run{all.rank(), 3};
    if (all.rank() == 1)
      run.more = [](tutti::archive&) { throw std::runtime_error{"no state today"}; };
    try {
      save(all, run, folder / "x");
    } catch (const std::exception& e) {
      heard[std::size_t(all.rank())] = e.what();
    }
  });
  BOOST_CHECK_EQUAL(heard[1], "no state today");
  BOOST_CHECK_EQUAL(heard[2], "tutti: save: peer_lost on rank 2 (peer 1): rank 1: no state today");
  BOOST_CHECK_EQUAL(folder.listing(), "");
}

BOOST_AUTO_TEST_SUITE_END()
