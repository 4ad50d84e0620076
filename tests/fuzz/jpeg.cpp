// libFuzzer: whatever the bytes are, the decoder gives a picture of the size that it says, or an error.
#include <cstdint>

#include "common/base/check.hpp"
#include "common/data/dataset.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainyard;
  const auto image = data::decode_jpeg(std::as_bytes(std::span(data, size)), 32, 32);
  if (image)
    check(image->pixels.size() == std::size_t{image->width} * image->height * image->channels,
          "a picture has its pixels");
  return 0;
}
