#pragma once

// What a line of a service's log says of itself: how grave it is, which request it is about, when
// it was written, what its message is. Lines that are JSON objects are read by the names that pino,
// bunyan, zap, slog, logrus, structlog, Serilog, Logback, python-json-logger and OpenTelemetry give
// these; of others the level is known only where they begin with it plainly. Pure functions that
// allocate nothing for what a host asks of every line.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candela {

enum class LineLevel : uint8_t { kUnknown, kTrace, kDebug, kInfo, kWarn, kError, kFatal };

std::string_view to_string(LineLevel level);  // "trace" … "fatal"; empty where it is unknown
// "warn", "WARNING", "Err", "critical", …; nothing where it is no level's name.
std::optional<LineLevel> parse_line_level(std::string_view text);

// In 32 lower-case hexadecimal digits where it is one of W3C Trace Context, else as it was.
struct TraceId {
    static constexpr size_t kSizeMax = 64;
    char text[kSizeMax];
    uint8_t size = 0;
    std::string_view view() const { return {text, size}; }
};
// An id, a traceparent (the id in it), or a UUID. Empty where it is none of them: 8 to 64 letters,
// digits, '-' and '_'.
TraceId parse_trace_id(std::string_view text);

struct LineFacts {
    LineLevel level = LineLevel::kUnknown;
    TraceId trace_id;
    std::optional<int64_t> time_ms;  // since 1970, as the line says
    bool is_structured = false;      // one JSON object
};
LineFacts read_line(std::string_view line);

// Of a structured line: its message, as the JSON string that stands there (with its quotes), and
// the other members ("a":1,"b":"c") but those that LineFacts has. Nothing where it is none.
struct LineParts {
    std::string message;
    std::string fields;
};
std::optional<LineParts> split_line(std::string_view line);

// Walks the members of a JSON object (RFC 8259, but for UTF-8 in strings) without a copy of it.
// Names and values are as they stand in the text. False from next() at the end, and where it is not
// JSON (is_whole() tells).
class JsonMembers {
public:
    explicit JsonMembers(std::string_view object);
    bool next();
    std::string_view name() const { return name_; }  // without quotes, escapes as they are
    std::string_view value() const { return value_; }
    // The text was one whole object and nothing else.
    bool is_whole() const { return is_whole_; }

private:
    void skip_blanks();
    bool skip_string();
    bool skip_plain();
    bool skip_value(int depth);

    std::string_view text_;
    size_t at_ = 0;
    bool is_first_ = true;
    bool is_whole_ = false;
    bool is_object_ = false;
    std::string_view name_;
    std::string_view value_;
};

// The text that a JSON string (with its quotes) stands for; nothing where it is none.
std::optional<std::string> unquote_json(std::string_view quoted);
// Appends the text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string& out);

}  // namespace candela
