#include "daemons/cli/table.hpp"

#include <catch2/catch.hpp>

using namespace trainyard;
using namespace trainyard::cli;

TEST_CASE("columns are as wide as their widest cell, and lines end without blanks", "[cli]") {
  Table table({"ID", "NAME", "STATE"});
  table.add({"7", "flowers", "RUNNING"});
  table.add({"12", "größer", ""});
  CHECK(table.text() ==
        "ID  NAME     STATE\n"
        "7   flowers  RUNNING\n"
        "12  größer\n");
}

TEST_CASE("escape sequences take no room on a terminal", "[cli]") {
  CHECK(display_width("\x1b[31mred\x1b[0m") == 3);
  CHECK(display_width("") == 0);
}

TEST_CASE("YAML quotes what would read back as something else", "[cli]") {
  const Json value = {{"name", "flowers"}, {"yes", "no"},    {"version", "1.10"}, {"empty", ""},
                      {"path", "/data/a"}, {"note", "a: b"}, {"null", nullptr},   {"list", Json::array()}};
  CHECK(yaml_text(value) ==
        "name: flowers\n"
        "\"yes\": \"no\"\n"
        "version: \"1.10\"\n"
        "empty: \"\"\n"
        "path: /data/a\n"
        "note: \"a: b\"\n"
        "\"null\": null\n"
        "list: []\n");
}

TEST_CASE("YAML nests objects in lists", "[cli]") {
  const Json value = {{"jobs", {{{"id", 1}, {"tasks", {"a", "b"}}}, {{"id", 2}, {"tasks", Json::array()}}}}};
  CHECK(yaml_text(value) ==
        "jobs:\n"
        "  - id: 1\n"
        "    tasks:\n"
        "      - a\n"
        "      - b\n"
        "  - id: 2\n"
        "    tasks: []\n");
}

TEST_CASE("members of foreign JSON never throw", "[cli]") {
  const Json value = {{"text", 5}, {"number", "x"}, {"list", 1}};
  CHECK(text_at(value, "text", "-") == "-");
  CHECK(number_at(value, "number", 2) == 2);
  CHECK(integer_at(value, "absent", 3) == 3);
  CHECK(list_at(value, "list").empty());
  CHECK(object_at(Json(1), "any").empty());
  CHECK_FALSE(flag_at(value, "text"));
}

TEST_CASE("ages and metrics are short", "[cli]") {
  CHECK(age_text(-5) == "0s");
  CHECK(age_text(59'999) == "59s");
  CHECK(age_text(190'000) == "3m10s");
  CHECK(age_text(7'500'000) == "2h05m");
  CHECK(age_text(360'000'000) == "4d4h");
  CHECK(metric_text(3) == "3");
  CHECK(metric_text(0.98765) == "0.9877");
  CHECK(metric_text(0.00001234) == "1.23e-05");
  CHECK(metric_text(12345.67) == "12345.7");
}
