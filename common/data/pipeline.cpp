#include <algorithm>
#include <cmath>

#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "common/data/loader.hpp"

namespace trainyard::data {

namespace {

/// A picture as floats 0..1, channels apart.
struct Planes {
  std::uint32_t channels = 0, height = 0, width = 0;
  std::vector<float> values;
};

/// A part of the picture in its pixels; edges may lie between them.
struct Region {
  double top = 0, left = 0, height = 0, width = 0;
};

/// Weights of the input samples of one output line: a triangle as wide as one output pixel, so that shrinking
/// averages and growing interpolates (as Pillow's BILINEAR does).
struct Taps {
  std::uint32_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> taps_for(double start, double length, std::uint32_t size_in, std::uint32_t size_out) {
  std::vector<Taps> all(size_out);
  const double scale = length / size_out;
  const double support = std::max(1.0, scale);
  for (std::uint32_t i = 0; i < size_out; ++i) {
    const double centre = start + (i + 0.5) * scale;
    const auto low = static_cast<std::int64_t>(std::max(0.0, std::floor(centre - support)));
    const auto high =
        std::min<std::int64_t>(size_in - 1, static_cast<std::int64_t>(std::ceil(centre + support)));
    Taps taps{static_cast<std::uint32_t>(low), {}};
    double sum = 0;
    for (std::int64_t j = low; j <= high; ++j) {
      const double weight = std::max(0.0, 1.0 - std::abs((static_cast<double>(j) + 0.5 - centre) / support));
      taps.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (float& weight : taps.weights) weight = static_cast<float>(weight / sum);
    all[i] = std::move(taps);
  }
  return all;
}

Planes resample(const Planes& in, const Region& region, std::uint32_t height, std::uint32_t width) {
  const auto columns = taps_for(region.left, region.width, in.width, width);
  const auto rows = taps_for(region.top, region.height, in.height, height);
  Planes out{in.channels, height, width, std::vector<float>(std::size_t{in.channels} * height * width)};
  std::vector<float> narrow(std::size_t{in.height} * width);
  for (std::uint32_t c = 0; c < in.channels; ++c) {
    const float* plane = in.values.data() + std::size_t{c} * in.height * in.width;
    for (std::uint32_t y = 0; y < in.height; ++y) {
      for (std::uint32_t x = 0; x < width; ++x) {
        float sum = 0;
        const Taps& taps = columns[x];
        for (std::size_t k = 0; k < taps.weights.size(); ++k)
          sum += taps.weights[k] * plane[std::size_t{y} * in.width + taps.first + k];
        narrow[std::size_t{y} * width + x] = sum;
      }
    }
    float* to = out.values.data() + std::size_t{c} * height * width;
    for (std::uint32_t y = 0; y < height; ++y) {
      const Taps& taps = rows[y];
      for (std::size_t k = 0; k < taps.weights.size(); ++k) {
        const float* from = narrow.data() + (taps.first + k) * width;
        for (std::uint32_t x = 0; x < width; ++x) to[std::size_t{y} * width + x] += taps.weights[k] * from[x];
      }
    }
  }
  return out;
}

Planes planes_of(const Image& image) {
  Planes planes{image.channels, image.height, image.width, std::vector<float>(image.pixels.size())};
  const std::size_t area = std::size_t{image.height} * image.width;
  for (std::size_t i = 0; i < area; ++i) {
    for (std::uint32_t c = 0; c < image.channels; ++c)
      planes.values[c * area + i] =
          static_cast<float>(image.pixels[i * image.channels + c]) * (1.0f / 255.0f);
  }
  return planes;
}

/// Random resized crop, as Szegedy et al., 2015, section 6 describe it: a part of the area, at an aspect of
/// 3/4..4/3.
Region random_region(const Planes& planes, const config::Transform& transform, Random& random) {
  const double width = planes.width, height = planes.height;
  if (transform.scale_min >= 1.0) {
    const double h = std::min<double>(height, transform.height), w = std::min<double>(width, transform.width);
    return {std::floor(random.uniform(0, height - h + 1)), std::floor(random.uniform(0, width - w + 1)), h,
            w};
  }
  const double area = random.uniform(transform.scale_min, 1.0) * width * height;
  const double aspect = std::exp(random.uniform(std::log(3.0 / 4.0), std::log(4.0 / 3.0)));
  const double w = std::min(width, std::sqrt(area * aspect)), h = std::min(height, std::sqrt(area / aspect));
  return {random.uniform(0, height - h), random.uniform(0, width - w), h, w};
}

/// The middle: all of the picture where crops keep a part of the area, else the crop's own size.
Region centre_region(const Planes& planes, const config::Transform& transform) {
  if (transform.scale_min < 1.0)
    return {0, 0, static_cast<double>(planes.height), static_cast<double>(planes.width)};
  const double h = std::min<double>(planes.height, transform.height),
               w = std::min<double>(planes.width, transform.width);
  return {std::floor((planes.height - h) / 2), std::floor((planes.width - w) / 2), h, w};
}

void flip(Planes& planes) {
  for (std::size_t row = 0; row < std::size_t{planes.channels} * planes.height; ++row) {
    const auto begin = planes.values.begin() + static_cast<std::ptrdiff_t>(row * planes.width);
    std::reverse(begin, begin + planes.width);
  }
}

void normalize(Planes& planes, const config::Transform& transform) {
  const std::size_t area = std::size_t{planes.height} * planes.width;
  for (std::uint32_t c = 0; c < planes.channels; ++c) {
    for (std::size_t i = 0; i < area; ++i) {
      float& value = planes.values[c * area + i];
      value = (value - transform.mean[c]) / transform.deviation[c];
    }
  }
}

}  // namespace

Result<Pipeline> Pipeline::make(const std::vector<config::Transform>& transforms, const Dataset& dataset) {
  Pipeline pipeline;
  pipeline.transforms_ = transforms;
  pipeline.channels_ = dataset.channels();
  for (const config::Transform& transform : transforms) {
    using Kind = config::Transform::Kind;
    if (transform.kind == Kind::resize || transform.kind == Kind::crop) {
      pipeline.height_ = transform.height;
      pipeline.width_ = transform.width;
    }
    if (transform.kind == Kind::normalize &&
        (transform.mean.size() != pipeline.channels_ || transform.deviation.size() != pipeline.channels_))
      return Error{
          Errc::invalid,
          format("data.transform: normalize has {} means and {} deviations, the pictures have {} channel(s)",
                 transform.mean.size(), transform.deviation.size(), pipeline.channels_)};
  }
  if (pipeline.height_ == 0 && dataset.channels() == 1 && dataset.size() > 0) {
    const auto first = dataset.read(0, 0, 0);  // digits are all of one size
    if (!first) return first.error();
    pipeline.height_ = first->height;
    pipeline.width_ = first->width;
  }
  if (pipeline.height_ == 0)
    return Error{
        Errc::invalid,
        "data.transform: pictures differ in size; add a resize or a crop, for example {resize: [64, 64]}"};
  return pipeline;
}

std::uint32_t Pipeline::height_wanted() const {
  for (const config::Transform& transform : transforms_) {
    if (transform.kind == config::Transform::Kind::resize) return transform.height;
    // A crop of part of the area still wants enough pixels in that part.
    if (transform.kind == config::Transform::Kind::crop && transform.scale_min < 1.0)
      return static_cast<std::uint32_t>(transform.height / std::sqrt(transform.scale_min));
  }
  return 0;
}

std::uint32_t Pipeline::width_wanted() const {
  for (const config::Transform& transform : transforms_) {
    if (transform.kind == config::Transform::Kind::resize) return transform.width;
    if (transform.kind == config::Transform::Kind::crop && transform.scale_min < 1.0)
      return static_cast<std::uint32_t>(transform.width / std::sqrt(transform.scale_min));
  }
  return 0;
}

Status Pipeline::apply(const Image& image, bool training, std::uint64_t seed, std::span<float> out) const {
  using Kind = config::Transform::Kind;
  check(out.size() == floats(), "the room for a picture has another size");
  if (image.channels != channels_)
    return Error{Errc::corrupt, format("{} channels instead of {}", image.channels, channels_)};
  Planes planes = planes_of(image);
  Random random(seed);
  for (const config::Transform& transform : transforms_) {
    switch (transform.kind) {
      case Kind::resize:
        planes =
            resample(planes, {0, 0, static_cast<double>(planes.height), static_cast<double>(planes.width)},
                     transform.height, transform.width);
        break;
      case Kind::crop:
        planes = resample(
            planes, training ? random_region(planes, transform, random) : centre_region(planes, transform),
            transform.height, transform.width);
        break;
      case Kind::flip:
        if (training && random.chance(0.5)) flip(planes);
        break;
      case Kind::normalize:
        normalize(planes, transform);
        break;
    }
  }
  if (planes.height != height_ || planes.width != width_)
    return Error{Errc::corrupt,
                 format("{} x {} pixels instead of {} x {}", planes.height, planes.width, height_, width_)};
  std::copy(planes.values.begin(), planes.values.end(), out.begin());
  return {};
}

}  // namespace trainyard::data
