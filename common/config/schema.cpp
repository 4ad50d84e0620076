#include "common/config/schema.hpp"

#include <algorithm>
#include <tuple>

#include "common/base/text.hpp"

namespace trainyard::config {

constexpr std::size_t problems_max = 100;

void Problems::add(const Place& place, const std::string& path, const std::string& message) {
  if (found_.size() < problems_max) found_.push_back({place, path, message});
}

std::string Problems::text(const std::string& file, const std::vector<std::string>& overrides) const {
  std::vector<Problem> sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.place.origin, a.place.line, a.place.column) <
           std::tie(b.place.origin, b.place.line, b.place.column);
  });
  std::string out;
  for (const Problem& problem : sorted) {
    if (!out.empty()) out += '\n';
    const auto origin = static_cast<std::size_t>(problem.place.origin);
    if (problem.place.origin >= 0 && origin < overrides.size()) {
      out += format("--set {}: ", overrides[origin]);
    } else {
      out += format("{}:{}:{}: ", file, problem.place.line, problem.place.column);
    }
    out += problem.path.empty() ? problem.message : problem.path + ": " + problem.message;
  }
  if (found_.size() == problems_max)
    out += format("\n{}: only the first {} problems are listed", file, problems_max);
  return out;
}

std::string child_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

std::string description(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return format("'{}'", shortened(node.text));
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a map";
  }
  return "?";
}

namespace {

/// What PyTorch and Keras call options that have another name here.
constexpr std::pair<const char*, const char*> foreign_names[] = {
    {"out_channels", "filters"},
    {"out_channels", "units"},
    {"kernel_size", "kernel"},
    {"kernel_size", "size"},
    {"strides", "stride"},
    {"dilation_rate", "dilation"},
    {"use_bias", "bias"},
    {"depth_multiplier", "multiplier"},
    {"out_features", "units"},
    {"hidden_size", "units"},
    {"pool_size", "size"},
    {"output_size", "size"},
    {"scale_factor", "size"},
    {"interpolation", "mode"},
    {"ceil_mode", "ceil"},
    {"count_include_pad", "count_padding"},
    {"num_groups", "groups"},
    {"eps", "epsilon"},
    {"elementwise_affine", "affine"},
    {"negative_slope", "alpha"},
    {"num_embeddings", "input_dim"},
    {"embedding_dim", "output_dim"},
    {"return_sequences", "return"},
    {"num_heads", "heads"},
    {"nhead", "heads"},
    {"dim_feedforward", "feedforward"},
    {"p", "rate"},
    {"p", "dropout"},
    {"target_shape", "shape"},
    {"dims", "axes"},
    {"dim", "axis"},
    {"inputs", "from"},
    {"num_layers", "depth"},
};

std::optional<std::string> meant(const std::string& word, const std::vector<std::string>& known) {
  for (const auto& [foreign, own] : foreign_names) {
    if (word == foreign && std::find(known.begin(), known.end(), own) != known.end()) return own;
  }
  return nearest(word, known);
}

}  // namespace

void unknown_key(const Entry& entry, const std::string& path, const std::vector<std::string>& known,
                 Problems& problems) {
  const auto hint = meant(entry.key, known);
  std::string message = format("unknown key '{}'", shortened(entry.key));
  if (hint)
    message += format("; did you mean '{}'?", *hint);
  else
    message += format("; known here: {}", join(known, ", "));
  problems.add(entry.place, path, message);
}

bool expect_map(const Node& node, const std::string& path, Problems& problems) {
  if (node.kind == Node::Kind::map || node.kind == Node::Kind::null) return true;
  problems.add(node.place, path, format("expected a map of keys, got {}", description(node)));
  return false;
}

Json schema_of_object(const Json& properties, const std::vector<std::string>& required) {
  Json out{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) out["required"] = required;
  return out;
}

void reference_row(const std::string& path, const std::string& type, const std::string& default_text,
                   const std::string& doc, std::string& out) {
  const auto cell = [](const std::string& text) {
    std::string escaped;
    for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
    return escaped;
  };
  out += format("| `{}` | {} | {} | {} |\n", path, cell(type),
                default_text.empty() ? "" : "`" + cell(default_text) + "`", cell(doc));
}

}  // namespace trainyard::config
