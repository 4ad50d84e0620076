// Whole networks whose memory is a device's beside the same ones on the processor. Which device is each
// program's own.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/graph/finite.hpp"
#include "common/graph/network.hpp"
#include "common/ops/device.hpp"
#include "tests/kernels/cuda_host/backend.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard::graph::test {
namespace {

constexpr InputShape kShape{3, 12, 11};

std::unique_ptr<Network> built(const config::ModelSection& model, bool device, bool training = true,
                               config::Precision precision = config::Precision::fp32) {
  NetworkOptions options{.batch_max = 6, .training = training, .seed = 11, .precision = precision};
  if (device) options.backend = ops::subject_backend();
  auto network = Network::build(model, kShape, 3, options);
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

config::ModelSection net(int index) { return index == 0 ? mlp() : index == 1 ? photo_net() : old_net(); }

double worst_of(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double scale = 1e-3, worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst / scale;
}

/// Plain gradient descent, and the buffers' new values.
void descend(Network& network, std::uint32_t count) {
  const std::vector<float> gradients(network.gradients().begin(), network.gradients().end());
  const auto values = network.values();
  for (const TensorInfo& tensor : network.tensors())
    for (std::size_t i = tensor.offset; i < tensor.offset + tensor.length; ++i)
      values[i] = tensor.kind == TensorKind::buffer
                      ? gradients[i] / static_cast<float>(count)
                      : values[i] - 0.05f * gradients[i] / static_cast<float>(count);
}

TEST_CASE("networks train on a device as on the processor", "[device]") {
  for (const int index : {0, 1, 2}) {
    INFO("network " << index);
    const auto device = built(net(index), true), host = built(net(index), false);
    // Batches of two sizes: the last of an epoch is smaller. Later ones are replayed.
    for (std::uint64_t step = 1; step <= 7; ++step) {
      INFO("step " << step);
      const std::uint32_t count = step % 3 == 0 ? 4 : 6;
      const Batch batch = batch_of(count, kShape, step);
      const StepResult there = device->train_step(batch.images, batch.labels, batch.keys, step),
                       here = host->train_step(batch.images, batch.labels, batch.keys, step);
      CHECK(std::abs(there.loss_sum - here.loss_sum) < 1e-3 * std::max(1.0, here.loss_sum));
      CHECK(there.weight_sum == here.weight_sum);
      CHECK(worst_of(device->gradients(), host->gradients()) < 2e-3);
      descend(*host, count);
      // Both go on from the same values: what rounding changes does not grow from step to step.
      std::copy(host->values().begin(), host->values().end(), device->values().begin());
    }
    const Batch batch = batch_of(5, kShape, 77);
    std::vector<float> there(15), here(15);
    device->predict(batch.images, 5, there);
    host->predict(batch.images, 5, here);
    CHECK(worst_of(there, here) < 1e-3);
  }
}

TEST_CASE("networks train in 16 bits on a device as on the processor", "[device]") {
  for (const auto precision : {config::Precision::bf16, config::Precision::fp16}) {
    INFO("precision " << static_cast<int>(precision));
    const auto device = built(photo_net(), true, true, precision),
               host = built(photo_net(), false, true, precision);
    for (std::uint64_t step = 1; step <= 4; ++step) {
      Batch batch = batch_of(6, kShape, step);
      const bool bright = step == 2;
      if (bright) batch.images[7] = 1e6f;  // fp16 ends at 65504
      const void* const inputs[] = {batch.images.data()};
      const Feed feed{6, inputs, batch.labels.data(), batch.keys, step};
      // Staged before the step that changes the scale has run, as a trainer does.
      device->stage(feed);
      const StepResult there = device->train_step(feed, nullptr), here = host->train_step(feed, nullptr);
      INFO("step " << step);
      CHECK(there.loss_scale == here.loss_scale);
      CHECK(there.overflow == here.overflow);
      CHECK(here.overflow == (bright && precision == config::Precision::fp16));
      if (here.overflow) continue;
      CHECK(worst_of(device->gradients(), host->gradients()) < 0.05);
      descend(*host, 6);
      std::copy(host->values().begin(), host->values().end(), device->values().begin());
    }
  }
}

TEST_CASE("a staged feed is the next step's, and another one is as good", "[device]") {
  const auto device = built(mlp(), true);
  const Batch first = batch_of(6, kShape, 1), second = batch_of(6, kShape, 2);
  const void *const one[] = {first.images.data()}, *const two[] = {second.images.data()};
  const Feed feed_one{6, one, first.labels.data(), first.keys, 1},
      feed_two{6, two, second.labels.data(), second.keys, 2};
  const double alone = device->train_step(feed_two, nullptr).loss_sum;
  device->stage(feed_two);
  CHECK(device->train_step(feed_two, nullptr).loss_sum == alone);
  device->stage(feed_one);
  CHECK(device->train_step(feed_two, nullptr).loss_sum == alone);
}

TEST_CASE("feeds that are staged beside the steps give the same training", "[device]") {
  const auto staged = built(photo_net(), true), plain = built(photo_net(), true);
  std::vector<Batch> batches;
  for (std::uint64_t step = 0; step < 9; ++step)
    batches.push_back(batch_of(step % 4 == 3 ? 3 : 6, kShape, step));
  const auto feed_of = [&](std::uint64_t step, const void* const* inputs) {
    const Batch& batch = batches[step];
    return Feed{
        static_cast<std::uint32_t>(batch.labels.size()), {inputs, 1}, batch.labels.data(), batch.keys, step};
  };
  for (std::uint64_t step = 0; step < batches.size(); ++step) {
    INFO("step " << step);
    const void* const inputs[] = {batches[step].images.data()};
    if (step + 1 < batches.size() && step % 5 != 2) {  // sometimes the next one is not ready
      const void* const next[] = {batches[step + 1].images.data()};
      staged->stage(feed_of(step + 1, next));
    }
    const StepResult there = staged->train_step(feed_of(step, inputs), nullptr),
                     here = plain->train_step(feed_of(step, inputs), nullptr);
    CHECK(there.loss_sum == here.loss_sum);
    CHECK(std::equal(plain->gradients().begin(), plain->gradients().end(), staged->gradients().begin()));
    // What came in may go as soon as its step is done.
    std::fill(batches[step].images.begin(), batches[step].images.end(), NAN);
    for (const auto& network : {staged.get(), plain.get()})
      descend(*network, static_cast<std::uint32_t>(batches[step].labels.size()));
  }
}

class Announcements final : public Observer {
 public:
  explicit Announcements(const Network& network) : network_(network) {}
  void ended(std::size_t) override { ++kernels; }
  void gradient(std::uint64_t offset, std::uint64_t length) override {
    const auto all = network_.gradients().subspan(offset, length);
    parts.emplace_back(offset, std::vector<float>(all.begin(), all.end()));
  }
  std::size_t kernels = 0;
  std::vector<std::pair<std::uint64_t, std::vector<float>>> parts;

 private:
  const Network& network_;
};

TEST_CASE("gradients on a device are announced when they are final, at their offsets", "[device]") {
  const auto device = built(photo_net(), true);
  const Batch batch = batch_of(6, kShape, 5);
  const void* const inputs[] = {batch.images.data()};
  Announcements heard(*device);
  (void)device->train_step({6, inputs, batch.labels.data(), batch.keys, 1}, &heard);
  CHECK(heard.kernels == device->program(true).steps().size());
  const auto gradients = device->gradients();
  std::size_t floats = 0;
  for (const auto& [offset, part] : heard.parts) {
    floats += part.size();
    CHECK(std::equal(part.begin(), part.end(), gradients.begin() + static_cast<std::ptrdiff_t>(offset)));
  }
  CHECK(floats == gradients.size());
}

TEST_CASE("a frozen network predicts the same on a device", "[device]") {
  const auto device = built(photo_net(), true, false), host = built(photo_net(), false, false);
  const Batch batch = batch_of(6, kShape, 9);
  std::vector<float> before(18), after(18);
  host->predict(batch.images, 6, before);
  REQUIRE(device->freeze().has_value());
  device->predict(batch.images, 6, after);
  CHECK(worst_of(after, before) < 1e-3);
}

TEST_CASE("what is not finite on a device is named", "[device]") {
  const auto device = built(mlp(), true);
  const Batch batch = batch_of(6, kShape, 3);
  const void* const inputs[] = {batch.images.data()};
  const Feed feed{6, inputs, batch.labels.data(), batch.keys, 1};
  for (float& value : device->values()) value = 1e38f;
  CHECK_FALSE(device->train_step(feed, nullptr).finite);
  const NotFinite cause = not_finite_cause(*device, feed);
  CHECK(cause.source == NotFinite::Source::operation);
  CHECK(cause.text.find("comes from") != std::string::npos);
}

}  // namespace
}  // namespace trainyard::graph::test
