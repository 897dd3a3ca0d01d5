// Rules of training options: what cannot work, and which tensors they are about.
#pragma once

#include <tutti/core/tensor.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/updating.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What is wrong with the answers of a policy, whose period is `period` in some step; empty when nothing is.
inline std::string wrong_answers(const answers& policy, int period) {
  std::string wrong;
  detail::each_wrong_answer(policy, period, [&](const char*, std::string why) {
    if (wrong.empty()) wrong = std::move(why);
  });
  return wrong;
}
/// The same, and with options.
inline std::string wrong_options(const training_options& how, const answers& policy, int period) {
  if (std::string wrong = detail::wrong_answers(policy, period); !wrong.empty()) return wrong;
  if (!(how.clip >= 0)) return "training_options::clip is negative or not a number - give the greatest norm, or 0";
  const loss_scaling& s = how.loss_scale;
  constexpr double most = 1e38; // that a float holds
  if (how.learns_order)
    return "an order is learnt where gradients are seen to become complete, by tutti::torch::data_parallel - give "
           "tensors in the order of the forward pass, and leave learns_order out";
  if (!(s.initial > 0 && s.initial <= most))
    return "the scale of the loss is not greater than 0 and finite - give loss_scale.initial above 0, or "
           "leave it out";
  if (s.growth == 1) return {};
  if (!(s.growth > 1) || !(s.backoff > 1) || s.every < 1)
    return "the scale of the loss cannot adapt - give a growth of at least 1, a backoff above 1, and every "
           "of at least 1 step";
  if (!(s.least > 0 && s.least <= s.initial && s.initial <= s.greatest && s.greatest <= most))
    return "the scale of the loss has no room to adapt - give loss_scale.least above 0, a finite greatest, and "
           "initial between them";
  if (how.non_finite == non_finite::pass)
    return "non_finite::pass lets pass what a scale of the loss adapts to - give non_finite::skip, or a growth "
           "of 1";
  return {};
}

/// Finds the tensors of groups and of frozen names, freeze(k) for each of the latter. What is wrong with
/// a rule; empty when nothing is.
template <class T, class Freeze>
std::string apply_rules(const training_options& how, std::span<const tensor<T>> tensors,
                        std::vector<group_factors>& groups, Freeze&& freeze) {
  std::vector<int> claimed(tensors.size(), -1);
  for (std::size_t g = 0; g < how.groups.size(); ++g) {
    const parameter_group& rule = how.groups[g];
    if (!std::isfinite(rule.rate) || !std::isfinite(rule.decay))
      return "the rate or the decay of the parameter group \"" + rule.names +
             "\" is not finite - give what the optimizer's is multiplied by";
    bool any = false;
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      const auto& shape = tensors[k].shape;
      const int dimensions = shape.empty() ? 1 : int(shape.size());
      if (!detail::matches(rule.names, tensors[k].name) ||
          (rule.dimensions >= 0 && rule.dimensions != dimensions))
        continue;
      if (claimed[k] >= 0)
        return "the parameter groups \"" + how.groups[std::size_t(claimed[k])].names + "\" and \"" +
               rule.names + "\" both have \"" + tensors[k].name + "\" - give each tensor one group";
      any = true;
      claimed[k] = int(g);
      groups[k] = {rule.rate, rule.decay};
    }
    if (!any)
      return "the parameter group \"" + rule.names + "\" matches no tensor - \"*\" stands for any letters";
  }
  for (const std::string& names : how.frozen) {
    bool any = false;
    for (std::size_t k = 0; k < tensors.size(); ++k)
      if (detail::matches(names, tensors[k].name)) freeze(k), any = true;
    if (!any) return "frozen \"" + names + "\" matches no tensor - \"*\" stands for any letters";
  }
  return {};
}

} // namespace tutti::detail
