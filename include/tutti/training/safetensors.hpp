// Tensors in files, in the safetensors format (https://huggingface.co/docs/safetensors), which the
// tools of others read and write.
//
//   tutti::safetensors::layout layout{{{"w", tutti::safetensors::dtype::float32, {2, 3}}}};
//   tutti::safetensors::writer file{"model.safetensors", layout};   // rank 0
//   file.write("w", 0, std::span{values}.first(2));                 // its share
//   ...
//   file.publish(bytes_of_others);                                  // when all others have flushed
//
//   tutti::safetensors::reader from{"model.safetensors"};
//   from.expect("w", tutti::safetensors::dtype::float32, {2, 3});
//   from.read("w", 0, values);
//
// Whoever opens the path finds the file of before, or all of the new one, whatever fails and
// whenever: what is written is PATH.partial, whose first 8 bytes are 0 until everything else is on
// the disk, so that it is no safetensors file; then it is renamed. What a killed program left of
// one is replaced by the next. One program at a time writes a path.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/process.hpp>
#include <tutti/training/files.hpp>
#include <tutti/training/safetensors_layout.hpp>
#include <tutti/training/safetensors_reader.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti::safetensors {

/// One rank's hold on a file that is being written. Data goes from the caller's memory to the
/// system without a copy of ours, in as large calls as it is given.
template <class Calls = detail::system_calls> class basic_writer {
public:
  /// Makes the file, with its header and its length. One that is not published is taken away in the
  /// end.
  basic_writer(std::string path, safetensors::layout layout)
      : basic_writer{std::move(path), std::move(layout), fresh()} {
    makes_ = true; // from here on the destructor tidies up
    file_.write(8, bytes(layout_.header()).subspan(8));
    file_.resize(layout_.file_bytes());
  }

  /// Takes part in a file that another rank has made, on any machine that sees it, with the same
  /// layout.
  static basic_writer join(std::string path, safetensors::layout layout) {
    basic_writer out{std::move(path), std::move(layout), O_RDWR};
    out.check_layout();
    return out;
  }

  basic_writer(basic_writer&& other) noexcept
      : path_{std::move(other.path_)}, layout_{std::move(other.layout_)},
        file_{std::move(other.file_)}, written_{other.written_},
        makes_{std::exchange(other.makes_, false)}, lost_{other.lost_}, maker_{other.maker_} {}
  basic_writer& operator=(basic_writer&&) = delete;

  ~basic_writer() {
    if (makes_ && maker_.is_this()) Calls::unlink(partial().c_str());
  }

  const safetensors::layout& layout() const noexcept { return layout_; }

  /// Elements [first, first + values.size()) of a tensor, whose type must be that of `values`.
  template <class Values>
  void write(std::string_view name, std::uint64_t first, const Values& values) {
    const std::span from{values};
    using element = std::remove_const_t<typename decltype(from)::element_type>;
    const entry& to = layout_.tensor(name);
    if (to.type != dtype_of<element>)
      refuse("tensor " + detail::quoted(name) + " is of " +
             std::string{safetensors::name(to.type)} + ", and is written as " +
             std::string{safetensors::name(dtype_of<element>)});
    if (first > to.elements()) outside(to);
    write_bytes(to, first * sizeof(element), std::as_bytes(from));
  }

  /// Bytes from `first` on of a tensor of the layout.
  void write_bytes(const entry& to, std::uint64_t first, std::span<const std::byte> from) {
    const std::uint64_t bytes = to.end - to.begin;
    if (first > bytes || from.size() > bytes - first) outside(to);
    if (!file_.is_open()) refuse("is written to after flush");
    file_.write(layout_.header().size() + to.begin + first, from);
    written_ += from.size();
  }

  /// The bytes of data written so far, by this rank.
  std::uint64_t written() const noexcept { return written_; }

  /// What this rank has written is on the disk; it writes no more. After a failure the file is
  /// lost: what the system could not write once it may have forgotten, and a second try would
  /// succeed.
  void flush() {
    if (!file_.is_open()) return;
    lost_ = true;
    file_.flush_and_close();
    lost_ = false;
  }

  /// By the rank that made the file, when all others have flushed what they wrote, together
  /// `written_by_others` bytes: the path is this file from now on. A byte that nobody wrote, or
  /// somebody twice, is `invalid_argument`, and nothing is published.
  void publish(std::uint64_t written_by_others = 0) {
    const std::uint64_t whole = layout_.data_bytes();
    if (!makes_) refuse("is published by the rank that made it, once");
    if (lost_) refuse("could not be flushed to the disk - write another");
    if (written_ > whole || whole - written_ != written_by_others)
      refuse("has " + std::to_string(whole) + " bytes of data, of which " +
             std::to_string(written_) + " were written here and " +
             std::to_string(written_by_others) + " by others");
    if (!file_.is_open()) file_ = {call, partial(), O_WRONLY};
    file_.write(0, bytes(layout_.header()).first(8));
    flush();
    detail::rename_for_good<Calls>(call, partial(), path_, makes_);
  }

private:
  static constexpr const char* call = "safetensors::writer";

  basic_writer(std::string path, safetensors::layout layout, int flags)
      : path_{std::move(path)}, layout_{std::move(layout)}, file_{open(flags)} {}

  // What somebody may still be writing to is another file than the one that is made now.
  detail::open_file<Calls> open(int flags) const {
    if (flags & O_CREAT) Calls::unlink(partial().c_str());
    return {call, partial(), flags | O_NOFOLLOW};
  }
  static constexpr int fresh() { return O_WRONLY | O_CREAT | O_EXCL; }

  void check_layout() const {
    const std::string_view wanted = layout_.header().substr(8);
    std::string there(wanted.size(), '\0');
    const bool as_long = file_.bytes() == layout_.file_bytes();
    if (as_long) file_.read(8, std::as_writable_bytes(std::span{there}));
    if (!as_long || there != wanted)
      throw error{{.code = error_code::mismatch,
                   .call = call,
                   .detail = partial() +
                             ": was made with another layout than this rank's, or is not "
                             "made yet - all ranks describe the same tensors and "
                             "metadata, and one makes the file before others join"}};
  }

  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
  }
  std::string partial() const { return path_ + ".partial"; }

  [[noreturn]] void refuse(const std::string& why) const {
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = path_ + ": " + why}};
  }
  [[noreturn]] void outside(const entry& to) const {
    refuse("what is to be written lies outside of tensor " + detail::quoted(to.name) +
           ", which has " + std::to_string(to.elements()) + " elements");
  }

  std::string path_;
  safetensors::layout layout_;
  detail::open_file<Calls> file_;
  std::uint64_t written_ = 0;
  bool makes_ = false; ///< and there is a PATH.partial to be taken away
  bool lost_ = false;
  detail::process maker_;
};

using writer = basic_writer<>;

} // namespace tutti::safetensors
