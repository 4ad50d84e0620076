// Writes files to begin with: fuzz_seeds CONFIGS DIR makes a folder of DIR for each fuzzer. CONFIGS is the
// repository's folder of examples.
#include <filesystem>
#include <fstream>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/config/job_spec.hpp"
#include "common/data/dataset.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/safetensors.hpp"
#include "common/net/local_link.hpp"
#include "common/optim/table.hpp"
#include "common/protocol/codec.hpp"
#include "common/rows/table.hpp"
#include "tests/onnx/models.hpp"
#include "tests/unit/protocol/generate.hpp"

namespace {

using namespace trainyard;

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  check(static_cast<bool>(file.flush()), "a seed is written");
}

void models(const std::filesystem::path& root) {
  using namespace trainyard::graph;
  for (const graph::test::Example& example : graph::test::examples()) {
    const auto file = export_onnx(example.model, example.model.given);
    check(file.has_value(), "an example is exported");
    write(root / "onnx" / example.name, *file);
    std::vector<NamedTensor> tensors;
    for (const TensorInfo& info : example.model.tensors) {
      const auto* const from = example.model.given.data() + info.offset;
      tensors.push_back({info.name, info.shape, {from, from + info.length}});
    }
    write(root / "safetensors" / example.name, to_safetensors(tensors, {{"name", example.name}}));
  }
}

void messages(const std::filesystem::path& root) {
  Random random(1);
  for (std::size_t kind = 0; kind < std::variant_size_v<protocol::Message>; ++kind)
    for (int i = 0; i < 3; ++i)
      write(root / "message" / format("message_{}_{}", kind, i),
            protocol::encode(protocol::generate(kind, random)));
  for (int i = 0; i < 10; ++i)
    write(root / "message" / format("header_{}", i), protocol::encode(protocol::generate_header(random)));
}

/// The ring of a link after a few messages, as its other end finds it.
void link(const std::filesystem::path& root) {
  auto ends = net::local_pair();
  check(ends.has_value(), "sockets");
  const net::LocalLink::Bounds bounds{100'000, 100'000, 1'000'000, 1'000'000};
  const auto made =
      net::LocalLink::offer(std::move(ends->first), std::make_shared<net::SlotPool>(1'000'000), bounds);
  check(made.has_value(), "a link is made");
  for (const std::size_t size : {0, 5, 400, 30'000, 60'000})
    (*made)->send(format("header of {}", size), std::make_shared<const std::vector<std::byte>>(size));
  auto notes = net::take_notes(ends->second, 1);
  check(notes.got.size() == 1, "the rings are offered");
  const auto rings = net::SharedMemory::adopt(std::move(notes.got[0].with), notes.got[0].note.bytes,
                                              net::SharedMemory::Access::write);
  check(rings.has_value(), "the rings are there");
  const std::string bytes(reinterpret_cast<const char*>(rings->bytes().data()), 2048);
  for (const char which : {'\x01', '\x07', '\x15'})
    write(root / "link" / format("notes_{}", int{which}), which + bytes);
}

void table(const std::filesystem::path& root) {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  const auto made = optim::Table::make(train, {{0, 0, 12, 0}, {0, 12, 4, 1}, {0, 16, 4, 2}}, 10,
                                       std::vector<float>(20, 0.25F));
  check(made.has_value(), "a table is made");
  std::string bytes;
  const auto saved = made->save();
  for (const auto piece : saved.pieces())
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  write(root / "table" / "adam", bytes);
}

void rows(const std::filesystem::path& root) {
  trainyard::rows::Settings settings{
      .table = 1, .seed = 5, .width = 3, .first = {trainyard::rows::FirstKind::uniform, 0.5F}};
  settings.optimizer = config::optimizer_defaults(config::OptimizerKind::adam);
  settings.admit_after = 2;
  settings.filter_cells = 512;
  settings.expire_after = 100;
  auto made = trainyard::rows::Table::make(settings).value();
  const std::vector<std::uint64_t> ids{1, 2, 300, ~std::uint64_t{0}};
  const std::vector<float> gradients(12, 0.25F);
  const trainyard::rows::Part part{ids, gradients};
  for (int i = 0; i < 3; ++i) check(made.push({&part, 1}, {.rate = 0.1}).has_value(), "rows are pushed");
  std::string bytes;
  const Status saved = made.save([&](std::vector<std::byte> piece) -> Status {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  });
  check(saved.has_value(), "rows are saved");
  write(root / "rows" / "adam", bytes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::filesystem::path configs(argv[1]), root(argv[2]);
  models(root);
  messages(root);
  link(root);
  table(root);
  rows(root);
  for (const auto& [side, quality] : {std::pair{8u, 90}, {33u, 40}}) {
    const auto picture = data::encode_jpeg(
        {side, side, 3, std::vector<std::uint8_t>(std::size_t{side} * side * 3, 99)}, quality);
    check(picture.has_value(), "a picture is made");
    write(root / "jpeg" / format("side_{}", side), *picture);
  }
  for (const auto& [from, to] : {std::pair{"jobs", "job"}, {".", "cluster"}}) {
    std::filesystem::create_directories(root / to);
    for (const auto& entry : std::filesystem::directory_iterator(configs / from))
      if (entry.is_regular_file())
        std::filesystem::copy_file(entry.path(), root / to / entry.path().filename(),
                                   std::filesystem::copy_options::overwrite_existing);
  }
  return 0;
}
