// What a machine offers.
#include "daemons/executor/resources.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

using namespace trainyard;
using namespace trainyard::executor;

TEST_CASE("a CPU quota is read in thousandths", "[executor]") {
  CHECK(quota_millis("150000 100000\n") == 1500);
  CHECK(quota_millis("50000 100000") == 500);
  CHECK(quota_millis("800000 100000\nmore\n") == 8000);
}

TEST_CASE("what is no quota limits nothing", "[executor]") {
  for (const char* text : {"max 100000\n", "", "\n", "100000", "0 100000", "100000 0", "-1 100000", "a b",
                           "1 2 3", "99999999999999999999 1", "1000000000001 1"}) {
    INFO(text);
    CHECK(quota_millis(text) == 0);
  }
}

TEST_CASE("the machine is detected within its own bounds", "[executor]") {
  const Machine machine = detect_machine({});
  CHECK(machine.capacity.cpu_millis > 0);
  CHECK(machine.capacity.cpu_millis <= 1000ull * static_cast<std::uint64_t>(::sysconf(_SC_NPROCESSORS_CONF)));
  CHECK(machine.capacity.memory > 16u << 20);
  CHECK(machine.capacity.gpus == machine.gpu_models.size());
}

TEST_CASE("the config stands before what is detected", "[executor]") {
  const Machine machine = detect_machine({.cpus = 2.5, .memory = 3ull << 30, .fake_gpus = 3});
  CHECK(machine.capacity == protocol::ResourceSet{2500, 3ull << 30, 3});
  CHECK(machine.gpu_models == std::vector<std::string>{"fake", "fake", "fake"});
}
