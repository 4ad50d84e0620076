// Journal: durable records in order. append() returns at once; a thread of the journal writes groups of
// records in one transaction (SQLite, WAL, synchronous=FULL) and tells when they are on disk. A failed write
// is final.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::store {

class Journal {
 public:
  virtual ~Journal() = default;
  /// Every record that was ever made durable, oldest first.
  virtual Result<std::vector<std::string>> read_all() = 0;
  virtual void append(std::string record) = 0;
  /// Calls `done` (through `post`, see open_journal) once all that was appended before is durable. With
  /// nothing pending it is called from inside.
  virtual void when_durable(std::function<void()> done) = 0;
  /// Replaces all records by `snapshot` in one transaction, durable before it returns.
  virtual Status compact(const std::vector<std::string>& snapshot) = 0;
};

/// Opens or creates `directory`/journal.db. A second process on the same directory gets Errc::conflict naming
/// the holder's pid. `post` runs work on the owner's thread (Reactor::post); `failed` is called through it
/// when a write fails: the owner must stop.
Result<std::unique_ptr<Journal>> open_journal(const std::string& directory,
                                              std::function<void(std::function<void()>)> post,
                                              std::function<void(Error)> failed);

}  // namespace trainyard::store
