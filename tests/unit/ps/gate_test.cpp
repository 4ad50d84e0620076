#include "daemons/ps/gate.hpp"

#include <catch2/catch.hpp>

namespace trainyard::ps {

namespace {

protocol::DataHeader push(std::uint32_t trainer, std::uint64_t step, std::uint32_t incarnation = 2) {
  return {.kind = protocol::DataKind::push,
          .job = 1,
          .incarnation = incarnation,
          .trainer = trainer,
          .sequence = step};
}

}  // namespace

TEST_CASE("a step is complete when every rank has pushed it, however often", "[ps]") {
  Gate gate(1, 2, 3, 10);
  CHECK(gate.push(push(0, 11)).passage == Passage::held);
  CHECK(gate.push(push(0, 11)).passage == Passage::held);
  CHECK(gate.push(push(2, 11)).passage == Passage::held);
  CHECK_FALSE(gate.complete());
  CHECK(gate.push(push(1, 11)).passage == Passage::held);
  REQUIRE(gate.complete());
  gate.pass();
  CHECK(gate.step() == 11);
  CHECK_FALSE(gate.complete());
  CHECK(gate.push(push(1, 11)).passage == Passage::applied);
}

TEST_CASE("what is of another life, another job, another rank or out of order is refused", "[ps]") {
  Gate gate(1, 2, 3, 10);
  CHECK(gate.admit(push(0, 11, 1)).passage == Passage::refused);
  CHECK(gate.admit(push(0, 11, 3)).passage == Passage::refused);
  CHECK(gate.admit(push(3, 11)).passage == Passage::refused);
  auto other = push(0, 11);
  other.job = 9;
  CHECK(gate.admit(other).passage == Passage::refused);
  CHECK(gate.admit(push(0, 11)).passage != Passage::refused);
  CHECK(gate.push(push(0, 13)).passage == Passage::refused);
  CHECK_FALSE(gate.push(push(0, 13)).reason.empty());
}

}  // namespace trainyard::ps
