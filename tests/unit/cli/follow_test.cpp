#include "daemons/cli/follow.hpp"

#include <catch2/catch.hpp>

#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

using namespace trainyard;
using namespace trainyard::cli;

TEST_CASE("the bar shows epoch, step, loss, accuracy and the time that is left", "[cli]") {
  const Json job = {{"name", "flowers"},
                    {"state", "RUNNING"},
                    {"first_step_ms", 1000},
                    {"progress",
                     {{"phase", "training"},
                      {"epoch", 2},
                      {"epochs", 4},
                      {"step", 50},
                      {"steps", 100},
                      {"metrics", {{"loss", 0.5}, {"accuracy", 0.75}}}}}};
  CHECK(progress_text(job, 61'000, 200) ==
        "flowers [##########..........] epoch 2/4 step 50/100 loss 0.5000 accuracy 0.7500 eta 1m00s");
  CHECK(progress_text(job, 61'000, 20).size() == 20);
}

TEST_CASE("the bar of a job that has not begun says in what state it is", "[cli]") {
  CHECK(progress_text({{"name", "a"}, {"state", "PENDING"}}, 0, 80) == "a [....................] PENDING");
}

TEST_CASE("an epoch's line begins with what matters, and leaves the waits to -o json", "[cli]") {
  const Json entry = {
      {"epoch", 3},
      {"step", 120},
      {"metrics",
       {{"learning_rate", 0.01}, {"train/loss", 0.91}, {"validation/accuracy", 0.5}, {"wait/input", 0.1}}}};
  CHECK(epoch_text(entry, 20) ==
        "epoch 3/20  step 120  train/loss 0.9100  validation/accuracy 0.5000  learning_rate 0.0100");
}

TEST_CASE("the summary of a failed job names the task, its cause and its last lines", "[cli]") {
  const Json job = {{"id", 7},
                    {"name", "a"},
                    {"state", "FAILED"},
                    {"cause", "too many restarts"},
                    {"output_dir", "/out"},
                    {"tasks",
                     {{{"role", "trainer"},
                       {"index", 1},
                       {"state", "FAILED"},
                       {"node", "n1"},
                       {"cause", "killed by signal 9"},
                       {"last_lines", {"one", "two"}}},
                      {{"role", "ps"},
                       {"index", 0},
                       {"state", "FAILED"},
                       {"node", "n1"},
                       {"cause", "ps-0 on n1 exited with code 1"},
                       {"last_lines", Json::array()}}}}};
  CHECK(summary_text(job) ==
        "job 7 (a): FAILED: too many restarts\n"
        "\ntrainer-1 on n1: killed by signal 9\n  | one\n  | two\n"
        "\nps-0 on n1 exited with code 1\n");
  CHECK(outcome_code(job) == exit_failed);
  CHECK(has_ended(job));
}

TEST_CASE("an answer's status decides the exit code, its body the message", "[cli]") {
  const std::string body = R"({"error": {"code": "refused", "message": "no node has 64 GPUs"}})";
  CHECK(error_of(422, body).message == "no node has 64 GPUs");
  CHECK(exit_code(error_of(422, body).code) == exit_refused);
  CHECK(exit_code(error_of(401, "").code) == exit_refused);
  CHECK(exit_code(error_of(404, "").code) == exit_not_found);
  CHECK(exit_code(error_of(400, "").code) == exit_usage);
  CHECK(exit_code(error_of(503, "not json").code) == exit_unreachable);
  CHECK(exit_code(error_of(500, "").code) == exit_failed);
}

TEST_CASE("a job id is a whole number from 1", "[cli]") {
  CHECK(*parse_job_id("17") == 17);
  for (const char* text : {"", "0", "-1", "1x", "x", "99999999999999999999"}) CHECK_FALSE(parse_job_id(text));
}
