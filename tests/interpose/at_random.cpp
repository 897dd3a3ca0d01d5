// A thousand calls at random, the same on every rank, with requests in flight that each rank waits
// for when it likes; and threads that do all of this at the same time.
#include "check.hpp"

#include <memory>
#include <random>
#include <thread>

namespace check {
namespace {

class player {
public:
  /// `lengths` bounds the vectors; ranks with the same seed make the same calls.
  player(MPI_Comm comm, unsigned seed)
      : comm_{comm}, shared_{seed}, own_{seed + 1000u * unsigned(rank_)} {}

  void play(int calls) {
    for (int k = 0; k < calls; ++k) {
      one_call();
      if (draw(own_, 4) == 0) wait_for_some();
      while (flights_.size() > 6) land(draw(own_, int(flights_.size())));
    }
    while (!flights_.empty()) land(draw(own_, int(flights_.size())));
  }
  /// What was wrong first; threads say it when they are done.
  const std::string& complaint() const { return complaint_; }

private:
  struct flight {
    flight(int rank, int n, int salt)
        : n{n}, salt{salt}, mine{given<float>(rank, n, salt)}, got{room_for<float>(n)} {}
    int n, salt, from = -1; ///< from whom the message is, if it is one
    std::vector<float> mine, got;
    MPI_Request r[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  };

  static int draw(std::minstd_rand& by, int below) { return int(by() % unsigned(below)); }
  int length() {
    switch (draw(shared_, 4)) {
    case 0:
      return draw(shared_, 4);
    case 1:
      return draw(shared_, 100);
    case 2:
      return draw(shared_, 5000);
    default:
      return draw(shared_, 30000);
    }
  }
  void expect(bool right, const char* what) {
    if (!right && complaint_.empty()) complaint_ = what;
  }
  bool sums(const std::vector<float>& got, int n, int salt, int first = 0) const {
    for (int i = 0; i < n; ++i)
      if (got[std::size_t(i)] != reduced<float>(fold::sum, size_, first + i, salt)) return false;
    return got.back() == 77.0f;
  }

  void one_call() {
    const int n = length(), salt = draw(shared_, 5), root = draw(shared_, size_);
    const auto mine = given<float>(rank_, n, salt);
    auto got = room_for<float>(n);
    switch (draw(shared_, 10)) {
    case 0:
      MPI_Allreduce(mine.data(), got.data(), n, MPI_FLOAT, MPI_SUM, comm_);
      expect(sums(got, n, salt), "MPI_Allreduce");
      break;
    case 1:
      MPI_Reduce(mine.data(), got.data(), n, MPI_FLOAT, MPI_SUM, root, comm_);
      expect(rank_ != root || sums(got, n, salt), "MPI_Reduce");
      break;
    case 2:
      got = rank_ == root ? mine : std::vector<float>(std::size_t(n));
      MPI_Bcast(got.data(), n, MPI_FLOAT, root, comm_);
      expect(got == given<float>(root, n, salt), "MPI_Bcast");
      break;
    case 3:
      got.resize(std::size_t(n * size_));
      MPI_Allgather(mine.data(), n, MPI_FLOAT, got.data(), n, MPI_FLOAT, comm_);
      for (int r = 0; r < size_; ++r)
        for (int i = 0; i < n; ++i)
          expect(got[std::size_t(r * n + i)] == value<float>(r, i, salt), "MPI_Allgather");
      break;
    case 4: {
      const auto long_one = given<float>(rank_, n * size_, salt);
      MPI_Reduce_scatter_block(long_one.data(), got.data(), n, MPI_FLOAT, MPI_SUM, comm_);
      expect(sums(got, n, salt, rank_ * n), "MPI_Reduce_scatter_block");
      break;
    }
    case 5:
      MPI_Barrier(comm_);
      break;
    case 6:
      got.resize(std::size_t(n * size_));
      MPI_Gather(mine.data(), n, MPI_FLOAT, got.data(), n, MPI_FLOAT, root, comm_); // passed on
      break;
    case 7:
      message_around(n, salt);
      break;
    default:
      flights_.push_back(reduction(n, salt));
    }
  }

  std::unique_ptr<flight> reduction(int n, int salt) {
    auto f = std::make_unique<flight>(rank_, n, salt);
    MPI_Iallreduce(f->mine.data(), f->got.data(), n, MPI_FLOAT, MPI_SUM, comm_, &f->r[0]);
    return f;
  }
  void message_around(int n, int salt) {
    auto f = std::make_unique<flight>(rank_, n, salt);
    f->from = (rank_ + size_ - 1) % size_;
    MPI_Irecv(f->got.data(), n, MPI_FLOAT, f->from, 1, comm_, &f->r[0]);
    MPI_Isend(f->mine.data(), n, MPI_FLOAT, (rank_ + 1) % size_, 1, comm_, &f->r[1]);
    flights_.push_back(std::move(f));
  }

  void wait_for_some() {
    if (!flights_.empty()) land(draw(own_, int(flights_.size())));
  }
  void land(int k) {
    std::swap(flights_[std::size_t(k)], flights_.back());
    const auto f = std::move(flights_.back());
    flights_.pop_back();
    int which = 0, done = 0;
    switch (draw(own_, 3)) {
    case 0:
      MPI_Waitall(2, f->r, MPI_STATUSES_IGNORE);
      break;
    case 1:
      while (!done) MPI_Testall(2, f->r, &done, MPI_STATUSES_IGNORE);
      break;
    default:
      do MPI_Waitany(2, f->r, &which, MPI_STATUS_IGNORE);
      while (which != MPI_UNDEFINED);
    }
    if (f->from < 0) return expect(sums(f->got, f->n, f->salt), "MPI_Iallreduce");
    f->got.pop_back();
    expect(f->got == given<float>(f->from, f->n, f->salt), "a message");
  }

  MPI_Comm comm_;
  int rank_ = rank_in(comm_), size_ = size_of(comm_);
  std::minstd_rand shared_, own_;
  std::vector<std::unique_ptr<flight>> flights_;
  std::string complaint_;
};

} // namespace

void at_random() {
  begin("calls at random");
  for (unsigned seed = 1; seed <= 4; ++seed) {
    player one{MPI_COMM_WORLD, seed};
    one.play(250);
    that(one.complaint().empty(), one.complaint() + " in game " + std::to_string(seed));
  }
}

void at_once() {
  begin("threads at the same time");
  constexpr std::size_t threads = 3;
  std::vector<MPI_Comm> comms(threads, MPI_COMM_NULL);
  std::vector<std::string> complaints(threads);
  for (MPI_Comm& c : comms) {
    MPI_Comm_dup(MPI_COMM_WORLD, &c);
    use_often(c);
  }
  std::vector<std::thread> all;
  for (std::size_t t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      player one{comms[t], unsigned(10 + t)};
      one.play(120);
      complaints[t] = one.complaint();
    });
  for (std::thread& t : all) t.join();
  for (const std::string& c : complaints) that(c.empty(), c + ", on one of three threads");
  for (MPI_Comm& c : comms) MPI_Comm_free(&c);
}

} // namespace check
