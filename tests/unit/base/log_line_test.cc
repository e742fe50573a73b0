#include "base/log_line.h"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include "base/time.h"

namespace candela {
namespace {

constexpr std::string_view kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Sample {
    const char* from;
    std::string line;
    LineLevel level;
    bool has_trace;
    bool has_time;
    const char* message;
};

TEST_CASE("lines_of_the_usual_json_loggers_are_read_by_their_own_names") {
    const std::string t(kTrace);
    const Sample samples[] = {
        {"pino",
         R"({"level":40,"time":1700000000123,"pid":7,"hostname":"h","trace_id":")" + t +
             R"(","msg":"slow"})",
         LineLevel::kWarn, true, true, "\"slow\""},
        {"bunyan",
         R"({"name":"app","hostname":"h","pid":1,"level":50,"msg":"no \"disk\"","time":"2023-11-14T22:13:20.123Z","v":0})",
         LineLevel::kError, false, true, R"("no \"disk\"")"},
        {"zap",
         R"({"level":"dpanic","ts":1700000000.123,"caller":"a/b.go:7","msg":"out","traceId":")" +
             t + R"("})",
         LineLevel::kFatal, true, true, "\"out\""},
        {"slog",
         R"({"time":"2023-11-14T23:13:20.123456789+01:00","level":"DEBUG+1","msg":"m","a":{"b":[1,"}"]}})",
         LineLevel::kDebug, false, true, "\"m\""},
        {"logrus", R"({"level":"warning","msg":"m","time":"2023-11-14T22:13:20Z"})",
         LineLevel::kWarn, false, true, "\"m\""},
        {"python-json-logger",
         R"({"asctime": "2023-11-14 22:13:20,123", "levelname": "CRITICAL", "message": "m"})",
         LineLevel::kFatal, false, false, "\"m\""},
        {"python, by number", R"({"levelno": 30, "message": "m"})", LineLevel::kWarn, false, false,
         "\"m\""},
        {"structlog",
         R"({"event": "signed in", "level": "info", "timestamp": "2023-11-14T22:13:20Z"})",
         LineLevel::kInfo, false, true, "\"signed in\""},
        {"Serilog",
         R"({"@t":"2023-11-14T22:13:20.1Z","@mt":"Hi {Name}","@m":"Hi Ann","@l":"Error","@tr":")" +
             t + R"("})",
         LineLevel::kError, true, true, "\"Hi Ann\""},
        {"Logback",
         R"({"@timestamp":"2023-11-14T22:13:20.123Z","@version":"1","message":"m","level":"WARN","level_value":30000})",
         LineLevel::kWarn, false, true, "\"m\""},
        {"Elastic",
         R"({"@timestamp":"2023-11-14T22:13:20Z","log.level":"error","trace":{"id":")" + t +
             R"("},"message":"m"})",
         LineLevel::kError, true, true, "\"m\""},
        {"OpenTelemetry",
         R"({"timeUnixNano":"1700000000123000000","severityNumber":17,"body":{"stringValue":"m"},"traceId":")" +
             t + R"("})",
         LineLevel::kError, true, true, "\"m\""},
        {"Google",
         R"({"severity":"NOTICE","logging.googleapis.com/trace":"projects/p/traces/)" + t +
             R"(","message":"m"})",
         LineLevel::kInfo, true, false, "\"m\""},
        {"a traceparent",
         R"({"lvl":"info","traceparent":"00-)" + t + R"(-00f067aa0ba902b7-01","msg":"m"})",
         LineLevel::kInfo, true, false, "\"m\""},
    };
    const auto day = unix_millis(*parse_rfc3339("2023-11-14T22:13:20Z"));
    for (const Sample& sample : samples) {
        INFO(sample.from);
        const LineFacts facts = read_line(sample.line);
        CHECK(facts.is_structured);
        CHECK(facts.level == sample.level);
        CHECK((facts.trace_id.view() == kTrace) == sample.has_trace);
        CHECK(facts.time_ms.has_value() == sample.has_time);
        if (facts.time_ms) CHECK(*facts.time_ms / 1000 == day / 1000);
        const auto parts = split_line(sample.line);
        REQUIRE(parts);
        CHECK(parts->message == sample.message);
    }
}

TEST_CASE("what_is_not_told_otherwise_stays_as_a_field") {
    const auto parts =
        split_line(R"({"level":30,"time":1700000000123,"msg":"m","req":{"id":1},"a":"b"})");
    REQUIRE(parts);
    CHECK(parts->fields == R"("req":{"id":1},"a":"b")");
    CHECK_FALSE(split_line("plain"));
    CHECK_FALSE(split_line(R"({"level":30,"msg":"cut)"));
    CHECK(split_line(R"({"a":1})")->message.empty());
}

TEST_CASE("the_level_of_a_plain_line_is_what_it_plainly_begins_with") {
    const std::pair<const char*, LineLevel> lines[] = {
        {"ERROR no disk", LineLevel::kError},
        {"[warn] slow", LineLevel::kWarn},
        {"2026-01-02 03:04:05,678 WARNING slow", LineLevel::kWarn},
        {"2026-01-02T03:04:05.678Z [ERROR] no", LineLevel::kError},
        {"[2026-01-02 03:04:05] [info] up", LineLevel::kInfo},
        {"error: no such file", LineLevel::kError},
        {"Error: boom", LineLevel::kError},
        {"<3>no disk", LineLevel::kError},
        {"W0102 15:04:05.678901 1 a.go:7] slow", LineLevel::kWarn},
        {"ts=1 level=warn msg=slow", LineLevel::kWarn},
        {"INFO:     Started server", LineLevel::kInfo},
        {"error handling is fun", LineLevel::kUnknown},
        {"there was an ERROR", LineLevel::kUnknown},
        {"Information for you", LineLevel::kUnknown},
        {"x=level=warn", LineLevel::kUnknown},
        {"", LineLevel::kUnknown},
        {"[", LineLevel::kUnknown},
        {"12:00", LineLevel::kUnknown},
    };
    for (const auto& [line, level] : lines) {
        INFO(line);
        CHECK(read_line(line).level == level);
    }
}

TEST_CASE("the_trace_of_a_plain_line_is_found_where_it_is_named_or_a_traceparent") {
    const std::string t(kTrace);
    for (const std::string& line : std::vector<std::string>{
             "GET / trace_id=" + t, "served traceId: " + t + ", ok", "Trace-Id \"" + t + "\" x",
             "traceparent: 00-" + t + "-00f067aa0ba902b7-01",
             "got 00-" + t + "-00f067aa0ba902b7-01!",
             "[trace_id=4BF92F35-77b3-4da6-a3ce-929d0e0e4736]"}) {
        INFO(line);
        CHECK(read_line(line).trace_id.view() == kTrace);
    }
    for (const std::string& line :
         std::vector<std::string>{"a trace of " + t, std::string("traceId="), "race id 1",
                                  "trace_id=00000000000000000000000000000000"}) {
        INFO(line);
        CHECK(read_line(line).trace_id.view().empty());
    }
}

TEST_CASE("json_that_is_not_whole_is_a_plain_line") {
    for (const char* line : {R"({"level":"error")", R"({"level":"error",})", R"({"level" "error"})",
                             R"({"level":"error"} more})", R"({level:"error"})", "{}}",
                             R"({"a":{]})", R"({"a":x})", R"({"a":01})", R"({"a":[1 2]})",
                             R"({"a":"\x"})", R"({"a":{"b"}})", R"({"a":1.})", R"({"a":tru})"}) {
        INFO(line);
        CHECK_FALSE(read_line(line).is_structured);
    }
    CHECK(read_line("{}").is_structured);
    CHECK(read_line(R"({ "a" : [ -1.5e+3 , {} , [ ] , null , {"b" : true} ] , "c":"\u00fc" })")
              .is_structured);
    CHECK_FALSE(
        read_line("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}").is_structured);
}

TEST_CASE("json_strings_come_back_as_they_were") {
    for (const std::string& text :
         {std::string("a\"b\\c\n\t\r\x01"), std::string("ü€😀"), std::string("\0x", 2)}) {
        std::string quoted;
        append_json_string(text, quoted);
        CHECK(unquote_json(quoted) == text);
    }
    std::string broken;
    append_json_string("a\xff\xc3(b", broken);
    CHECK(unquote_json(broken) == "a\xef\xbf\xbd\xef\xbf\xbd(b");
    CHECK(unquote_json(R"("\ud83d\ude00\u00fc\ud800")") == "😀ü\xef\xbf\xbd");
    CHECK_FALSE(unquote_json(R"("\x")"));
    CHECK_FALSE(unquote_json("a"));
}

}  // namespace
}  // namespace candela
