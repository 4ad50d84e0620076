#include "tests/kernels/cases.hpp"

#include <catch2/catch.hpp>

namespace trainyard::ops {
namespace {

/// `infers`: results are shaped by ops::infer, else as they are expected.
void hold(Lab lab, bool infers, Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
          const std::vector<Typed>& results) {
  INFO(name_of(kind) << " of " << (operands.empty() ? "" : operands[0].shape.text()));
  std::vector<Held> inputs;
  for (const Typed& operand : operands)
    inputs.push_back(lab.plain({operand.shape, operand.values}, operand.type));
  std::vector<Signature> outputs;
  for (const Typed& result : results) outputs.emplace_back(result.shape, result.type);
  const std::vector<Held> made =
      infers ? lab.run(kind, attributes, inputs) : lab.run(kind, attributes, inputs, outputs);
  REQUIRE(made.size() == results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    INFO("result " << i);
    CHECK(made[i].type == results[i].type);
    require_close(lab.take(made[i]), {results[i].shape, results[i].values}, 1e-6);
  }
}

void on_all(bool infers, Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
            const std::vector<Typed>& results) {
  hold(Lab::reference(), infers, kind, attributes, operands, results);
  each_subject(0, [&](Lab lab) { hold(std::move(lab), infers, kind, attributes, operands, results); });
}

}  // namespace

void gives(Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
           const std::vector<Typed>& results) {
  on_all(true, kind, attributes, operands, results);
}

void gives_gradient(Kind kind, const Attributes& attributes, const std::vector<Typed>& operands,
                    const std::vector<Typed>& results) {
  on_all(false, kind, attributes, operands, results);
}

}  // namespace trainyard::ops
