#include "common/optim/parameters.hpp"

#include <algorithm>
#include <optional>

#include "common/base/text.hpp"

namespace trainyard::optim {
namespace {

constexpr std::size_t names_listed_max = 3;

/// Of the characters of `pattern` that are not wild, the most that begin `name`, or that it shares in order:
/// what a person would have meant comes out on top.
std::size_t likeness(std::string_view pattern, std::string_view name) {
  std::size_t at = 0, found = 0;
  for (const char c : pattern) {
    if (c == '*' || c == '?') continue;
    const auto next = name.find(c, at);
    if (next == std::string_view::npos) continue;
    at = next + 1;
    ++found;
  }
  return found;
}

Error unmatched(const std::string& place, const std::string& pattern, std::span<const NamedTensor> tensors) {
  std::vector<std::string> names;
  for (const NamedTensor& tensor : tensors) names.push_back(tensor.name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return likeness(pattern, a) > likeness(pattern, b);
  });
  if (names.size() > names_listed_max) names.resize(names_listed_max);
  return {Errc::invalid,
          format("{}: '{}' matches no tensor; the nearest are {}", place, pattern, join(names, ", "))};
}

std::optional<Error> find_unmatched(const config::TrainSection& train, std::span<const NamedTensor> tensors) {
  const auto found = [&](const std::string& pattern) {
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](const NamedTensor& tensor) { return matches(pattern, tensor.name); });
  };
  for (std::size_t i = 0; i < train.optimizer.no_decay.size(); ++i) {
    const std::string& pattern = train.optimizer.no_decay[i];
    if (!found(pattern)) return unmatched(format("train.optimizer.no_decay[{}]", i), pattern, tensors);
  }
  for (std::size_t i = 0; i < train.parameters.size(); ++i) {
    const std::string& pattern = train.parameters[i].match;
    if (!found(pattern)) return unmatched(format("train.parameters[{}].match", i), pattern, tensors);
  }
  return std::nullopt;
}

double usual_decay(const config::OptimizerSection& optimizer, const NamedTensor& tensor) {
  if (tensor.kind != ValueKind::weight) return 0;
  for (const std::string& pattern : optimizer.no_decay) {
    if (matches(pattern, tensor.name)) return 0;
  }
  return optimizer.kind == config::OptimizerKind::ftrl ? 1 : optimizer.weight_decay;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  // A mismatch goes back to the last star alone, so that the time is bounded by the product of the lengths.
  std::size_t at = 0, in_name = 0;
  std::optional<std::size_t> star;
  std::size_t star_covers = 0;
  while (in_name < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_covers = in_name;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == name[in_name])) {
      ++at;
      ++in_name;
    } else if (star) {
      at = *star + 1;
      in_name = ++star_covers;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

Result<std::vector<TensorSize>> tensor_sizes(const config::TrainSection& train,
                                             std::span<const NamedTensor> tensors) {
  if (auto error = find_unmatched(train, tensors)) return *std::move(error);
  std::vector<TensorSize> out;
  bool trains = false;
  for (const NamedTensor& tensor : tensors) {
    TensorSize& size = out.emplace_back();
    size.length = tensor.length;
    size.kind = static_cast<std::uint8_t>(tensor.kind);
    size.decay = usual_decay(train.optimizer, tensor);
    for (const config::ParameterRule& rule : train.parameters) {
      if (!matches(rule.match, tensor.name)) continue;
      if (rule.learning_rate) size.rate = *rule.learning_rate;
      if (rule.weight_decay) size.decay = *rule.weight_decay;
      if (rule.freeze) size.frozen = *rule.freeze;
    }
    trains = trains || (tensor.kind != ValueKind::buffer && !size.frozen && size.length > 0);
  }
  if (!trains)
    return Error{Errc::invalid, "train.parameters: every tensor is frozen, nothing is left to train"};
  return out;
}

}  // namespace trainyard::optim
