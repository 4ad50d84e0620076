// The end of a training: the last checkpoint, the test, the bundle.
#include <algorithm>
#include <filesystem>
#include <thread>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/store/file.hpp"
#include "daemons/trainer/bundle/bundle.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

namespace {

constexpr Duration skipped_patience = 2s;  // for the lists of the other trainers
constexpr std::uint64_t skipped_bytes_max = 16 << 20;

Time now() { return std::chrono::steady_clock::now(); }

std::string skipped_file(const runtime::TaskEnvironment& environment, std::uint32_t rank) {
  return format("{}/skipped-{}-{}.txt", environment.checkpoint_dir, number(environment.key.incarnation),
                rank);
}

}  // namespace

/// The chief's bundle lists what every trainer skipped; the others leave theirs beside the checkpoints.
void Training::keep_skipped() {
  const std::vector<std::string> lines(skipped_.begin(), skipped_.end());
  // Where nothing was due for a checkpoint there is no folder yet.
  Status written = store::make_directories(environment_.checkpoint_dir);
  if (written)
    written = store::write_atomic(skipped_file(environment_, environment_.key.task.index), join(lines, "\n"));
  if (!written) log::warn("{}", written.error().message);
}

void Training::gather_skipped() {
  const Time until = now() + skipped_patience;
  for (std::uint32_t rank = 1; rank < job_.cluster.trainers; ++rank) {
    const std::string file = skipped_file(environment_, rank);
    auto text = store::read_file(file, skipped_bytes_max);
    while (!text && now() < until && !link_.cancelled) {
      std::this_thread::sleep_for(10ms);
      text = store::read_file(file, skipped_bytes_max);
    }
    if (!text) {
      log::warn("what trainer-{} skipped is not known: {}", rank, text.error().message);
      continue;
    }
    for (const std::string& line : split(*text, '\n')) {
      if (!line.empty()) skipped_.insert(line);
    }
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }
}

Status Training::finish() {
  const bool stopped = ending_ == protocol::Ending::stopped;
  if (!is_chief()) {
    // What the chief does with it hangs on the same word of the exchange, whatever the master told whom.
    if (ending_ == protocol::Ending::done) keep_skipped();
    link_.report(protocol::Finished{environment_.key, {}, stopped});
    return {};
  }
  if (const Status committed = await_commit(); !committed) return committed;
  if (stopped || stop_asked_) {
    if (!stopped) gather_skipped();  // no bundle takes them: they go
    link_.report(protocol::Finished{environment_.key, {}, true});
    return {};
  }
  const std::uint64_t step = history_.empty() ? start_ : history_.back().step;
  std::map<std::string, double> metrics;
  if (!history_.empty()) metrics = history_.back().metrics;
  tell_progress("test", step, metrics);
  if (const Status taken = take_averages(); !taken) return taken;
  const auto& records = split_.test.empty() ? split_.validation : split_.test;
  const Evaluation test = evaluate(*network_, *dataset_, *pipeline_, records, job_.data.batch_size,
                                   std::max(1u, job_.data.loaders), link_.cancelled);
  if (link_.cancelled) return cancelled_error();
  skipped_.insert(test.bad.begin(), test.bad.end());
  gather_skipped();
  metrics.insert_or_assign("test/loss", test.metrics.loss);
  metrics.insert_or_assign("test/accuracy", test.metrics.accuracy);
  tell_progress("export", step, metrics);
  const Status written =
      write_bundle(environment_.output_dir, {.job = job_,
                                             .job_id = number(environment_.key.task.job),
                                             .network = *network_,
                                             .dataset = *dataset_,
                                             .pipeline = *pipeline_,
                                             .test = test,
                                             .history = history_,
                                             .skipped = {skipped_.begin(), skipped_.end()}});
  if (!written) return written.error().with("bundle");
  log::info("the model is in {}; test accuracy {:.4f} on {} records", environment_.output_dir,
            test.metrics.accuracy, test.metrics.count);
  link_.report(protocol::Finished{environment_.key, metrics, false});
  return {};
}

}  // namespace trainyard::trainer
