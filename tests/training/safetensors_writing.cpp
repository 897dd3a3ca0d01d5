// Files that are written by several, and files that cannot be written.
#include "training/scratch.hpp"

#include <tutti/training/safetensors.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>

namespace {

namespace sf = tutti::safetensors;

/// The system, which takes no byte from `full_at` on, and breaks one call.
struct broken_system : tutti::detail::system_calls {
  static inline off_t full_at = -1;
  static inline std::string_view breaks = "";
  static inline int left_to_interrupt = 0;
  static inline std::size_t most_at_once = SIZE_MAX;

  static void mend() { full_at = -1, breaks = "", left_to_interrupt = 0, most_at_once = SIZE_MAX; }
  static int fails(std::string_view call, int error) {
    if (breaks != call) return 0;
    errno = error;
    return -1;
  }
  static int interrupted() {
    if (left_to_interrupt == 0) return 0;
    --left_to_interrupt;
    errno = EINTR;
    return -1;
  }

  static ssize_t pwrite(int fd, const void* from, std::size_t n, off_t at) {
    if (interrupted()) return -1;
    if (breaks == "nothing taken") return 0;
    if (full_at >= 0 && at >= full_at) return errno = ENOSPC, -1;
    if (full_at >= 0) n = std::min(n, std::size_t(full_at - at));
    return system_calls::pwrite(fd, from, std::min(n, most_at_once), at);
  }
  static ssize_t pread(int fd, void* to, std::size_t n, off_t at) {
    if (interrupted()) return -1;
    return system_calls::pread(fd, to, std::min(n, most_at_once), at);
  }
  static int ftruncate(int fd, off_t bytes) {
    return fails("ftruncate", EFBIG) ? -1 : system_calls::ftruncate(fd, bytes);
  }
  static int fsync(int fd) { return fails("fsync", EIO) ? -1 : system_calls::fsync(fd); }
  static int close(int fd) {
    const int closed = system_calls::close(fd);
    return fails("close", EDQUOT) ? -1 : closed;
  }
  static int rename(const char* from, const char* to) {
    return fails("rename", EACCES) ? -1 : system_calls::rename(from, to);
  }
};

using broken_writer = sf::basic_writer<broken_system>;

const sf::layout two_tensors{{{"a", sf::dtype::float32, {3}}, {"b", sf::dtype::uint8, {5}}}};

template <class Writer> void save(const std::string& path, float value) {
  Writer file{path, two_tensors};
  file.write("a", 0, std::vector<float>(3, value));
  file.write("b", 0, std::vector<std::uint8_t>(5, std::uint8_t(value)));
  file.publish();
}

/// What is in the file, if all of it is the same.
std::optional<float> saved_value(const std::string& path) {
  const sf::reader in{path};
  std::array<float, 3> a{};
  std::array<std::uint8_t, 5> b{};
  in.read("a", 0, a);
  in.read("b", 0, b);
  for (const float x : a)
    if (x != a[0]) return std::nullopt;
  for (const std::uint8_t x : b)
    if (float(x) != a[0]) return std::nullopt;
  return a[0];
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_writing)

// deepspeedai/DeepSpeed#5105, #1422: nothing in the file depends on how many wrote it.
BOOST_AUTO_TEST_CASE(ranks_write_their_ranges_of_one_tensor) {
  const scratch folder;
  const sf::layout layout{{{"slot", sf::dtype::float32, {57}}, {"step", sf::dtype::int64, {}}}};
  std::vector<float> slot(57);
  std::iota(slot.begin(), slot.end(), 0.f);
  std::string first;

  for (const std::size_t ranks : {1, 2, 3, 5, 57}) {
    const std::string path = folder / "x";
    sf::writer maker{path, layout};
    std::uint64_t by_others = 0;
    for (std::size_t rank = ranks; rank-- > 0;) {
      const std::size_t begin = 57 * rank / ranks, end = 57 * (rank + 1) / ranks;
      const auto mine = std::span{slot}.subspan(begin, end - begin);
      if (rank == 0) {
        maker.write("slot", begin, mine);
        maker.write("step", 0, std::array{std::int64_t{7}});
        continue;
      }
      sf::writer part = sf::writer::join(path, layout);
      part.write("slot", begin, mine);
      part.flush();
      by_others += part.written();
    }
    maker.flush(); // as a rank of another machine would, before it is told of the others
    maker.publish(by_others);

    const std::string now = file_bytes(path);
    if (first.empty()) first = now;
    BOOST_CHECK_MESSAGE(now == first, ranks << " ranks write another file");
    const sf::reader in{path};
    for (const std::size_t readers : {1, 2, 5})
      for (std::size_t rank = 0; rank < readers; ++rank) {
        const std::size_t begin = 57 * rank / readers, end = 57 * (rank + 1) / readers;
        std::vector<float> mine(end - begin);
        in.read("slot", begin, mine);
        BOOST_CHECK(std::equal(mine.begin(), mine.end(), slot.begin() + std::ptrdiff_t(begin)));
      }
  }
}

BOOST_AUTO_TEST_CASE(a_file_with_a_gap_is_not_published) {
  const scratch folder;
  save<sf::writer>(folder / "x", 1);
  {
    sf::writer file{folder / "x", two_tensors};
    file.write("a", 0, std::array{2.f, 2.f, 2.f});
    std::string said = thrown_by([&] { file.publish(); });
    BOOST_CHECK_MESSAGE(
        said.starts_with("invalid_argument") &&
            has(said, "17 bytes of data, of which 12 were written here and 0 by others"),
        said);
    BOOST_CHECK(has(thrown_by([&] { file.publish(6); }), "12 were written here and 6 by others"));
    BOOST_CHECK(has(thrown_by([&] { file.publish(UINT64_MAX - 11); }), "by others"));
    file.write("a", 0, std::array{2.f, 2.f, 2.f});
    BOOST_CHECK(has(thrown_by([&] { file.publish(); }), "24 were written here"));
  }
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 1);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_the_layout_is_not_written) {
  const scratch folder;
  sf::writer file{folder / "x", two_tensors};
  const std::array<float, 3> values{};
  const auto refused = [](std::string_view wanted, auto&& action) {
    const std::string said = thrown_by(action);
    BOOST_CHECK_MESSAGE(said.starts_with("invalid_argument") && has(said, wanted), said);
  };
  refused("tensor 'c' is not in the layout", [&] { file.write("c", 0, values); });
  refused("'b' is of U8, and is written as F32", [&] { file.write("b", 0, values); });
  refused("outside of tensor 'a', which has 3", [&] { file.write("a", 1, values); });
  refused("outside of tensor 'a'", [&] { file.write("a", 4, std::span<float>{}); });
  refused("outside of tensor 'a'", [&] { file.write("a", UINT64_MAX / 4 + 2, values); });
  refused("outside of tensor 'b'", [&] {
    file.write_bytes(file.layout().tensor("b"), 4, std::as_bytes(std::span{values}).first(2));
  });
  BOOST_CHECK_EQUAL(file.written(), 0u);
  file.write("a", 3, std::span<float>{});
  file.write("a", 2, std::span{values}.first(1));
  file.flush();
  refused("is written to after flush", [&] { file.write("a", 0, std::span{values}.first(2)); });
}

BOOST_AUTO_TEST_CASE(a_rank_with_another_layout_or_too_early_does_not_join) {
  const scratch folder;
  const auto joins = [&](const sf::layout& layout) {
    return thrown_by([&] { sf::writer::join(folder / "x", layout); });
  };
  BOOST_CHECK(has(joins(two_tensors), "x.partial: cannot be opened [No such file or directory]"));
  const sf::writer maker{folder / "x", two_tensors};
  BOOST_CHECK_EQUAL(joins(two_tensors), "nothing");
  // Another name, another shape of the same bytes, another type, another length, other metadata.
  for (const sf::layout& other :
       {sf::layout{{{"A", sf::dtype::float32, {3}}, {"b", sf::dtype::uint8, {5}}}},
        sf::layout{{{"a", sf::dtype::int32, {3}}, {"b", sf::dtype::uint8, {5}}}},
        sf::layout{{{"a", sf::dtype::float32, {3}}, {"b", sf::dtype::uint8, {6}}}},
        sf::layout{{{"a", sf::dtype::float32, {3}}, {"b", sf::dtype::uint8, {5}}}, {{"k", "v"}}}}) {
    const std::string said = joins(other);
    BOOST_CHECK_MESSAGE(said.starts_with("mismatch") && has(said, "made with another layout"),
                        said);
  }
  sf::writer part = sf::writer::join(folder / "x", two_tensors);
  BOOST_CHECK(
      has(thrown_by([&] { part.publish(17); }), "is published by the rank that made it, once"));
}

// CanReader/FastNN#13, NodeDB-Lab/nodedb#78, matiaszanolli/ByroRedux#1702
BOOST_AUTO_TEST_CASE(when_writing_fails_the_old_file_is_still_there_and_nothing_else) {
  const scratch folder;
  const std::string path = folder / "x";
  save<sf::writer>(path, 1);
  const off_t header = off_t(two_tensors.header().size()), whole = off_t(two_tensors.file_bytes());
  const auto fails = [&](std::string_view wanted) {
    const std::string said = thrown_by([&] { save<broken_writer>(path, 2); });
    BOOST_CHECK_MESSAGE(
        said.starts_with("transport: tutti: safetensors::writer: transport: " + path) &&
            has(said, wanted),
        "expected " << wanted << ", got " << said);
    broken_system::mend();
    BOOST_CHECK_EQUAL(saved_value(path).value(), 1);
    BOOST_CHECK_EQUAL(folder.listing(), "x ");
  };

  // Byte 0 is written last of all.
  for (const off_t at : {off_t{0}, off_t{8}, header - 1, header, header + 12, whole - 1}) {
    broken_system::full_at = at;
    fails("[No space left on device]");
  }
  broken_system::breaks = "ftruncate";
  fails("x.partial: cannot be made " + std::to_string(whole) + " bytes long [File too large]");
  broken_system::breaks = "fsync";
  fails("x.partial: cannot be flushed to the disk [Input/output error]");
  broken_system::breaks = "close";
  fails("x.partial: cannot be closed [Disk quota exceeded]");
  broken_system::breaks = "rename";
  fails("x.partial: cannot be renamed to " + path + " [Permission denied]");
  broken_system::breaks = "nothing taken";
  fails("bytes at byte 8 failed [Input/output error]");

  save<broken_writer>(path, 3);
  BOOST_CHECK_EQUAL(saved_value(path).value(), 3);
}

BOOST_AUTO_TEST_CASE(the_first_8_bytes_are_written_last) {
  const scratch folder;
  broken_writer file{folder / "x", two_tensors};
  file.write("a", 0, std::array{2.f, 2.f, 2.f});
  file.write("b", 0, std::array<std::uint8_t, 5>{2, 2, 2, 2, 2});
  file.flush();
  BOOST_CHECK_EQUAL(file_bytes(folder / "x.partial").substr(0, 8), std::string(8, '\0'));
  BOOST_CHECK(
      has(thrown_by([&] { sf::reader{folder / "x.partial"}; }), "one that was never finished"));

  broken_system::full_at = 0;
  BOOST_CHECK(has(thrown_by([&] { file.publish(); }), "writing 8 bytes at byte 0 failed"));
  broken_system::mend();
  BOOST_CHECK(
      has(thrown_by([&] { sf::reader{folder / "x.partial"}; }), "one that was never finished"));
  file.publish();
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 2);
}

// What could not be flushed may be forgotten by the system, and a second flush would succeed.
BOOST_AUTO_TEST_CASE(after_a_flush_that_failed_there_is_no_second_try) {
  const scratch folder;
  broken_writer file{folder / "x", two_tensors};
  file.write("a", 0, std::array{2.f, 2.f, 2.f});
  file.write("b", 0, std::array<std::uint8_t, 5>{2, 2, 2, 2, 2});
  broken_system::breaks = "fsync";
  BOOST_CHECK(thrown_by([&] { file.flush(); }).starts_with("transport"));
  broken_system::mend();
  BOOST_CHECK(has(thrown_by([&] { file.publish(); }), "could not be flushed to the disk"));
}

BOOST_AUTO_TEST_CASE(calls_that_are_interrupted_or_take_less_go_on) {
  const scratch folder;
  broken_system::left_to_interrupt = 3;
  broken_system::most_at_once = 3;
  save<broken_writer>(folder / "x", 4);
  broken_system::mend();
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 4);
}

BOOST_AUTO_TEST_CASE(a_file_beyond_the_limit_of_the_process_fails_like_any_other) {
  const scratch folder;
  save<sf::writer>(folder / "x", 1);
  const auto header = two_tensors.header().size(), whole = std::size_t(two_tensors.file_bytes());
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  std::vector<std::string> said;
  for (const std::size_t most : {std::size_t{0}, std::size_t{8}, header, whole - 1}) {
    const rlimit limit{rlim_t(most), before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    said.push_back(thrown_by([&] { save<sf::writer>(folder / "x", 2); }));
    setrlimit(RLIMIT_FSIZE, &before);
  }
  std::signal(SIGXFSZ, handler);
  for (const std::string& one : said)
    BOOST_CHECK_MESSAGE(one.starts_with("transport") && has(one, "[File too large]"), one);
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 1);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

BOOST_AUTO_TEST_CASE(what_a_killed_program_left_is_replaced) {
  const scratch folder;
  put_file(folder / "x.partial", std::string(1'000'000, 'x'));
  save<sf::writer>(folder / "x", 5);
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 5);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");

  // A link with that name is not followed.
  put_file(folder / "precious", "kept");
  BOOST_REQUIRE(symlink((folder / "precious").c_str(), (folder / "x.partial").c_str()) == 0);
  BOOST_CHECK(
      thrown_by([&] { sf::writer::join(folder / "x", two_tensors); }).starts_with("transport"));
  save<sf::writer>(folder / "x", 6);
  BOOST_CHECK_EQUAL(file_bytes(folder / "precious"), "kept");
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_not_there_and_a_path_that_is_a_folder_are_named) {
  const scratch folder;
  const std::string nowhere = thrown_by([&] { save<sf::writer>(folder / "no/x", 1); });
  BOOST_CHECK_MESSAGE(has(nowhere, "no/x.partial: cannot be opened [No such file"), nowhere);
  std::filesystem::create_directory(folder / "taken");
  const std::string taken = thrown_by([&] { save<sf::writer>(folder / "taken", 1); });
  BOOST_CHECK_MESSAGE(has(taken, "cannot be renamed to") && has(taken, "[Is a directory]"), taken);
  BOOST_CHECK_EQUAL(folder.listing(), "taken ");
}

BOOST_AUTO_TEST_CASE(a_writer_that_moves_takes_its_file_along) {
  const scratch folder;
  std::optional<sf::writer> kept;
  {
    sf::writer file{folder / "x", two_tensors};
    file.write("a", 0, std::array{2.f, 2.f, 2.f});
    kept.emplace(std::move(file));
  }
  BOOST_CHECK_EQUAL(folder.listing(), "x.partial ");
  kept->write("b", 0, std::array<std::uint8_t, 5>{2, 2, 2, 2, 2});
  kept->publish();
  BOOST_CHECK_EQUAL(saved_value(folder / "x").value(), 2);
  BOOST_CHECK(has(thrown_by([&] { kept->publish(); }), "once"));
}

BOOST_AUTO_TEST_CASE(the_folder_of_a_path) {
  using tutti::detail::folder_of;
  BOOST_CHECK_EQUAL(folder_of("x"), ".");
  BOOST_CHECK_EQUAL(folder_of("/x"), "/");
  BOOST_CHECK_EQUAL(folder_of("a/b/x"), "a/b");
}

BOOST_AUTO_TEST_SUITE_END()
