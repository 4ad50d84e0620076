#include <map>

#include "common/base/text.hpp"
#include "common/graph/draw/draw.hpp"
#include "common/graph/draw/picture.hpp"

namespace trainyard::graph {
namespace {

/// In double quotes, as DOT has them.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string label_of(const Box& box) {
  std::string out = box.title;
  if (!box.more.empty()) out += ", " + box.more;
  for (const std::string* line : {&box.name, &box.result})
    if (!line->empty()) out += "\n" + *line;
  std::string escaped;
  for (const char c : quoted(out)) escaped += c == '\n' ? std::string("\\n") : std::string(1, c);
  return escaped;
}

}  // namespace

std::string to_dot(const Model& model, const std::string& title) {
  const Picture picture = picture_of(model);
  std::map<std::string, std::string> groups;
  std::string out = format("digraph {} {{\n  label={}; labelloc=t;\n", quoted(title), quoted(title));
  out += "  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10];\n";
  for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
    const Box& box = picture.boxes[i];
    const std::string line = format("n{} [label={}];\n", i, label_of(box));
    if (box.group.empty())
      out += "  " + line;
    else
      groups[box.group] += "    " + line;
  }
  std::size_t count = 0;
  for (const auto& [name, lines] : groups)
    out +=
        format("  subgraph cluster_{} {{\n    label={}; color=gray;\n{}  }}\n", count++, quoted(name), lines);
  for (const Arrow& arrow : picture.arrows) out += format("  n{} -> n{};\n", arrow.from, arrow.to);
  return out + "}\n";
}

}  // namespace trainyard::graph
