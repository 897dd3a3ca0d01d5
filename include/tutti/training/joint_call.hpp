// A call that all ranks make, and that ends alike on all of them.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/function_ref.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Goes on in steps: no rank begins the next one before all have ended theirs, and what one of them
/// throws ends the call on all, as an error that names it.
class joint_call {
public:
  /// Collective. `subject` is what the call is about, the same on all ranks.
  joint_call(control& ranks, const char* name, const std::string& subject)
      : ranks_{ranks}, name_{name} {
    const std::string mine = name_ + (" of " + subject);
    std::string first = mine;
    share(first, 0);
    step(0, [&](std::span<std::uint64_t>) {
      if (mine != first)
        refuse(error_code::mismatch, "calls " + mine + ", and rank 0 " + first +
                                         " - make the same call with the same name on every rank");
    });
  }

  int rank() const { return ranks_.rank(); }
  int size() const { return ranks_.size(); }
  const char* name() const noexcept { return name_; }

  /// work(words) on every rank; the `n` words that it has written, of each rank.
  std::vector<std::uint64_t> step(std::size_t n,
                                  function_ref<void(std::span<std::uint64_t>)> work) {
    std::vector<std::uint64_t> words(n + 1);
    failure why;
    std::exception_ptr thrown;
    try {
      work(std::span{words}.subspan(1));
    } catch (const error& e) {
      why = e.details();
      words[0] = 1 + std::uint64_t(why.code);
    } catch (const std::bad_alloc&) {
      why.detail = "there is not enough memory";
      words[0] = 1 + std::uint64_t(error_code::out_of_memory);
    } catch (const std::exception& e) {
      thrown = std::current_exception();
      why.detail = e.what();
      words[0] = 1 + std::uint64_t(error_code::peer_lost);
    }

    std::vector<std::uint64_t> all = ranks_.gather(words), out;
    for (int r = 0; r < size(); ++r)
      if (const std::uint64_t code = all[std::size_t(r) * (n + 1)]; code != 0) {
        share(why.detail, r);
        share(why.native, r);
        if (thrown && r == rank()) std::rethrow_exception(thrown);
        throw error{{.code = error_code(code - 1),
                     .call = name_,
                     .rank = rank(),
                     .peer = r,
                     .detail = "rank " + std::to_string(r) + ": " + why.detail,
                     .native = why.native}};
      }
    for (std::size_t k = 0; k < all.size(); ++k)
      if (k % (n + 1) != 0) out.push_back(all[k]);
    return out;
  }

  /// After a step in which every rank had `n` words: word k is to be the same on all.
  void require_alike(std::span<const std::uint64_t> words, std::size_t n, std::size_t k,
                     const std::string& what) const {
    for (int r = 1; r < size(); ++r)
      if (words[std::size_t(r) * n + k] != words[k])
        throw error{{.code = error_code::mismatch,
                     .call = name_,
                     .rank = rank(),
                     .peer = rank() == r ? 0 : r,
                     .detail = "ranks 0 and " + std::to_string(r) + " " + what}};
  }

  [[noreturn]] void refuse(error_code code, std::string detail) const {
    throw error{{.code = code, .call = name_, .rank = rank(), .detail = std::move(detail)}};
  }

  /// What `who` has, to all.
  void share(std::string& text, int who) {
    std::uint64_t length = text.size();
    ranks_.broadcast(std::as_writable_bytes(std::span{&length, 1}), who);
    text.resize(length);
    ranks_.broadcast(std::as_writable_bytes(std::span{text.data(), text.size()}), who);
  }

private:
  control& ranks_;
  const char* name_;
};

} // namespace tutti::detail
