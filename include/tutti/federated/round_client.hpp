// round_client: a rank that is one or more clients of a round_server, and keeps their data.
//
//   tutti::round_client client{world, parameters, tutti::sgd{.learning_rate = .05}};
//   const std::vector<int> mine{3, 4};        // the clients whose data is here
//   client.serve(population, mine);           // trains when it is asked, until the server has finished
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/random.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/own_corrections.hpp>
#include <tutti/federated/population.hpp>
#include <tutti/federated/rank_mail.hpp>
#include <tutti/federated/round_messages.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/resuming.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// The server is rank 0, and there is one round_server or round_client at a time on each rank of a communicator. Of the
/// parameters only names and shapes are used, which are those of the server's. What leaves the rank is, for each client
/// that is asked, the difference that it has come to, how many examples it used, its metrics, and with SCAFFOLD what
/// has changed in its variate. What a client keeps from round to round stays here, in memory twice the model for each
/// that has been asked, and changes where its answer counts.
template <class T, class Comm, class Optimizer>
class round_client {
public:
  /// Collective with the constructors of the server and of the other clients. Throws invalid_argument on rank 0, and
  /// for numbers of the optimizer that cannot be.
  template <class Parameters>
  round_client(Comm& comm, Parameters&& parameters, Optimizer optimizer, const options& how = {})
      : model_{detail::as_tensors(parameters)},
        local_{model_, std::move(optimizer), 1, std::vector<detail::group_factors>(model_.size()),
               std::vector<bool>(model_.size())},
        received_(local_.parameters().size()), differences_(received_.size()), corrections_{model_},
        mail_{comm, how, detail::most_of_a_message<T>(received_.size())} {
    if (comm.rank() == 0)
      throw error{{.code = error_code::invalid_argument,
                   .call = "round_client",
                   .rank = 0,
                   .detail = "rank 0 is the server of rounds - make a round_server there"}};
    if (const std::string wrong = detail::wrong_of_clients(local_.optimizer()); !wrong.empty())
      throw error{{.code = error_code::invalid_argument, .call = "round_client", .rank = comm.rank(), .detail = wrong}};
    numbers_.add(local_.optimizer());
    mail_.listen(0);
  }

  /// Enters with these clients of the population, none at first or more than before, and trains those that the server
  /// asks; `goes_on(round)` is asked after the work of each round. Returns how many times one has trained, when the
  /// server has finished, or when goes_on has said no: then the rank has departed with all of its clients, and may
  /// serve again while rounds go on. Throws bad_data where the server sends another model than this one; and, after the
  /// rank has departed, where a client keeps what is of another round than the one in which it last counted.
  template <class Population, class GoesOn>
    requires population<Population, T, Optimizer>
  int serve(Population& people, std::span<const int> own, GoesOn&& goes_on) {
    enter(people, own);
    int trained_so_far = 0;
    bool over = false, departs = false;
    std::string wrong; // of this rank alone: the others go on
    mail_.wait(
        "round_client::serve",
        [&](int, std::span<const std::byte> message) {
          const auto kind = detail::message_kind(message);
          if (kind == detail::round_message::over) {
            over = true;
          } else if (kind == detail::round_message::model) {
            model_after_ = require(detail::decode_model<T>(message, received_, common_), message);
          } else if (!departs) {
            const detail::round_work work = require(work_on_the_model(message), message);
            if (wrong = corrections_.settle(work.clients, work.counted); !wrong.empty()) {
              depart(), departs = true;
              return;
            }
            for (std::size_t k = 0; k < work.clients.size(); ++k) train(people, k, work);
            trained_so_far += int(work.clients.size());
            if (!goes_on(work.round)) depart(), departs = true;
          }
        },
        [&] {
          if (over && !departs) depart(), departs = true;
          return over && mail_.has_told(0);
        },
        [] { return 0; });
    if (!wrong.empty())
      throw error{{.code = error_code::bad_data, .call = "round_client::serve", .detail = std::move(wrong)}};
    return trained_so_far;
  }
  template <class Population>
    requires population<Population, T, Optimizer>
  int serve(Population& people, std::span<const int> own) {
    return serve(people, own, [](std::uint32_t) { return true; });
  }

  /// Between two calls of serve(), of this rank alone: what its clients keep from round to round (SCAFFOLD, FedDyn).
  /// Include <tutti/training/checkpoint.hpp>.
  template <class Folder>
  void save(const Folder& folder, const save_options& how = {}) {
    detail::require_checkpoints<Folder>();
    if constexpr (detail::has_checkpoints<Folder>)
      detail::checkpoints<Folder>::save(alone_, flat_model<T>{model_}, [this](archive& to) { corrections_.state(to); },
                                        numbers_.texts(), folder, how);
  }
  /// What was saved at the same round as the server's checkpoint. What cannot be loaded changes nothing; returns in
  /// words in which numbers the two differ.
  template <class Folder>
  std::vector<std::string> load(const Folder& folder) {
    detail::require_checkpoints<Folder>();
    if constexpr (detail::has_checkpoints<Folder>)
      return detail::checkpoints<Folder>::load(alone_, flat_model<T>{model_},
                                               [this](archive& to) { corrections_.state(to); }, numbers_.texts(),
                                               folder);
    else
      return {};
  }

private:
  template <class Population>
  void enter(Population& people, std::span<const int> own) {
    std::vector<detail::entered_client> all;
    for (const int client : own) all.push_back({client, double(people.examples(client))});
    std::vector<std::byte> message;
    detail::encode_enter(message, all);
    mail_.send(0, std::move(message));
  }
  void depart() {
    std::vector<std::byte> message;
    detail::message_writer{message, detail::round_message::depart};
    mail_.send(0, std::move(message));
  }
  /// Work on another model than the one that came last is none.
  std::optional<detail::round_work> work_on_the_model(std::span<const std::byte> message) const {
    auto work = detail::decode_work(message);
    return work && work->model == model_after_ ? work : std::nullopt;
  }
  template <class Told>
  Told require(std::optional<Told> told, std::span<const std::byte> message) const {
    if (!told)
      throw error{{.code = error_code::bad_data,
                   .call = "round_client::serve",
                   .peer = 0,
                   .detail = "the server has sent " + std::to_string(message.size()) +
                             " bytes that are no work on a model of " + std::to_string(received_.size()) +
                             " values - give the parameters that the server has"}};
    return std::move(*told);
  }
  template <class Population>
  void train(Population& people, std::size_t place, const detail::round_work& work) {
    const int client = work.clients[place];
    const bool keeps = work.keeps.what != client_keeps::nothing;
    if (keeps) common_.resize(received_.size()); // zeros of duals
    local_.ask(work.epochs, work.proximal);
    local_.begin(received_, work.round,
                 keeps ? corrections_.of(client, common_) : std::span<const T>{});
    detail::round_update update{work.round, client, {}};
    const random_stream random{work.seed, work.round, std::uint64_t(client)};
    if constexpr (std::same_as<decltype(people.train(client, local_, random)), trained>)
      update.said = people.train(client, local_, random);
    else
      people.train(client, local_, random);
    const std::span<const T> values = local_.parameters();
    for (std::size_t i = 0; i < values.size(); ++i) differences_[i] = received_[i] - values[i];
    std::span<const T> told = differences_, change;
    if (!local_.contributes()) told = {};
    if (keeps && local_.contributes()) change = corrections_.keep(work.keeps, client, work.round, local_, common_);
    std::vector<std::byte> message;
    detail::encode_update<T>(message, update, told, work.keeps.what == client_keeps::variates ? change : told.first(0));
    mail_.send(0, std::move(message));
  }

  std::vector<tensor<T>> model_;
  local_training<T, Optimizer> local_;
  std::vector<T> received_, common_, differences_;
  detail::own_corrections<T> corrections_;
  detail::compared_numbers numbers_; ///< of the optimizer, as it was given
  self own_rank_;
  control_on<self> alone_{own_rank_, {}};
  std::int64_t model_after_ = -1; ///< steps of the server
  detail::rank_mail<Comm> mail_;
};

template <class Comm, class Parameters, class Optimizer>
round_client(Comm&, Parameters&&, Optimizer, options = {})
    -> round_client<detail::tensor_element<Parameters>, Comm, Optimizer>;

} // namespace tutti
