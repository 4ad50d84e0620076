#include "common/base/descriptor.hpp"

#include <unistd.h>

namespace trainyard {

void Descriptor::reset() {
  if (number_ >= 0) (void)close();
}

bool Descriptor::close() { return ::close(std::exchange(number_, -1)) == 0; }

}  // namespace trainyard
