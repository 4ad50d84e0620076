#include "common/base/mailbox.hpp"

#include <catch2/catch.hpp>
#include <thread>

using namespace trainyard;

TEST_CASE("a mailbox keeps the order and pushes back when it is full", "[base]") {
  Mailbox<int> box(2);
  int one = 1, two = 2, three = 3;
  CHECK(box.try_put(one));
  CHECK(box.try_put(two));
  CHECK_FALSE(box.try_put(three));
  CHECK(box.take() == 1);
  CHECK(box.take() == 2);
  CHECK_FALSE(box.take_for(1ms));
}

TEST_CASE("closing wakes both sides and keeps what is inside", "[base]") {
  Mailbox<int> box(1);
  CHECK(box.put(1));
  std::thread sender([&] { CHECK_FALSE(box.put(2)); });
  std::this_thread::sleep_for(5ms);
  box.close();
  sender.join();
  CHECK(box.take() == 1);
  CHECK_FALSE(box.take());
}

TEST_CASE("values cross threads in order", "[base]") {
  Mailbox<int> box(4);
  std::thread sender([&] {
    for (int i = 0; i < 1000; ++i) box.put(i);
    box.close();
  });
  int expected = 0;
  while (const auto value = box.take()) CHECK(*value == expected++);
  CHECK(expected == 1000);
  sender.join();
}
