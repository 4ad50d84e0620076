// A dataset: records that can be read in any order, each with a label. Reading decodes; nothing is kept.
// Thread-safe for reading after open().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"

namespace trainyard::data {

/// Pixels of 8 bits, row by row, channels interleaved (RGB or grey).
struct Image {
  std::uint32_t width = 0, height = 0, channels = 3;
  std::vector<std::uint8_t> pixels;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::uint32_t size() const = 0;
  virtual const std::vector<std::string>& classes() const = 0;  // sorted; the label is the index
  virtual std::int32_t label(std::uint32_t record) const = 0;
  virtual std::string name(std::uint32_t record) const = 0;  // "daisy/100080576_f52e8ee070_n.jpg"
  /// At least `height_wanted` x `width_wanted` where the file has it (JPEG is decoded at a fraction when that
  /// is enough); 0: full size. An unreadable record is an error that names the file and the reason.
  virtual Result<Image> read(std::uint32_t record, std::uint32_t height_wanted,
                             std::uint32_t width_wanted) const = 0;
  virtual std::uint32_t channels() const = 0;
  /// Records of a given test set that must not be trained on; empty where the split decides.
  virtual std::vector<std::uint32_t> given_test() const { return {}; }
};

/// Errors name the path: not there; no class folders; a class folder without pictures.
Result<std::unique_ptr<Dataset>> open_dataset(const config::DataSection& data);
/// Decodes one regular file: JPEG (TurboJPEG). At most 64 megapixels and 4,000 pixels per byte of the file.
/// Errors give the reason alone: the caller knows the name.
Result<Image> read_image(const std::string& path, std::uint32_t height_wanted, std::uint32_t width_wanted);
/// The bytes of a JPEG file, quality 1..100; for reports.
Result<std::string> encode_jpeg(const Image& image, int quality);
Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::uint32_t height_wanted,
                          std::uint32_t width_wanted);

}  // namespace trainyard::data
