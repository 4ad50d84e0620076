// A real shard, a real training and real files; the test is their master. A part of a checkpoint that cannot
// be written costs that checkpoint, and nothing else.
#include <catch2/catch.hpp>
#include <filesystem>
#include <mutex>

#include "common/store/file.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/chief_part.hpp"
#include "daemons/trainer/training.hpp"
#include "tests/unit/data/pictures.hpp"
#include "tests/unit/graph/networks.hpp"

using namespace trainyard;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t epochs = 2, pictures = 20, batch = 4;

config::JobSpec job(const std::string& data, Duration every) {
  config::JobSpec spec;
  spec.name = "small";
  spec.cluster.trainers = 1;
  spec.cluster.parameter_servers = 1;
  spec.data.path = data;
  spec.data.batch_size = batch;
  spec.data.transform = {{.kind = config::Transform::Kind::resize, .height = 8, .width = 8}};
  spec.model = {{graph::test::plain(graph::test::LayerKind::flatten), graph::test::dense(2)}};
  spec.train.epochs = epochs;
  spec.checkpoint = {.every = every, .keep = 2};
  return spec;
}

/// One trainer and one shard of job 1, and what they said.
class Gang {
 public:
  explicit Gang(Duration every) {
    for (std::uint32_t i = 0; i < pictures; ++i) {
      for (const char* kind : {"a", "b"}) {
        test::write(dir_.path / "data" / kind / (std::to_string(100 + i) + ".jpg"),
                    test::jpeg(12, 12, static_cast<int>(i * 6) + (*kind == 'a' ? 0 : 120)));
      }
    }
    job_ = job(at("data"), every);
    link_.connected = true;
    link_.report = [this](protocol::Message message) { hear(message); };
  }

  /// A directory that is not empty stands where the part goes.
  void obstruct(std::uint64_t step, const std::string& file) {
    once_begun([path = directory(step) + "/" + file] { fs::create_directories(path + "/in the way"); });
  }
  /// Before the first step; what lay there before the training began is swept away by it.
  void once_begun(std::function<void()> work) { begun_.push_back(std::move(work)); }

  Status run() {
    auto server = net::DataServer::bind("127.0.0.1");
    REQUIRE(server.has_value());
    const std::string endpoint = (*server)->endpoint();
    const ps::Identity identity{.job = 1, .incarnation = 1, .shard = 0, .trainers = 1};
    const ps::DataPlane shard(
        std::move(*server), ps::Core(identity, job_.train), {identity, checkpoints()},
        [this](const ps::Written& written) {
          if (written.part) {
            hear(protocol::CheckpointPart{shard_key, written.step, written.part->file, written.part->bytes,
                                          written.part->checksum});
          } else {
            hear(protocol::CheckpointFailed{shard_key, written.step, written.part.error().message});
          }
        });
    tell(protocol::Roster{.members = {{shard_key.task, endpoint, "n1"}, {chief_key.task, "", "n1"}}});
    const Status status =
        trainer::Training({.key = chief_key, .checkpoint_dir = checkpoints(), .output_dir = at("out")}, job_,
                          link_)
            .run();
    return status;
  }

  std::string checkpoints() const { return at("checkpoints"); }
  std::string directory(std::uint64_t step) const {
    return checkpoints() + "/" + store::checkpoint_name(step, 1);
  }
  std::uint64_t steps() const {
    return epochs *
           data::Geometry{.records = pictures * 2 * 8 / 10, .trainers = 1, .batch = batch}.steps_per_epoch();
  }

  std::map<std::uint64_t, protocol::CheckpointFailed> failed;
  std::vector<std::uint64_t> committed;
  bool finished = false;

 private:
  void tell(protocol::Message message) {
    check(link_.inbox.try_put(message), "the inbox holds all that the master says");
  }

  /// As a master does, except that a step begins only once the checkpoint of the one before is settled.
  void hear(const protocol::Message& message) {
    const std::lock_guard lock(mutex_);
    if (const auto* request = std::get_if<protocol::RequestPartition>(&message)) {
      request_ = *request;
      for (const auto& work : std::exchange(begun_, {})) work();
    } else if (const auto* part = std::get_if<protocol::CheckpointPart>(&message)) {
      auto& parts = parts_[part->step];
      parts.push_back(*part);
      if (parts.size() == 2) tell(protocol::CommitCheckpoint{part->step, parts});
    } else if (const auto* lost = std::get_if<protocol::CheckpointFailed>(&message)) {
      failed.emplace(lost->step, *lost);
      if (lost->key == shard_key) tell(*lost);
    } else if (const auto* written = std::get_if<protocol::CheckpointWritten>(&message)) {
      committed.push_back(written->step);
    } else if (std::holds_alternative<protocol::Finished>(message)) {
      finished = true;
    }
    const bool each_step = job_.checkpoint.every == 0s;
    if (request_ && (!each_step || committed.size() + failed.size() == granted_)) {
      ++granted_;
      tell(protocol::GrantPartition{{request_->epoch, request_->index, 0}});
      request_.reset();
    }
  }

  std::string at(const char* name) const { return (dir_.path / name).string(); }

  static constexpr protocol::TaskKey chief_key{{JobId{1}, Role::trainer, 0}, Incarnation{1}};
  static constexpr protocol::TaskKey shard_key{{JobId{1}, Role::ps, 0}, Incarnation{1}};

  test::TempDir dir_;
  config::JobSpec job_;
  trainer::Link link_;
  std::mutex mutex_;
  std::vector<std::function<void()>> begun_;
  std::optional<protocol::RequestPartition> request_;
  std::size_t granted_ = 0;
  std::map<std::uint64_t, std::vector<protocol::CheckpointPart>> parts_;
};

}  // namespace

TEST_CASE("checkpoints that cannot be written are given up one by one, the others are committed",
          "[component]") {
  Gang gang(0s);  // every step
  REQUIRE(gang.steps() == 16);
  gang.obstruct(2, "ps-0.part");
  gang.obstruct(3, "chief.part");
  gang.obstruct(5, "manifest.json");
  const Status status = gang.run();
  INFO((status ? "" : status.error().message));
  REQUIRE(status.has_value());
  CHECK(gang.finished);
  REQUIRE(gang.failed.size() == 3);
  CHECK(gang.failed.at(2).key.task.role == Role::ps);
  CHECK_THAT(gang.failed.at(2).reason, Contains(gang.directory(2) + "/ps-0.part: cannot"));
  CHECK(gang.failed.at(3).key.task.role == Role::trainer);
  CHECK_THAT(gang.failed.at(3).reason, Contains(gang.directory(3) + "/chief.part: cannot"));
  CHECK_THAT(gang.failed.at(5).reason, Contains(gang.directory(5) + "/manifest.json: cannot"));
  CHECK(gang.committed == std::vector<std::uint64_t>{1, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  const auto last = trainer::read_chief_part(gang.directory(16));
  REQUIRE(last.has_value());
  CHECK(last->ended);
}

TEST_CASE("a last checkpoint that cannot be written holds nobody up, and the one before stays",
          "[component]") {
  for (const char* file : {"ps-0.part", "chief.part"}) {
    Gang gang(1h);  // the last step alone
    const std::string bytes = "part";
    const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
    gang.once_begun([&] {
      const auto part = store::write_part(gang.directory(1), "x.part", std::span(&piece, 1));
      check(part && store::write_manifest(gang.directory(1), {1, 0, 1, {*part}}), "an older checkpoint");
    });
    gang.obstruct(gang.steps(), file);
    const Time began = SystemClock{}.now().monotonic;
    REQUIRE(gang.run().has_value());
    CHECK(SystemClock{}.now().monotonic - began < 20s);  // who waits for the part, waits for 30 s
    INFO(file);
    CHECK(gang.finished);
    CHECK(gang.committed.empty());
    CHECK(gang.failed.size() == 1);
    CHECK(store::read_manifest(gang.directory(1)).has_value());
    CHECK_FALSE(fs::exists(gang.directory(gang.steps())));  // what is left of it takes no room
  }
}
