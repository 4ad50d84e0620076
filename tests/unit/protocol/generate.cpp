#include "generate.hpp"

#include <utility>

namespace trainyard::protocol {
namespace {

// Edge values are as likely as all others together.
std::uint64_t count(Random& random) {
  if (random.chance(0.5)) return random.below(2) * (std::uint64_t{1} << 62);
  return random.next() >> (2 + random.below(60));
}
std::uint32_t any32(Random& random) { return static_cast<std::uint32_t>(random.next() >> random.below(64)); }

std::string foreign(Random& random, std::size_t most = 60) {  // any bytes
  std::string text(random.below(most + 1), ' ');
  for (char& c : text) c = static_cast<char>(random.below(256));
  return text;
}
std::string word(Random& random) {
  std::string text(1 + random.below(20), ' ');
  for (char& c : text) c = static_cast<char>('!' + random.below(90));
  return text;
}
template <typename Make>
auto several(Random& random, std::size_t most, Make make) {
  std::vector<decltype(make())> out(random.below(most + 1));
  for (auto& item : out) item = make();
  return out;
}
template <typename Value, typename Make>
std::map<std::string, Value> entries(Random& random, Make make) {
  std::map<std::string, Value> out;
  for (std::size_t i = random.below(5); i > 0; --i) out[word(random)] = make();
  return out;
}
std::map<std::string, double> metrics(Random& random) {
  return entries<double>(random, [&] { return random.normal() * 1e6; });
}
ResourceSet resources(Random& random) {
  return {random.below(1'000'000'001), count(random), static_cast<std::uint32_t>(random.below(1025))};
}
TaskId task(Random& random) {
  return {JobId{1 + random.below(1'000'000)}, static_cast<Role>(random.below(4)),
          static_cast<std::uint32_t>(random.below(100'000))};
}
TaskKey key(Random& random) { return {task(random), Incarnation{1 + any32(random) / 2}}; }
Partition partition(Random& random) {
  return {count(random), any32(random), static_cast<std::uint32_t>(random.below(100'000))};
}
CheckpointPart part(Random& random) {
  return {key(random), count(random), foreign(random), count(random), word(random)};
}
TaskReport report(Random& random) {
  return {.key = key(random),
          .state = static_cast<ProcessState>(random.below(3)),
          .pid = static_cast<std::int32_t>(random.below(std::uint64_t{1} << 31)),
          .exit_code = static_cast<std::int32_t>(random.below(256)),
          .signal = static_cast<std::int32_t>(random.below(65)),
          .memory_peak = count(random),
          .error = foreign(random),
          .last_lines = several(random, 20, [&] { return foreign(random, 500); })};
}
std::vector<TaskReport> reports(Random& random) {
  return several(random, 4, [&] { return report(random); });
}

template <typename T>
T make(Random& random);
template <>
RegisterNode make(Random& r) {
  return {.node = word(r),
          .session = r.next(),
          .version = any32(r),
          .address = word(r),
          .capacity = resources(r),
          .labels = entries<std::string>(r, [&] { return word(r); }),
          .gpu_models = several(r, 8, [&] { return foreign(r); }),
          .tasks = reports(r)};
}
template <>
Heartbeat make(Random& r) {
  return {word(r), r.next(), reports(r)};
}
template <>
LogChunk make(Random& r) {
  return {r.next(), foreign(r, 5000), count(r), count(r), foreign(r)};
}
template <>
Registered make(Random& r) {
  return {count(r), word(r)};
}
template <>
Refused make(Random& r) {
  return {foreign(r), r.chance(0.5)};
}
template <>
LaunchTask make(Random& r) {
  return {.key = key(r),
          .job_yaml = foreign(r, 3000),
          .job_name = word(r),
          .granted = resources(r),
          .gpus = several(r, 8, [&] { return any32(r); }),
          .checkpoint_dir = foreign(r),
          .output_dir = foreign(r),
          .secret = word(r),
          .gang = entries<std::uint32_t>(r, [&] { return std::uint32_t(r.below(100'001)); })};
}
template <>
StopTask make(Random& r) {
  return {key(r), count(r)};
}
template <>
ForgetTask make(Random& r) {
  return {key(r)};
}
template <>
ReadLog make(Random& r) {
  return {r.next(), key(r), r.chance(0.5), count(r), count(r), any32(r)};
}
template <>
RegisterTask make(Random& r) {
  return {key(r), word(r), word(r), static_cast<std::int32_t>(r.below(1u << 31))};
}
template <>
Progress make(Random& r) {
  return {.key = key(r),
          .phase = word(r),
          .epoch = count(r),
          .epochs = count(r),
          .step = count(r),
          .steps = count(r),
          .metrics = metrics(r)};
}
template <>
RequestPartition make(Random& r) {
  return {key(r), count(r), any32(r)};
}
template <>
PartitionDone make(Random& r) {
  return {key(r), partition(r), any32(r), several(r, 100, [&] { return foreign(r); }), any32(r)};
}
template <>
CheckpointPart make(Random& r) {
  return part(r);
}
template <>
CheckpointFailed make(Random& r) {
  return {key(r), count(r), foreign(r)};
}
template <>
CheckpointWritten make(Random& r) {
  return {.key = key(r), .step = count(r), .epoch = count(r), .directory = foreign(r)};
}
template <>
Finished make(Random& r) {
  return {key(r), metrics(r), r.chance(0.5)};
}
template <>
Roster make(Random& r) {
  return {.members = several(r, 6,
                             [&] {
                               return Member{task(r), word(r), word(r), r.chance(0.5)};
                             }),
          .resume_step = count(r),
          .resume_epoch = count(r),
          .resume_directory = foreign(r),
          .epoch = count(r)};
}
template <>
GrantPartition make(Random& r) {
  return {partition(r)};
}
template <>
CommitCheckpoint make(Random& r) {
  return {count(r), several(r, 6, [&] { return part(r); })};
}
template <>
StopTraining make(Random& r) {
  return {foreign(r)};
}
template <>
Dismiss make(Random&) {
  return {};
}

template <std::size_t... kinds>
Message pick(std::size_t kind, Random& random, std::index_sequence<kinds...>) {
  Message out;
  ((kind == kinds ? void(out = make<std::variant_alternative_t<kinds, Message>>(random)) : void()), ...);
  return out;
}

}  // namespace

Message generate(std::size_t kind, Random& random) {
  return pick(kind, random, std::make_index_sequence<std::variant_size_v<Message>>{});
}

DataHeader generate_header(Random& random) {
  return {.kind = static_cast<DataKind>(random.below(12)),
          .job = 1 + random.below(1'000'000),
          .incarnation = 1 + any32(random) / 2,
          .trainer = static_cast<std::uint32_t>(random.below(100'000)),
          .shard = static_cast<std::uint32_t>(random.below(100'000)),
          .sequence = count(random),
          .samples = any32(random),
          .checkpoint = count(random),
          .ending = static_cast<Ending>(random.below(3)),
          .epoch = count(random),
          .steps_per_epoch = count(random),
          .slices = several(random, 50,
                            [&] {
                              return SliceInfo{count(random), random.below(std::uint64_t{1} << 40),
                                               static_cast<SliceKind>(random.below(3)), random.uniform(),
                                               random.uniform()};
                            }),
          .reason = foreign(random),
          .averages = random.chance(0.5),
          .square_sums = several(random, 50, [&] { return random.normal(); }),
          .norm = random.normal(),
          .coding = static_cast<config::Compression>(random.below(5)),
          .cut = count(random),
          .version = any32(random),
          .last = random.chance(0.5),
          .log = count(random),
          .staleness = any32(random)};
}

}  // namespace trainyard::protocol
