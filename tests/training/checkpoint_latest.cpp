// Which checkpoint is the last, and which are kept.
#include "training/checkpoint_run.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <string>

namespace {

using namespace checkpoints;

std::string save_step(const std::string& path, int step, int keep) {
  const auto said = said_by(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2};
    run.train(step);
    save(all, run, path, keep);
  });
  BOOST_CHECK_EQUAL(said[0] == "nothing", said[1] == "nothing");
  return said[0];
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_latest)

// huggingface/transformers#27138, #25136: by number, and deleted only after the new one is there.
BOOST_AUTO_TEST_CASE(the_greatest_number_is_the_last_and_is_kept) {
  const scratch folder;
  for (const int step : {9, 10, 100})
    BOOST_CHECK_EQUAL(save_step(folder / ("step-" + std::to_string(step)), step, 0), "nothing");
  BOOST_CHECK_EQUAL(folder.listing(), "step-10 step-100 step-9 ");
  BOOST_CHECK_EQUAL(tutti::latest_checkpoint(folder / ""), folder / "step-100");

  save_step(folder / "step-100", 100, 1);
  BOOST_CHECK_EQUAL(folder.listing(), "step-100 ");
  BOOST_CHECK_EQUAL(steps_in(3, tutti::latest_checkpoint(folder / "")), 100);

  for (const int step : {101, 999, 1000, 1001})
    save_step(folder / ("step-" + std::to_string(step)), step, 2);
  BOOST_CHECK_EQUAL(folder.listing(), "step-1000 step-1001 ");
  save_step(folder / "step-1002", 1002, 3);
  BOOST_CHECK_EQUAL(folder.listing(), "step-1000 step-1001 step-1002 ");
}

BOOST_AUTO_TEST_CASE(nothing_else_is_deleted) {
  const scratch folder;
  for (const int step : {1, 2, 50}) save_step(folder / ("step-" + std::to_string(step)), step, 0);
  save_step(folder / "best-1", 1, 0);
  put_file(folder / "step-1/notes.txt", "mine");         // a folder with something of the user's
  std::filesystem::create_directory(folder / "step-x3"); // other names
  put_file(folder / "step-0", "a file");
  std::filesystem::create_directory_symlink(folder / "best-1", folder / "step-00");
  std::filesystem::create_directory(folder / "step-2.partial"); // what a killed program left
  save_step(folder / "step-40", 40, 1);
  // 50 is of another run that went further; it is not for this one to delete.
  BOOST_CHECK_EQUAL(folder.listing(), "best-1 step-0 step-00 step-1 step-40 step-50 step-x3 ");
  BOOST_CHECK_EQUAL(steps_in(2, folder / "best-1"), 1);
}

BOOST_AUTO_TEST_CASE(a_save_that_fails_deletes_nothing) {
  const scratch folder;
  for (const int step : {1, 2}) save_step(folder / ("step-" + std::to_string(step)), step, 0);
  put_file(folder / "step-3", "in the way");
  BOOST_CHECK(save_step(folder / "step-3", 3, 1).starts_with("invalid_argument"));
  BOOST_CHECK(save_step(folder / "step-4", 3, -1).starts_with("invalid_argument"));
  BOOST_CHECK_EQUAL(folder.listing(), "step-1 step-2 step-3 ");
}

BOOST_AUTO_TEST_CASE(ranks_that_keep_unlike_numbers_disagree) {
  const scratch folder;
  const auto said = said_by(3, [&](tutti::control& all) {
    small_run run{all.rank(), 3};
    save(all, run, folder / "step-1", all.rank() == 2 ? 1 : 2);
  });
  for (const std::string& one : said)
    BOOST_CHECK_MESSAGE(one.starts_with("mismatch") &&
                            has(one, "ranks 0 and 2 keep unlike numbers of checkpoints"),
                        one);
  BOOST_CHECK_EQUAL(folder.listing(), "");
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint_is_never_the_last) {
  const scratch folder;
  BOOST_CHECK_EQUAL(tutti::latest_checkpoint(folder / "nowhere"), "");
  BOOST_CHECK_EQUAL(tutti::latest_checkpoint(folder / ""), "");
  put_file(folder / "file", "");
  BOOST_CHECK(
      thrown_by([&] { (void)tutti::latest_checkpoint(folder / "file"); }).starts_with("transport"));

  save_step(folder / "step-7", 7, 0);
  std::filesystem::copy(folder / "step-7", folder / "step-8.partial");
  std::filesystem::copy(folder / "step-7", folder / "last");
  std::filesystem::create_directory(folder / "epoch-99");
  put_file(folder / "step-100", "");
  BOOST_CHECK_EQUAL(tutti::latest_checkpoint(folder / ""), folder / "step-7");
  // Killed while it was replaced.
  std::filesystem::copy(folder / "step-7", folder / "step-9.previous");
  BOOST_CHECK_EQUAL(tutti::latest_checkpoint(folder / ""), folder / "step-9");
  BOOST_CHECK_EQUAL(steps_in(2, tutti::latest_checkpoint(folder / "")), 7);
  // Numbers as long as they like, and zeros before them.
  std::filesystem::copy(folder / "step-7", folder / "step-0000000000000000000000000000011");
  BOOST_CHECK(tutti::latest_checkpoint(folder / "").ends_with("00011"));
  std::filesystem::copy(folder / "step-7", folder / "step-99999999999999999999999999999");
  BOOST_CHECK(
      tutti::latest_checkpoint(folder / "").ends_with("step-99999999999999999999999999999"));
}

BOOST_AUTO_TEST_SUITE_END()
