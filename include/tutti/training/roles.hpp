// Roles: what a tensor is to its model, by its name and shape.
#pragma once

#include <tutti/core/tensor.hpp>
#include <tutti/training/options.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

namespace detail {

inline std::string_view text_of_role(parameter_role role) {
  constexpr std::string_view names[] = {"values", "vector", "matrix", "embedding", "head"};
  return names[std::size_t(role)];
}
inline parameter_role role_by_name(std::string_view name, std::size_t dimensions) {
  if (dimensions <= 1) return parameter_role::vector;
  for (const std::string_view pattern : {"*embed*", "wte*", "*.wte*", "wpe*", "*.wpe*"})
    if (detail::matches(pattern, name)) return parameter_role::embedding;
  for (const std::string_view pattern : {"head", "head.*", "*.head", "*.head.*", "*lm_head*"})
    if (detail::matches(pattern, name)) return parameter_role::head;
  return parameter_role::matrix;
}

} // namespace detail

/// Of a tensor with this name and shape: what the first rule that matches says; otherwise `values` where it has no
/// shape, `vector` of one dimension, and of more what its name says - `embedding` where that has "embed" in it, `head`
/// where "head" is a part of it between dots, and `matrix` in all other cases.
inline parameter_role role_of(std::string_view name, std::span<const std::int64_t> shape,
                              std::span<const role_rule> rules = {}) {
  const int dimensions = shape.empty() ? 1 : int(shape.size());
  for (const role_rule& rule : rules)
    if (detail::matches(rule.names, name) && (rule.dimensions < 0 || rule.dimensions == dimensions)) return rule.role;
  return shape.empty() ? parameter_role::values : detail::role_by_name(name, shape.size());
}

namespace detail {

/// Of all tensors; what is wrong with a rule is written into `wrong`.
template <class T>
std::vector<parameter_role> roles_of(const training_options& how, std::span<const tensor<T>> tensors,
                                     std::string& wrong) {
  for (const role_rule& rule : how.roles) {
    bool any = false;
    for (const tensor<T>& t : tensors) any = any || detail::matches(rule.names, t.name);
    if (!any && wrong.empty())
      wrong = "the role of \"" + rule.names + "\" is that of no tensor - \"*\" stands for any letters";
  }
  std::vector<parameter_role> all;
  for (const tensor<T>& t : tensors) {
    all.push_back(tutti::role_of(t.name, t.shape, how.roles));
    if (all.back() == parameter_role::matrix && t.shape.size() < 2 && wrong.empty())
      wrong = "\"" + t.name + "\" (" + text_of_shape(t) + ") has the role of a matrix, and no rows and columns - give " +
              "it a shape of two dimensions or more, or another role";
  }
  return all;
}

/// What is wrong with tensors for an optimizer of matrices; empty when nothing is.
template <class T>
std::string without_matrices(const training_options& how, std::span<const tensor<T>> tensors) {
  std::string wrong;
  const auto roles = detail::roles_of(how, tensors, wrong);
  for (std::size_t k = 0; k < roles.size() && wrong.empty(); ++k)
    if (roles[k] == parameter_role::matrix) return {};
  if (!wrong.empty()) return wrong;
  return "the optimizer takes whole matrices, and no tensor is one" +
         (tensors.empty() ? std::string{}
                          : ": \"" + tensors[0].name + "\" (" + text_of_shape(tensors[0]) + ") has the role " +
                                std::string{text_of_role(roles[0])}) +
         " - give tensors their shapes, name a role in training_options::roles, or use an elementwise optimizer";
}

} // namespace detail
} // namespace tutti
