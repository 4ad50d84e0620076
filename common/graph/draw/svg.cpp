#include <algorithm>
#include <map>

#include "common/base/text.hpp"
#include "common/graph/draw/draw.hpp"
#include "common/graph/draw/picture.hpp"

namespace trainyard::graph {
namespace {

constexpr double line_height = 14, box_padding = 8, title_room = 44, frame_gap = 9;
constexpr double title_advance = 7.9, small_advance = 5.9;  // widths of a character, on average

constexpr const char* style = R"(
  text { font: 11px "DejaVu Sans", "Segoe UI", system-ui, sans-serif; fill: #1c2733; text-anchor: middle; }
  .head { font-size: 17px; font-weight: 600; text-anchor: start; }
  .title { font-size: 12px; font-weight: 600; }
  .small { font-size: 10px; fill: #5a6878; }
  .frame { fill: #f3f6f9; stroke: #d3dce5; }
  .block { font-size: 10px; fill: #7b8895; text-anchor: start; }
  path { fill: none; stroke: #8795a3; stroke-width: 1.4; }
  .input, .output { fill: #e6eaee; stroke: #93a1ae; }
  .linear { fill: #d5e6f9; stroke: #5b93cf; }
  .norm { fill: #e9e3f7; stroke: #9a82cf; }
  .activation { fill: #fdeecb; stroke: #d0a449; }
  .pool { fill: #fbdccf; stroke: #d9855f; }
  .movement { fill: #edf0f2; stroke: #a6b1bb; }
  .merge { fill: #d8f0de; stroke: #5dae74; }
  .sequence { fill: #d0eff0; stroke: #4ba6a9; }
)";

const char* class_of(Box::Family family) {
  constexpr const char* names[] = {"input",    "linear", "norm",     "activation", "pool",
                                   "movement", "merge",  "sequence", "output"};
  return names[static_cast<std::size_t>(family)];
}

struct Line {
  const char* kind;
  std::string text;
};

std::vector<Line> lines_of(const Box& box) {
  std::vector<Line> lines{{"title", box.title}};
  if (!box.more.empty()) lines.push_back({"small", box.more});
  std::string last = box.name == box.title ? "" : box.name;
  if (!box.result.empty()) last += (last.empty() ? "" : ": ") + box.result;
  if (!last.empty()) lines.push_back({"small", last});
  return lines;
}

BoxSize size_of(const Box& box) {
  double width = 60;
  const auto lines = lines_of(box);
  for (const Line& line : lines) {
    const bool title = line.kind == std::string_view("title");
    width = std::max(width, static_cast<double>(line.text.size()) * (title ? title_advance : small_advance));
  }
  return {width + 2 * box_padding, static_cast<double>(lines.size()) * line_height + box_padding};
}

/// Straight down where it can be, else curves that leave and arrive upright.
std::string route_path(const std::vector<Point>& route) {
  std::string out = format("M{:.1f} {:.1f}", route[0].x, route[0].y);
  for (std::size_t i = 1; i < route.size(); ++i) {
    const Point &from = route[i - 1], &to = route[i];
    if (std::abs(from.x - to.x) < 0.5) {
      out += format("L{:.1f} {:.1f}", to.x, to.y);
      continue;
    }
    const double half = (from.y + to.y) / 2;
    out += format("C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", from.x, half, to.x, half, to.x, to.y);
  }
  return out;
}

struct Frame {
  double left = 1e9, top = 1e9, right = -1e9, bottom = -1e9;
  std::size_t boxes = 0;
  bool meets(double l, double t, double r, double b) const {
    return l < right && r > left && t < bottom && b > top;
  }
};

/// Around the blocks that have room for it: no foreign box may lie inside.
std::map<std::string, Frame> frames_of(const Picture& picture, const Layout& layout,
                                       const std::vector<BoxSize>& sizes) {
  std::map<std::string, Frame> frames;
  const auto edges = [&](std::size_t i) {
    const Point& at = layout.centers[i];
    return std::array{at.x - sizes[i].width / 2, at.y - sizes[i].height / 2, at.x + sizes[i].width / 2,
                      at.y + sizes[i].height / 2};
  };
  for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
    if (picture.boxes[i].group.empty()) continue;
    Frame& frame = frames[picture.boxes[i].group];
    const auto [left, top, right, bottom] = edges(i);
    frame.left = std::min(frame.left, left - frame_gap);
    frame.top = std::min(frame.top, top - frame_gap);
    frame.right = std::max(frame.right, right + frame_gap);
    frame.bottom = std::max(frame.bottom, bottom + frame_gap);
    ++frame.boxes;
  }
  // What passes by inside of a block on its way to the end of it lies in the frame.
  for (std::size_t a = 0; a < picture.arrows.size(); ++a) {
    const auto it = frames.find(picture.boxes[picture.arrows[a].to].group);
    if (it == frames.end()) continue;
    const auto& route = layout.routes[a];
    for (std::size_t k = 1; k + 1 < route.size(); ++k) {
      it->second.left = std::min(it->second.left, route[k].x - frame_gap);
      it->second.right = std::max(it->second.right, route[k].x + frame_gap);
    }
  }
  std::erase_if(frames, [&](const auto& entry) {
    for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
      const auto [left, top, right, bottom] = edges(i);
      if (picture.boxes[i].group != entry.first && entry.second.meets(left, top, right, bottom)) return true;
    }
    return entry.second.boxes < 2;
  });
  return frames;
}

}  // namespace

std::string to_svg(const Model& model, const std::string& title) {
  const Picture picture = picture_of(model);
  std::vector<BoxSize> sizes;
  for (const Box& box : picture.boxes) sizes.push_back(size_of(box));
  const Layout layout = layered_layout(sizes, picture.arrows);
  const double title_width = static_cast<double>(title.size()) * 10 + 48;
  const double width = std::max(layout.width, title_width), height = layout.height + title_room;
  std::string out = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
      "{1:.0f}\">\n<style>{2}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
      "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><polygon points=\"0,0.8 8,4 0,7.2\" "
      "fill=\"#8795a3\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      "<text class=\"head\" x=\"24\" y=\"30\">{3}</text>\n<g transform=\"translate({4:.1f} {5:.0f})\">\n",
      width, height, style, escape_html(title), (width - layout.width) / 2, title_room);
  for (const auto& [name, frame] : frames_of(picture, layout, sizes)) {
    out += format(
        "<rect class=\"frame\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"8\"/>\n",
        frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top);
    out += format(
        "<text class=\"block\" x=\"{:.1f}\" y=\"{:.1f}\" transform=\"rotate(90 {:.1f} {:.1f})\">{}"
        "</text>\n",
        frame.right + 4, frame.top + 6, frame.right + 4, frame.top + 6, escape_html(name));
  }
  for (const auto& route : layout.routes)
    out += format("<path d=\"{}\" marker-end=\"url(#tip)\"/>\n", route_path(route));
  for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
    const Point& at = layout.centers[i];
    out +=
        format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"5\"/>\n",
               class_of(picture.boxes[i].family), at.x - sizes[i].width / 2, at.y - sizes[i].height / 2,
               sizes[i].width, sizes[i].height);
    double y = at.y - sizes[i].height / 2 + box_padding / 2 + line_height - 3.5;
    for (const Line& line : lines_of(picture.boxes[i])) {
      out += format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", line.kind, at.x, y,
                    escape_html(line.text));
      y += line_height;
    }
  }
  return out + "</g>\n</svg>\n";
}

}  // namespace trainyard::graph
