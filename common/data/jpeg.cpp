#include <fcntl.h>
#include <sys/stat.h>
#include <turbojpeg.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "common/base/text.hpp"
#include "common/data/dataset.hpp"

namespace trainyard::data {

namespace {

constexpr std::uint64_t pixels_max = 64'000'000;
// A picture of one colour reaches some 1,500 pixels a byte; a header that promises more is a bomb.
constexpr std::uint64_t pixels_per_byte_max = 4000;
constexpr long file_bytes_max = 256L << 20;

struct Closer {
  void operator()(void* handle) const { tjDestroy(handle); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string what_is(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 12));
  if (text.starts_with("\x89PNG")) return " (it is a PNG)";
  if (text.starts_with("GIF8")) return " (it is a GIF)";
  if (text.starts_with("BM")) return " (it is a BMP)";
  if (text.starts_with("RIFF") && text.ends_with("WEBP")) return " (it is a WebP)";
  return "";
}

/// The smallest of the decoder's fractions whose output still covers what is wanted.
tjscalingfactor scale_for(int height, int width, std::uint32_t height_wanted, std::uint32_t width_wanted) {
  tjscalingfactor best{1, 1};
  if (height_wanted == 0 || width_wanted == 0) return best;
  int count = 0;
  const tjscalingfactor* factors = tjGetScalingFactors(&count);
  for (int i = 0; i < count; ++i) {
    const bool covers = TJSCALED(height, factors[i]) >= static_cast<int>(height_wanted) &&
                        TJSCALED(width, factors[i]) >= static_cast<int>(width_wanted);
    if (covers && factors[i].num * best.denom < best.num * factors[i].denom) best = factors[i];
  }
  return best;
}

}  // namespace

Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::uint32_t height_wanted,
                          std::uint32_t width_wanted) {
  if (bytes.empty()) return Error{Errc::corrupt, "the file is empty"};
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (bytes.size() < 4 || data[0] != 0xff || data[1] != 0xd8)
    return Error{Errc::corrupt, "not a JPEG" + what_is(bytes)};
  const std::unique_ptr<void, Closer> decoder(tjInitDecompress());
  check(decoder != nullptr, "TurboJPEG gives no decoder");

  int width = 0, height = 0, sampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &sampling, &colours) != 0)
    return Error{Errc::corrupt, format("not a readable JPEG: {}", tjGetErrorStr2(decoder.get()))};
  const std::uint64_t pixels = static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height);
  if (width < 1 || height < 1) return Error{Errc::corrupt, "the header says that the picture has no pixels"};
  if (pixels > pixels_max || pixels > pixels_per_byte_max * bytes.size())
    return Error{Errc::corrupt, format("the header says {} x {} pixels, too many for {} bytes", width, height,
                                       bytes.size())};
  if (colours == TJCS_CMYK || colours == TJCS_YCCK)
    return Error{Errc::corrupt, "CMYK colours; save the picture as RGB"};

  const tjscalingfactor factor = scale_for(height, width, height_wanted, width_wanted);
  Image image;
  image.width = static_cast<std::uint32_t>(TJSCALED(width, factor));
  image.height = static_cast<std::uint32_t>(TJSCALED(height, factor));
  image.channels = 3;
  image.pixels.resize(std::size_t{image.width} * image.height * 3);
  const int failed =
      tjDecompress2(decoder.get(), data, bytes.size(), image.pixels.data(), static_cast<int>(image.width), 0,
                    static_cast<int>(image.height), TJPF_RGB, TJFLAG_LIMITSCANS);
  if (failed != 0) {
    // Warnings also come for harmless oddities such as extra bytes between markers; cut or damaged data are
    // not.
    const std::string_view reason = tjGetErrorStr2(decoder.get());
    const bool harmless =
        tjGetErrorCode(decoder.get()) == TJERR_WARNING && reason.find("extraneous") != std::string_view::npos;
    if (!harmless) return Error{Errc::corrupt, format("damaged JPEG: {}", reason)};
  }
  return image;
}

Result<Image> read_image(const std::string& path, std::uint32_t height_wanted, std::uint32_t width_wanted) {
  // O_NONBLOCK: a named pipe in a class folder would be waited for without end.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const std::unique_ptr<std::FILE, Closer> file(descriptor < 0 ? nullptr : ::fdopen(descriptor, "rb"));
  if (!file) return Error{errno == ENOENT ? Errc::not_found : Errc::io, std::strerror(errno)};
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    return Error{Errc::corrupt, S_ISDIR(status.st_mode) ? "is a folder" : "is no regular file"};
  if (status.st_size > file_bytes_max)
    return Error{Errc::corrupt, format("larger than {}", size_text(file_bytes_max))};
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
    return Error{Errc::io, "cannot be read"};
  return decode_jpeg(bytes, height_wanted, width_wanted);
}

Result<std::string> encode_jpeg(const Image& image, int quality) {
  const std::unique_ptr<void, Closer> encoder(tjInitCompress());
  check(encoder != nullptr, "TurboJPEG gives no encoder");
  const bool colour = image.channels == 3;
  std::string out(tjBufSize(static_cast<int>(image.width), static_cast<int>(image.height),
                            colour ? TJSAMP_420 : TJSAMP_GRAY),
                  '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  unsigned long size = out.size();
  if (tjCompress2(encoder.get(), image.pixels.data(), static_cast<int>(image.width), 0,
                  static_cast<int>(image.height), colour ? TJPF_RGB : TJPF_GRAY, &bytes, &size,
                  colour ? TJSAMP_420 : TJSAMP_GRAY, quality, TJFLAG_NOREALLOC) != 0)
    return Error{Errc::io, format("a picture cannot be encoded: {}", tjGetErrorStr2(encoder.get()))};
  out.resize(size);
  return out;
}

}  // namespace trainyard::data
