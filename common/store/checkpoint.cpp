#include "common/store/checkpoint.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <tuple>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::store {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t manifest_version = 1;
constexpr std::uint64_t manifest_bytes_max = std::uint64_t{4} << 20;
constexpr std::size_t parts_max = 10'000;
constexpr std::string_view checksum_field = ",\"checksum\":\"";

std::uint32_t crc32(std::string_view text) { return store::crc32(std::as_bytes(std::span(text))); }

/// The last field is the CRC-32 of all text before it, so that the file is still plain JSON.
std::string sealed(std::string json) {
  json.pop_back();  // the closing brace
  const std::uint32_t crc = crc32(json);
  return format("{}{}{:08x}\"}}\n", json, checksum_field, crc);
}

bool seal_holds(std::string_view text) {
  const std::size_t at = text.rfind(checksum_field);
  if (at == std::string_view::npos) return false;
  return text.substr(at) == format("{}{:08x}\"}}\n", checksum_field, crc32(text.substr(0, at)));
}

/// A part lives in the directory itself; a manifest cannot make anyone read elsewhere.
bool plain_name(const std::string& file) {
  return !file.empty() && file.size() <= 255 && file != "." && file != ".." &&
         file.find('/') == std::string::npos && file.find('\0') == std::string::npos;
}

template <typename T>
std::optional<T> number_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  const auto value = it->get<std::uint64_t>();
  if (value > std::numeric_limits<T>::max()) return std::nullopt;
  return static_cast<T>(value);
}

std::optional<std::string> text_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return std::nullopt;
  return it->get<std::string>();
}

std::optional<Manifest> manifest_of(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto step = number_at<std::uint64_t>(json, "step");
  const auto epoch = number_at<std::uint64_t>(json, "epoch");
  const auto incarnation = number_at<std::uint32_t>(json, "incarnation");
  const auto parts = json.find("parts");
  if (!step || !epoch || !incarnation || parts == json.end() || !parts->is_array()) return std::nullopt;
  if (parts->size() > parts_max) return std::nullopt;
  Manifest manifest{*step, *epoch, *incarnation, {}};
  for (const Json& part : *parts) {
    if (!part.is_object()) return std::nullopt;
    const auto file = text_at(part, "file");
    const auto bytes = number_at<std::uint64_t>(part, "bytes");
    const auto checksum = text_at(part, "checksum");
    if (!file || !bytes || !checksum || !plain_name(*file)) return std::nullopt;
    manifest.parts.push_back({*file, *bytes, *checksum});
  }
  return manifest;
}

struct Entry {
  std::uint64_t step = 0;
  std::uint64_t incarnation = 0;
  std::string directory;
  bool complete = false;
  bool unreadable = false;  // neither torn nor whole: the disk would not say
};

std::optional<Entry> entry_of(const fs::path& path) {
  const std::string text = path.filename().string();
  const std::vector<std::string> words = split(text, '-');
  if (words.size() != 3 || words[0] != "step" || words[1].size() < 12) return std::nullopt;
  const auto step = parse_uint(words[1]);
  const auto incarnation = parse_uint(words[2]);
  if (!step || !incarnation) return std::nullopt;
  Entry entry{*step, *incarnation, path.string()};
  const auto manifest = read_manifest(entry.directory);
  entry.complete = manifest.has_value();
  entry.unreadable = !manifest && manifest.error().code == Errc::io;
  return entry;
}

Status remove_checkpoint(const std::string& directory) {
  // The manifest goes first: a directory that is half gone must not look whole.
  std::error_code code;
  fs::remove(fs::path(directory) / "manifest.json", code);
  if (!code) fs::remove_all(directory, code);
  if (code) return Error{Errc::io, format("{}: cannot remove: {}", directory, code.message())};
  return {};
}

/// What is there; none when the directory is not.
Result<std::vector<Entry>> entries_in(const std::string& checkpoints) {
  std::vector<Entry> entries;
  std::error_code code;
  fs::directory_iterator it(checkpoints, code);
  if (code == std::errc::no_such_file_or_directory) return entries;
  for (; !code && it != fs::directory_iterator{}; it.increment(code)) {
    if (auto entry = entry_of(it->path())) entries.push_back(std::move(*entry));
  }
  if (code) return Error{Errc::io, format("{}: cannot list: {}", checkpoints, code.message())};
  return entries;
}

}  // namespace

std::string checkpoint_name(std::uint64_t step, std::uint32_t incarnation) {
  return format("step-{:012}-{}", step, incarnation);
}

Result<PartInfo> write_part(const std::string& directory, const std::string& file,
                            std::span<const std::span<const std::byte>> pieces) {
  if (!plain_name(file)) return Error{Errc::invalid, format("'{}' cannot be the file of a part", file)};
  if (const Status made = make_directories(directory); !made) return made.error();
  if (const Status written = write_atomic(directory + "/" + file, pieces); !written) return written.error();
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
  for (const auto& piece : pieces) {
    bytes += piece.size();
    crc = store::crc32(piece, crc);
  }
  return PartInfo{file, bytes, format("{:08x}", crc)};
}

Status write_manifest(const std::string& directory, const Manifest& manifest) {
  Json parts = Json::array();
  for (const PartInfo& part : manifest.parts) {
    if (!plain_name(part.file))
      return Error{Errc::invalid, format("'{}' cannot be the file of a part", part.file)};
    parts.push_back({{"file", part.file}, {"bytes", part.bytes}, {"checksum", part.checksum}});
  }
  const Json json{{"version", manifest_version},
                  {"step", manifest.step},
                  {"epoch", manifest.epoch},
                  {"incarnation", manifest.incarnation},
                  {"parts", std::move(parts)}};
  return write_atomic(directory + "/manifest.json", sealed(to_text(json)));
}

Result<Manifest> read_manifest(const std::string& directory) {
  const std::string path = directory + "/manifest.json";
  const auto text = read_file(path, manifest_bytes_max);
  if (!text) {
    if (text.error().code != Errc::invalid) return text.error();
    return Error{Errc::corrupt, text.error().message};
  }
  if (!seal_holds(*text)) return Error{Errc::corrupt, format("{}: the checksum does not hold", path)};
  const auto json = parse_json(*text, manifest_bytes_max);
  if (!json) return Error{Errc::corrupt, format("{}: {}", path, json.error().message)};
  const auto version = json->is_object() ? number_at<std::uint64_t>(*json, "version") : std::nullopt;
  if (version && *version > manifest_version) {
    return Error{Errc::refused, format("{}: has format {}, this release reads up to {}; use a newer release",
                                       path, *version, manifest_version)};
  }
  auto manifest = manifest_of(*json);
  if (!version || !manifest) return Error{Errc::corrupt, format("{}: is not a manifest", path)};
  for (const PartInfo& part : manifest->parts) {
    struct stat status {};
    const std::string file = directory + "/" + part.file;
    if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return Error{Errc::corrupt, format("{}: is named by the manifest but is not there", file)};
    }
    if (static_cast<std::uint64_t>(status.st_size) != part.bytes) {
      return Error{Errc::corrupt,
                   format("{}: has {} bytes, the manifest says {}", file, status.st_size, part.bytes)};
    }
  }
  return std::move(*manifest);
}

Result<std::string> read_part(const std::string& directory, const PartInfo& part) {
  const std::string path = directory + "/" + part.file;
  if (!plain_name(part.file))
    return Error{Errc::corrupt, format("'{}' cannot be the file of a part", part.file)};
  auto bytes = read_file(path, part.bytes);
  if (!bytes && bytes.error().code != Errc::invalid) return bytes.error();
  if (!bytes || bytes->size() != part.bytes) {
    return Error{Errc::corrupt,
                 format("{}: does not have the {} bytes that it was written with", path, part.bytes)};
  }
  if (format("{:08x}", crc32(*bytes)) != part.checksum) {
    return Error{Errc::corrupt, format("{}: the checksum does not hold", path)};
  }
  return bytes;
}

Status discard(const std::string& directory) {
  std::error_code code;
  if (fs::exists(fs::path(directory) / "manifest.json", code)) {
    return Error{Errc::conflict, format("{}: is committed and stays", directory)};
  }
  return remove_checkpoint(directory);
}

Result<std::size_t> prune(const std::string& checkpoints, std::uint32_t keep) {
  auto found = entries_in(checkpoints);
  if (!found) return found.error();
  std::vector<Entry> entries = std::move(*found);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.step, a.incarnation) > std::tie(b.step, b.incarnation);
  });
  std::size_t complete = 0, removed = 0;
  for (const Entry& entry : entries) {
    const bool wanted = entry.complete ? complete < std::max(keep, 1u) : complete == 0;
    if (entry.complete) ++complete;
    if (wanted || entry.unreadable) continue;
    if (const Status gone = remove_checkpoint(entry.directory); !gone) return gone.error();
    ++removed;
  }
  return removed;
}

Status rewind(const std::string& checkpoints, std::uint64_t step) {
  const auto entries = entries_in(checkpoints);
  if (!entries) return entries.error();
  for (const Entry& entry : *entries) {
    if (entry.step <= step && (entry.complete || entry.unreadable)) continue;
    if (const Status gone = remove_checkpoint(entry.directory); !gone) return gone;
  }
  return {};
}

}  // namespace trainyard::store
