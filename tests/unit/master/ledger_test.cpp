#include "daemons/master/ledger.hpp"

#include <catch2/catch.hpp>

namespace trainyard::master {

TEST_CASE("a partition belongs to one life of its rank and is used once", "[master]") {
  Ledger ledger;
  const protocol::Partition partition{3, 1, 0};
  CHECK(ledger.lease(partition, Incarnation{1}) == Ledger::Lease::granted);
  CHECK(ledger.lease(partition, Incarnation{1}) == Ledger::Lease::again);
  CHECK(ledger.done(partition, Incarnation{1}, 32));
  CHECK_FALSE(ledger.done(partition, Incarnation{1}, 32));
  CHECK(ledger.lease(partition, Incarnation{1}) == Ledger::Lease::done);
  CHECK(ledger.samples(3) == 32);
  // The next life starts again from a checkpoint before it.
  CHECK(ledger.lease(partition, Incarnation{2}) == Ledger::Lease::granted);
  CHECK(ledger.lease(partition, Incarnation{1}) == Ledger::Lease::stale);
  CHECK_FALSE(ledger.done(partition, Incarnation{1}, 32));
  CHECK(ledger.samples(3) == 0);
  CHECK(ledger.done(partition, Incarnation{2}, 30));
  CHECK(ledger.samples(3) == 30);
}

TEST_CASE("the ledger keeps two epochs", "[master]") {
  Ledger ledger;
  for (std::uint64_t epoch = 0; epoch < 100; ++epoch) {
    for (std::uint32_t index = 0; index < 8; ++index) {
      CHECK(ledger.lease({epoch, index, 0}, Incarnation{1}) == Ledger::Lease::granted);
    }
  }
  CHECK(ledger.size() == 16);
}

}  // namespace trainyard::master
