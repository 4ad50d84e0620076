// An open file, socket or event: a number that is closed with its owner. Movable; any thread, one at a time.
#pragma once

#include <utility>

namespace trainyard {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}  // negative: nothing is open
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }
  void reset();
  /// False: what was written last may be lost, and errno says why. Closed it is anyway.
  bool close();

 private:
  int number_ = -1;
};

}  // namespace trainyard
