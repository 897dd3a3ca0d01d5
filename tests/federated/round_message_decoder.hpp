// Messages of rounds from whatever bytes: there is one way alone to write what is read.
#pragma once

#include <tutti/federated/round_messages.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

namespace decoders {

/// Whether the bytes are a message about a model of five values. Throws when they are, and are written otherwise.
inline bool try_round_message(std::span<const std::byte> bytes) {
  namespace d = tutti::detail;
  std::vector<std::byte> again;
  std::array<float, 5> model{};
  std::vector<float> common;
  if (const auto clients = d::decode_enter(bytes)) {
    d::encode_enter(again, *clients);
  } else if (const auto steps = d::decode_model<float>(bytes, model, common)) {
    const tutti::tensor<float> whole[] = {{"", model, {5}}};
    d::encode_model<float>(again, *steps, whole, common);
  } else if (const auto work = d::decode_work(bytes)) {
    d::encode_work(again, *work);
  } else if (const auto update = d::decode_update<float>(bytes, model.size())) {
    d::copy_values<float>(update->values, model);
    common.resize(update->change.size() / sizeof(float));
    d::copy_values<float>(update->change, common);
    const std::span<const float> values = model;
    d::encode_update<float>(again, update->told, values.first(update->values.size() / sizeof(float)), common);
  } else {
    return false;
  }
  if (!std::ranges::equal(bytes, again)) throw std::logic_error{"a message is written otherwise than it was read"};
  return true;
}

} // namespace decoders
