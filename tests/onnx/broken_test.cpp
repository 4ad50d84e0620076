// Files that are wrong: each is refused with a message that says where and what; none crashes, none makes the
// reader allocate what it claims.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "common/base/random.hpp"
#include "tests/onnx/file.hpp"
#include "tests/onnx/runner.hpp"
#include "tests/support/temp_dir.hpp"

namespace trainyard::graph::test {
namespace {

void refuses(const std::string& bytes, Errc code, const std::string& says, const OnnxImport& options = {}) {
  const auto model = import_onnx(bytes, options);
  CAPTURE(says);
  REQUIRE_FALSE(model.has_value());
  CAPTURE(model.error().message);
  CHECK(model.error().code == code);
  CHECK(model.error().message.find(says) != std::string::npos);
}

/// One node between x [N, 4] and y.
File one(const std::string& kind, const Names& inputs = {"x"}, int opset = 17) {
  File file(opset);
  file.input("x", {"N", "4"}).output("y");
  file.node(kind, inputs, {"y"}, "node_1");
  return file;
}

}  // namespace

TEST_CASE("operators that are not there are refused by name", "[onnx]") {
  refuses(one("NoSuchThing").bytes(), Errc::refused,
          "ONNX node 'node_1' (NoSuchThing): this operator is not supported");
  refuses(one("If").bytes(), Errc::refused, "ONNX node 'node_1' (If)");
  File foreign = one("FusedConv");
  foreign.graph().mutable_node(0)->set_domain("com.microsoft");
  refuses(foreign.bytes(), Errc::refused, "operators of the domain 'com.microsoft' are not supported");
  File unnamed = one("NoSuchThing");
  unnamed.graph().mutable_node(0)->clear_name();
  refuses(unnamed.bytes(), Errc::refused, "ONNX node of 'y' (NoSuchThing)");
}

TEST_CASE("operator sets that are too old, too new or not named are refused", "[onnx]") {
  refuses(one("Relu", {"x"}, 6).bytes(), Errc::refused,
          "uses operator set 6; 7 to 28 are read. Export it with 17");
  refuses(one("Relu", {"x"}, 29).bytes(), Errc::refused, "uses operator set 29");
  CHECK(import_onnx(one("Relu", {"x"}, 28).bytes()).has_value());
  refuses(one("Mish", {"x"}, 17).bytes(), Errc::refused,
          "this operator came with operator set 18; the file uses 17");
  refuses(one("Upsample", {"x", "x"}, 17).bytes(), Errc::refused,
          "operator set 10 has this operator no more");
  File none = one("Relu");
  none.model().clear_opset_import();
  refuses(none.bytes(), Errc::invalid, "names no operator set");
}

TEST_CASE("graphs that do not hang together are refused, naming the node", "[onnx]") {
  refuses(one("Relu", {"z"}).bytes(), Errc::invalid,
          "ONNX node 'node_1' (Relu): its input 'z' is given by nobody");
  refuses(one("Add", {"x", "y"}).bytes(), Errc::invalid, "ONNX node 'node_1' (Add) waits for its own output");
  File cycle;
  cycle.input("x", {"N", "4"}).output("y");
  cycle.node("Add", {"x", "b"}, {"a"}, "first");
  cycle.node("Relu", {"a"}, {"b"}, "second");
  cycle.node("Relu", {"b"}, {"y"}, "third");
  refuses(cycle.bytes(), Errc::invalid,
          "ONNX node 'first' (Add) waits for its own output: the graph has a cycle");
  File twice = one("Relu");
  twice.node("Sigmoid", {"x"}, {"y"}, "node_2");
  refuses(twice.bytes(), Errc::invalid, "ONNX node 'node_2' (Sigmoid): its output 'y' exists already");
  File over = one("Relu");
  over.node("Sigmoid", {"x"}, {"x"}, "node_2");
  refuses(over.bytes(), Errc::invalid, "its output 'x' exists already");
  File nothing;
  nothing.input("x", {"N"}).output("y");
  refuses(nothing.bytes(), Errc::invalid, "no node of the ONNX graph gives its output 'y'");
  File silent;
  silent.input("x", {"N"});
  refuses(silent.bytes(), Errc::invalid, "has no outputs");
  refuses(one("Add", {"x"}).bytes(), Errc::refused, "input 1 is missing");
  File names = one("Relu");
  names.floats("w", {1}, {1}).floats("w", {1}, {1});
  refuses(names.bytes(), Errc::invalid, "has 'w' twice");
}

TEST_CASE("shapes that clash are refused, saying which", "[onnx]") {
  File dense = one("Gemm", {"x", "w"});
  dense.floats("w", {3, 5}, std::vector<float>(15));
  refuses(dense.bytes(), Errc::invalid,
          "ONNX node 'node_1' (Gemm): dense: weight [5, 3] for 4 features of [N, 4]");
  File conv;
  conv.input("x", {"N", "3", "8", "8"}).output("y").floats("w", {4, 2, 3, 3}, std::vector<float>(72));
  conv.node("Conv", {"x", "w"}, {"y"}, "c");
  refuses(conv.bytes(), Errc::invalid,
          "ONNX node 'c' (Conv): conv2d: weight [4, 2, 3, 3] for 3 input channels");
  File add = one("Add", {"x", "b"});
  add.floats("b", {5}, std::vector<float>(5));
  refuses(add.bytes(), Errc::invalid, "[N, 4] and [5] do not broadcast");
  File reshape = one("Reshape", {"x", "to"});
  reshape.integers("to", {2}, {3, -1});
  refuses(reshape.bytes(), Errc::refused,
          "ONNX node 'node_1' (Reshape): of [N, 4] to [3, 1], where -1 fits no extent");
  File deep;
  deep.input("x", {"N", "3", "8", "8", "8"})
      .output("y")
      .floats("w", {4, 3, 3, 3, 3}, std::vector<float>(324));
  deep.node("Conv", {"x", "w"}, {"y"}, "c");
  refuses(deep.bytes(), Errc::refused, "one and two spatial axes are supported");
}

TEST_CASE("attributes that are unknown, wrong or out of bounds are refused", "[onnx]") {
  File unknown = one("Relu");
  File::set(*unknown.graph().mutable_node(0), "shape_of_things", std::int64_t{1});
  refuses(unknown.bytes(), Errc::refused, "the attribute 'shape_of_things' is not supported");
  File type = one("Softmax");
  File::set(*type.graph().mutable_node(0), "axis", 1.0f);
  refuses(type.bytes(), Errc::refused, "the attribute 'axis' is of another type");
  File axis = one("Softmax");
  File::set(*axis.graph().mutable_node(0), "axis", std::int64_t{7});
  refuses(axis.bytes(), Errc::refused, "axis 7 of a tensor with 2 axes");
  File pool;
  pool.input("x", {"N", "3", "8", "8"}).output("y");
  auto& node = pool.node("MaxPool", {"x"}, {"y"}, "p");
  File::set(node, "kernel_shape", Dims{INT64_MAX, 2});
  refuses(pool.bytes(), Errc::refused, "kernel_shape has 9223372036854775807");
  File lstm;
  lstm.input("x", {"5", "N", "2"}).output("y");
  lstm.floats("w", {1, 12, 2}, std::vector<float>(24)).floats("r", {1, 12, 3}, std::vector<float>(36));
  lstm.node("LSTM", {"x", "w", "r"}, {"y"}, "l");
  File::set(*lstm.graph().mutable_node(0), "clip", 1.0f);
  refuses(lstm.bytes(), Errc::refused, "ONNX node 'l' (LSTM): the attribute 'clip' is not supported");
  File groups = one("GroupNormalization", {"x", "w", "w"}, 21);
  groups.floats("w", {4}, std::vector<float>(4));
  refuses(groups.bytes(), Errc::refused, "ONNX node 'node_1' (GroupNormalization): num_groups is missing");
  File::set(*groups.graph().mutable_node(0), "num_groups", std::int64_t{0});
  refuses(groups.bytes(), Errc::refused,
          "ONNX node 'node_1' (GroupNormalization): num_groups is 0; it has to be");
}

TEST_CASE("tensors whose data do not fit their shape are refused", "[onnx]") {
  const auto broken = [](auto&& change) {
    File file = one("Add", {"x", "b"});
    file.floats("b", {4}, std::vector<float>(4));
    change(file.initializer(0));
    return file.bytes();
  };
  refuses(broken([](auto& t) { t.set_raw_data("123"); }), Errc::corrupt, "has 3 bytes of data; it needs 16");
  refuses(broken([](auto& t) { t.clear_raw_data(); }), Errc::corrupt, "has 0 bytes of data; it needs 16");
  refuses(broken([](auto& t) { t.set_dims(0, -4); }), Errc::corrupt, "initializer 'b': an extent of -4");
  // A hundred gigabytes, and a number of elements that does not fit into 64 bits.
  refuses(broken([](auto& t) { t.set_dims(0, std::int64_t{25} << 30); }), Errc::refused,
          "takes more than the");
  refuses(broken([](auto& t) {
            t.set_dims(0, INT64_MAX);
            t.add_dims(INT64_MAX);
          }),
          Errc::refused, "takes more than the");
  refuses(broken([](auto& t) { t.set_data_type(onnx::TensorProto::STRING); }), Errc::refused,
          "elements of type string are not supported");
  refuses(broken([](auto& t) { t.set_data_type(99); }), Errc::refused, "elements of type number 99");
  File mixed = one("Add", {"x", "b"});
  mixed.integers("b", {4}, {1, 2, 3, 4});
  refuses(mixed.bytes(), Errc::invalid, "of fp32 and int64");
}

TEST_CASE("results that nobody could hold are refused before they are computed", "[onnx]") {
  File fill;
  fill.input("x", {"N"}).output("y").integers("to", {2}, {1 << 20, 1 << 20});
  fill.node("ConstantOfShape", {"to"}, {"y"}, "fill");
  refuses(fill.bytes(), Errc::invalid, "ONNX node 'fill' (ConstantOfShape)");
  File expand = one("Expand", {"x", "to"});
  expand.integers("to", {3}, {1 << 26, 1, 4});
  refuses(expand.bytes(), Errc::invalid, "takes");
  File range;
  range.input("x", {"N"}).output("y").floats("a", {}, {0}).floats("b", {}, {1e30f}).floats("c", {}, {1e-30f});
  range.node("Range", {"a", "b", "c"}, {"y"}, "range");
  refuses(range.bytes(), Errc::refused, "ONNX node 'range' (Range)");
  File tile = one("Tile", {"x", "n"});
  tile.integers("n", {2}, {1, INT64_MAX});
  refuses(tile.bytes(), Errc::refused, "a repeat of");
  File input;
  input.input("x", {"N", "1000000000000", "1000000000000"}).output("y");
  input.node("Relu", {"x"}, {"y"});
  refuses(input.bytes(), Errc::invalid, "input 'x'");
  File hot;
  hot.input("x", {"N"}, onnx::TensorProto::INT64).output("y");
  hot.integers("depth", {}, {1 << 29}).floats("values", {2}, {0, 1});
  hot.node("OneHot", {"x", "depth", "values"}, {"y"});
  refuses(hot.bytes(), Errc::invalid, "takes");
}

TEST_CASE("an index that is known and points outside is refused", "[onnx]") {
  File file;
  file.input("x", {"3", "4"}).output("y").integers("i", {2}, {0, 3});
  file.node("Gather", {"x", "i"}, {"y"}, "g");
  refuses(file.bytes(), Errc::refused, "ONNX node 'g' (Gather): an index outside of [3, 4]");
}

TEST_CASE("a shape that depends on values is refused", "[onnx]") {
  File file;
  file.input("x", {"N", "4"}).input("to", {"2"}, onnx::TensorProto::INT64).output("y");
  file.node("Reshape", {"x", "to"}, {"y"}, "r");
  refuses(file.bytes(), Errc::refused,
          "ONNX node 'r' (Reshape): input 1 has to be whole numbers that are known when the model is read");
  File size;
  size.input("x", {"N", "4"}).output("y");
  size.node("Shape", {"x"}, {"s"});
  size.node("Cast", {"s"}, {"y"});
  File::set(*size.graph().mutable_node(1), "to", std::int64_t{onnx::TensorProto::FLOAT});
  refuses(size.bytes(), Errc::refused, "depends on the batch");
}

TEST_CASE("bytes that are no ONNX file are refused, and where they break is said", "[onnx]") {
  refuses("", Errc::invalid, "names no operator set");
  refuses("this is not a model", Errc::corrupt, "not a whole ONNX file");
  const std::string good = one("Relu").bytes();
  refuses(good.substr(0, good.size() - 1), Errc::corrupt,
          "not a whole ONNX file: a field that reaches behind the end");
  refuses(std::string("\x3a\xff\xff\xff\xff\x0f"), Errc::corrupt, "reaches behind the end at byte 6");
  refuses(std::string("\x0b"), Errc::corrupt, "a field of no known type");
  // A graph whose nodes hold graphs whose nodes hold graphs, and so on.
  std::string deep = one("Relu").graph().SerializeAsString();
  for (int i = 0; i < 200; ++i) {
    const auto wrap = [](char tag, const std::string& inner) {
      std::string out(1, tag);
      for (std::size_t n = inner.size();; n >>= 7) {
        out += static_cast<char>(n >= 128 ? (n & 127) | 128 : n);
        if (n < 128) break;
      }
      return out + inner;
    };
    deep = wrap('\x0a', wrap('\x2a', wrap('\x32', deep)));
    if (i == 199) refuses(wrap('\x3a', deep), Errc::corrupt, "nested deeper than 32 levels");
  }
  // Two bytes a node: a hundred times as much in memory.
  std::string swelling;
  for (int i = 0; i < 2'000'000; ++i) swelling += std::string("\x0a\x00", 2);
  std::string model = "\x3a";
  for (std::size_t n = swelling.size();; n >>= 7) {
    model += static_cast<char>(n >= 128 ? (n & 127) | 128 : n);
    if (n < 128) break;
  }
  refuses(model + swelling, Errc::corrupt, "would unpack to more than");
}

TEST_CASE("damaged files never crash the importer", "[onnx]") {
  File file;
  file.input("x", {"N", "3", "8", "8"}).output("y");
  file.floats("w", {4, 3, 3, 3}, std::vector<float>(108, 0.5f)).integers("to", {2}, {0, -1});
  file.floats("f", {144, 3}, std::vector<float>(432, 0.25f));
  file.node("Conv", {"x", "w"}, {"c"});
  file.node("Relu", {"c"}, {"r"});
  file.node("Reshape", {"r", "to"}, {"flat"});
  file.node("MatMul", {"flat", "f"}, {"y"});
  const std::string good = file.bytes();
  REQUIRE(import_onnx(good).has_value());
  Random random(9);
  for (int round = 0; round < 3000; ++round) {
    std::string broken = good.substr(0, random.chance(0.2) ? random.below(good.size()) : good.size());
    for (std::uint64_t n = 1 + random.below(6); n-- > 0 && !broken.empty();) {
      // Mostly where the structure is, not inside the weights.
      const std::size_t at =
          random.below(random.chance(0.7) ? std::min<std::size_t>(broken.size(), 300) : broken.size());
      broken[at] = static_cast<char>(random.below(256));
    }
    (void)import_onnx(broken);
  }
}

TEST_CASE("data beside the model are read from its folder and from nowhere else", "[onnx]") {
  const trainyard::test::TempDir dir;
  const std::filesystem::path root = dir.path();
  std::filesystem::create_directories(root / "model" / "weights");
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const auto write = [&](const std::filesystem::path& path) {
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 24);
  };
  write(root / "model" / "weights" / "b.bin");
  write(root / "outside.bin");
  std::filesystem::create_symlink(root / "outside.bin", root / "model" / "link.bin");
  const auto import = [&](const std::string& location, const std::string& offset, const std::string& length) {
    File file = one("Add", {"x", "b"});
    file.floats("b", {4}, {});
    auto& tensor = file.initializer(0);
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto say = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      auto* entry = tensor.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    };
    say("location", location);
    say("offset", offset);
    say("length", length);
    const std::string path = (root / "model" / "m.onnx").string();
    std::ofstream(path, std::ios::binary) << file.bytes();
    return import_onnx_file(path);
  };
  const auto model = import("weights/b.bin", "8", "16");
  REQUIRE(model.has_value());
  CHECK(numbers_of(model->graph.constants[0]).values == std::vector<double>{3, 4, 5, 6});
  const auto says = [](const Result<Model>& result) {
    return result ? std::string("read") : result.error().message;
  };
  CHECK(says(import("../outside.bin", "", "")).find("leads out of the model's folder") != std::string::npos);
  CHECK(says(import("link.bin", "", "")).find("leads out of the model's folder") != std::string::npos);
  CHECK(says(import("weights/../../outside.bin", "", "")).find("leads out") != std::string::npos);
  CHECK(says(import("/etc/passwd", "", "")).find("inside the model's folder") != std::string::npos);
  CHECK(says(import("", "", "")).find("inside the model's folder") != std::string::npos);
  CHECK(says(import("weights", "", "")).find("is no file") != std::string::npos);
  CHECK(says(import("none.bin", "", "")).find("external data 'none.bin'") != std::string::npos);
  CHECK(says(import("weights/b.bin", "12", "")).find("the file has 24") != std::string::npos);
  CHECK(says(import("weights/b.bin", "18446744073709551615", "")).find("the file has 24") !=
        std::string::npos);
  CHECK(says(import("weights/b.bin", "", "8")).find("8 bytes at 0 are wanted") != std::string::npos);
  CHECK(says(import("weights/b.bin", "x", "")).find("external data with offset 'x'") != std::string::npos);
  File bytes = one("Add", {"x", "b"});
  bytes.floats("b", {4}, {});
  bytes.initializer(0).set_data_location(onnx::TensorProto::EXTERNAL);
  refuses(bytes.bytes(), Errc::refused, "the model is not read from a file");
  CHECK(import_onnx_file((root / "none.onnx").string()).error().code == Errc::not_found);
  CHECK(import_onnx_file(root.string()).error().message.find("is no file") != std::string::npos);
}

}  // namespace trainyard::graph::test
