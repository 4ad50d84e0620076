// One side of the inference benchmark: predictions of an ONNX file on drawn images; inference.py asks it and
// its peer in turn.
//   engine_infer FILE.onnx BATCH
//   engine_infer FILE.onnx BATCH profile RUNS    prints where the time of so many runs went
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/graph/network.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/profile.hpp"
#include "tests/bench/rounds.hpp"

namespace trainyard::bench {
namespace {

int run(const std::string& path, std::uint32_t batch, int profiled) {
  auto model = graph::import_onnx_file(path, {.batch_max = batch});
  auto network = model ? graph::Network::build(std::move(*model), {.batch_max = batch, .training = false})
                       : Result<std::unique_ptr<graph::Network>>(model.error());
  Status ready = network ? (*network)->freeze() : Status(network.error());
  if (!ready) return std::fprintf(stderr, "engine_infer: %s\n", ready.error().message.c_str()), 2;
  const auto shape = (*network)->model().graph.externals[0].of.shape.with_batch(batch);
  std::vector<float> images(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i % 251) / 125.0f - 1.0f;
  std::vector<float> results(std::size_t{batch} * (*network)->classes());
  const void* const inputs[] = {images.data()};
  const graph::Feed feed{.count = batch, .inputs = inputs};
  if (profiled > 0) {
    (*network)->predict(feed, results, nullptr);
    graph::Profiler profiler((*network)->program(false), (*network)->model().graph.origins);
    for (int i = 0; i < profiled; ++i) (*network)->predict(feed, results, &profiler);
    return std::fputs(profiler.table(40).c_str(), stdout), 0;
  }
  answer_rounds([&] {
    (*network)->predict(feed, results, nullptr);
    return static_cast<double>(results[0]);
  });
  return 0;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  const bool profile = argc == 5 && std::string_view(argv[3]) == "profile";
  if (argc != 3 && !profile)
    return std::fprintf(stderr, "usage: engine_infer FILE.onnx BATCH [profile RUNS]\n"), 2;
  return trainyard::bench::run(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
                               profile ? std::atoi(argv[4]) : 0);
}
