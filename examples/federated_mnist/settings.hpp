// What federated_mnist is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace federated_mnist {

struct settings {
  int ranks = 2, rounds = 200, clients = 100, epochs = 1, batch = 10;
  double fraction = 0.1, learning_rate = 0.1;
  std::string model = "2nn", partition = "iid";
  int shards = 2;                                  ///< each, of --partition shards
  double alpha = 0.3, exponent = 1;                ///< of dirichlet and power_law
  std::string rule = "fed_avg";
  double server_rate = 0, momentum = 0.9, mu = 0.1; ///< a rate of 0 is the rule's own
  int buffer = 10;        ///< answers to a step of fed_buff
  double staleness = 0.5; ///< its exponent
  std::string aggregator = "mean";
  int assumed = 0, bucket = 1; ///< how many attackers an aggregator is to stand; clients in a bucket
  double radius = 1;
  std::string attack = "none";
  int attackers = 0;
  double strength = 0; ///< 0 is the attack's own
  double epsilon = 0, delta = 1e-5, clip = 0;
  bool secure = false;
  double until = 2, at_least = 0;
  std::uint64_t seed = 1;
  std::string plot, json, onnx;
};

inline const std::vector<std::string> model_names{"2nn", "lr"};
inline const std::vector<std::string> partitions{"iid", "shards", "dirichlet", "power_law"};
inline const std::vector<std::string> rules{"fed_avg",  "fed_sgd",  "fed_prox", "fed_avgm", "fed_adagrad",
                                            "fed_adam", "fed_yogi", "scaffold", "fed_nova", "fed_dyn",
                                            "fed_buff"};
inline const std::vector<std::string> aggregators{
    "mean",   "krum",         "multi_krum",       "bulyan",
    "median", "trimmed_mean", "geometric_median", "centered_clipping",
    "norm_clipping"};
inline const std::vector<std::string> attacks{"none",     "sign_flip",          "label_flip",
                                              "gaussian", "a_little_is_enough", "inner_product"};

} // namespace federated_mnist
