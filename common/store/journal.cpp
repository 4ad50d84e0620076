#include "common/store/journal.hpp"

#include <sqlite3.h>

#include <condition_variable>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/store/file.hpp"

namespace trainyard::store {

namespace {

constexpr int schema_version = 1;
constexpr int application_id = 0x5459524a;  // "TYRJ"
constexpr std::size_t record_bytes_max = std::size_t{64} << 20;
constexpr std::size_t backlog_bytes_max = std::size_t{256} << 20;
constexpr std::size_t checkpoint_bytes = std::size_t{4}
                                         << 20;  // the WAL is moved into the file after so many

/// The sequence number is part of the checksum: a record that turns up at another place is found out.
std::uint32_t checksum(std::int64_t sequence, std::string_view bytes) {
  const std::uint32_t seed = crc32(std::as_bytes(std::span(&sequence, 1)));
  return crc32(std::as_bytes(std::span(bytes)), seed);
}

struct Statement {
  sqlite3_stmt* handle = nullptr;
  Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(handle); }
};

/// The SQLite file; every method is called with the journal's database mutex held, or before its thread runs.
class Database {
 public:
  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() { sqlite3_close_v2(handle_); }

  Status open(const std::string& path) {
    path_ = path;
    if (sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
        SQLITE_OK) {
      return error("open");
    }
    sqlite3_extended_result_codes(handle_, 1);
    // The lock file keeps other processes out, so SQLite need not share; checkpoints are ours, so that a
    // failing fsync in one of them is noticed.
    if (auto s = execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                         "PRAGMA wal_autocheckpoint=0");
        !s) {
      return s;
    }
    return prepare_schema();
  }

  Result<std::vector<std::string>> read_all() {
    Statement select;
    if (auto s = prepare(select, "SELECT seq, bytes, crc FROM records ORDER BY seq"); !s) return s.error();
    std::vector<std::string> records;
    std::int64_t expected = 0;
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(select.handle)) == SQLITE_ROW) {
      const std::int64_t sequence = sqlite3_column_int64(select.handle, 0);
      const auto* data = static_cast<const char*>(sqlite3_column_blob(select.handle, 1));
      const auto bytes = static_cast<std::size_t>(sqlite3_column_bytes(select.handle, 1));
      std::string record(data == nullptr ? "" : data, data == nullptr ? 0 : bytes);
      if (expected != 0 && sequence != expected) {
        return corrupt(format("record {} is missing", expected));
      }
      if (checksum(sequence, record) != static_cast<std::uint32_t>(sqlite3_column_int64(select.handle, 2))) {
        return corrupt(format("the checksum of record {} does not hold", sequence));
      }
      expected = sequence + 1;
      records.push_back(std::move(record));
    }
    if (code != SQLITE_DONE) return error("read");
    next_sequence_ = std::max<std::int64_t>(expected, next_sequence_);
    return records;
  }

  Status write(std::span<const std::string> records, bool replace) {
    if (auto s = execute("BEGIN IMMEDIATE"); !s) return s;
    std::int64_t sequence = next_sequence_;
    Status done = replace ? execute("DELETE FROM records") : Status{};
    if (done) done = insert(records, sequence);
    if (done) done = execute("COMMIT");
    if (!done) {
      sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
      return done;
    }
    next_sequence_ = sequence;
    for (const std::string& record : records) since_checkpoint_ += record.size() + 64;
    if (!replace && since_checkpoint_ < checkpoint_bytes) return {};
    since_checkpoint_ = 0;
    const int mode = replace ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    if (sqlite3_wal_checkpoint_v2(handle_, nullptr, mode, nullptr, nullptr) != SQLITE_OK)
      return error("checkpoint");
    return {};
  }

 private:
  Status prepare_schema() {
    const auto found = pragma("user_version");
    if (!found) return found.error();
    if (*found > schema_version) {
      return Error{Errc::refused, format("{}: was written by a newer release (format {}, this one knows {}); "
                                         "start that release, or give another state directory",
                                         path_, *found, schema_version)};
    }
    if (*found == schema_version) {
      const auto last = pragma_like("SELECT coalesce(max(seq), 0) FROM records");
      if (!last) return last.error();
      next_sequence_ = *last + 1;
      return {};
    }
    const auto tables = pragma_like("SELECT count(*) FROM sqlite_schema");
    if (!tables) return tables.error();
    if (*tables != 0) return corrupt("is an SQLite file, but not a journal");
    return execute(
        format("BEGIN IMMEDIATE; CREATE TABLE records(seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL, "
               "crc INTEGER NOT NULL); PRAGMA application_id={}; PRAGMA user_version={}; COMMIT",
               application_id, schema_version));
  }

  Status insert(std::span<const std::string> records, std::int64_t& sequence) {
    Statement statement;
    if (auto s = prepare(statement, "INSERT INTO records(seq, bytes, crc) VALUES(?, ?, ?)"); !s) return s;
    for (const std::string& record : records) {
      sqlite3_bind_int64(statement.handle, 1, sequence);
      sqlite3_bind_blob64(statement.handle, 2, record.data(), record.size(), SQLITE_STATIC);
      sqlite3_bind_int64(statement.handle, 3, checksum(sequence, record));
      if (sqlite3_step(statement.handle) != SQLITE_DONE) return error("write");
      sqlite3_reset(statement.handle);
      ++sequence;
    }
    return {};
  }

  Status execute(const std::string& sql) {
    return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? Status{}
                                                                                      : error("use");
  }
  Status prepare(Statement& statement, const char* sql) {
    return sqlite3_prepare_v2(handle_, sql, -1, &statement.handle, nullptr) == SQLITE_OK ? Status{}
                                                                                         : error("use");
  }
  Result<std::int64_t> pragma(const std::string& name) { return pragma_like("PRAGMA " + name); }
  Result<std::int64_t> pragma_like(const std::string& sql) {
    Statement statement;
    if (auto s = prepare(statement, sql.c_str()); !s) return s.error();
    if (sqlite3_step(statement.handle) != SQLITE_ROW) return error("read");
    return sqlite3_column_int64(statement.handle, 0);
  }

  Error corrupt(const std::string& what) const {
    return {Errc::corrupt,
            format("{}: {}; restore it from a backup or give another state directory", path_, what)};
  }
  Error error(const char* what) const {
    const std::string reason = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_);
    const int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle_) & 0xff;
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return corrupt(reason);
    const char* hint = code == SQLITE_FULL ? "; free some space and start again" : "";
    return {Errc::io, format("{}: cannot {}: {}{}", path_, what, reason, hint)};
  }

  std::string path_;
  sqlite3* handle_ = nullptr;
  std::int64_t next_sequence_ = 1;
  std::size_t since_checkpoint_ = 0;
};

/// One entry of the backlog: a record, or somebody to be told that all records before are durable.
struct Entry {
  std::string record;
  std::function<void()> done;
};

class SqliteJournal final : public Journal {
 public:
  SqliteJournal(FileLock lock, std::function<void(std::function<void()>)> post,
                std::function<void(Error)> failed)
      : lock_(std::move(lock)), post_(std::move(post)), failed_(std::move(failed)) {}

  ~SqliteJournal() override {
    {
      std::lock_guard guard(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    if (writer_.joinable()) writer_.join();
  }

  Status open(const std::string& path) {
    if (auto s = database_.open(path); !s) return s;
    writer_ = std::thread([this] { write_groups(); });
    return {};
  }

  Result<std::vector<std::string>> read_all() override {
    wait_until_idle();
    return database_.read_all();
  }

  void append(std::string record) override {
    if (record.size() > record_bytes_max) {
      return fail({Errc::invalid, format("a record of {} is above the bound of {}", size_text(record.size()),
                                         size_text(record_bytes_max))});
    }
    {
      std::lock_guard guard(mutex_);
      if (broken_) return;
      backlog_bytes_ += record.size();
      if (backlog_bytes_ <= backlog_bytes_max) {
        backlog_.push_back({std::move(record), nullptr});
        changed_.notify_all();
        return;
      }
    }
    fail({Errc::io,
          format("the disk is too slow: more than {} wait to be written", size_text(backlog_bytes_max))});
  }

  void when_durable(std::function<void()> done) override {
    {
      std::lock_guard guard(mutex_);
      if (broken_) return;
      // Whoever came before and was not told yet comes first, even if nothing is left to write.
      if (!backlog_.empty() || writing_ || *undelivered_ > 0) {
        ++*undelivered_;
        backlog_.push_back({{}, [done = std::move(done), count = std::weak_ptr(undelivered_)] {
                              const auto alive = count.lock();
                              if (!alive) return;
                              --*alive;
                              done();
                            }});
        changed_.notify_all();
        return;
      }
    }
    done();
  }

  Status compact(const std::vector<std::string>& snapshot) override {
    wait_until_idle();
    {
      std::lock_guard guard(mutex_);
      if (broken_) return Error{Errc::io, "the journal has failed before"};
    }
    Status written = database_.write(snapshot, true);
    if (!written) fail(written.error());
    return written;
  }

 private:
  /// Afterwards the writer touches nothing until the owner, who is here, appends again.
  void wait_until_idle() {
    std::unique_lock guard(mutex_);
    idle_.wait(guard, [&] { return (backlog_.empty() && !writing_) || broken_; });
    idle_.wait(guard, [&] { return !writing_; });
  }

  void fail(Error error) {
    {
      std::lock_guard guard(mutex_);
      if (std::exchange(broken_, true)) return;
      backlog_.clear();
    }
    idle_.notify_all();
    post_([failed = failed_, error = std::move(error)] { failed(error); });
  }

  void write_groups() {
    while (true) {
      std::vector<Entry> group;
      {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [&] { return closing_ || !backlog_.empty(); });
        if (backlog_.empty()) return;
        group.swap(backlog_);
        backlog_bytes_ = 0;
        writing_ = true;
      }
      write_group(std::move(group));
      {
        std::lock_guard guard(mutex_);
        writing_ = false;
      }
      idle_.notify_all();
    }
  }

  void write_group(std::vector<Entry> group) {
    std::vector<std::string> records;
    for (Entry& entry : group) {
      if (!entry.done) records.push_back(std::move(entry.record));
    }
    if (!records.empty()) {
      if (const Status written = database_.write(records, false); !written) return fail(written.error());
    }
    for (Entry& entry : group) {
      if (entry.done) post_(std::move(entry.done));
    }
  }

  FileLock lock_;
  const std::function<void(std::function<void()>)> post_;
  const std::function<void(Error)> failed_;
  Database database_;  // the writer's while writing_, else the owner's
  std::mutex mutex_;   // guards what follows
  std::condition_variable changed_, idle_;
  std::vector<Entry> backlog_;
  std::size_t backlog_bytes_ = 0;
  bool writing_ = false, closing_ = false, broken_ = false;
  std::shared_ptr<std::size_t> undelivered_ = std::make_shared<std::size_t>(0);  // the owner's thread only
  std::thread writer_;
};

}  // namespace

Result<std::unique_ptr<Journal>> open_journal(const std::string& directory,
                                              std::function<void(std::function<void()>)> post,
                                              std::function<void(Error)> failed) {
  if (const Status made = make_directories(directory); !made) return made.error();
  auto lock = FileLock::take(directory + "/lock");
  if (!lock) {
    if (lock.error().code != Errc::conflict) return lock.error();
    return lock.error().with(format("{} is in use", directory));
  }
  auto journal = std::make_unique<SqliteJournal>(std::move(*lock), std::move(post), std::move(failed));
  if (const Status opened = journal->open(directory + "/journal.db"); !opened) return opened.error();
  if (const Status synced = sync_directory(directory); !synced) return synced.error();
  return std::unique_ptr<Journal>(std::move(journal));
}

}  // namespace trainyard::store
