#pragma once

// Structured logs: an event name in snake_case with key=value fields.
//     log.info("instance_started", {{"instance", id}, {"pid", pid}});
// error: a person must act. warn: something is off and is being dealt with. info: a state changed.
// debug: the rest. A Secret does not convert to a field.
// A Logger is a cheap value: a sink, a level and fixed fields. Sinks may be called from any thread.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace candela {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

std::string_view to_string(LogLevel level);
Result<LogLevel> parse_log_level(std::string_view text);

struct LogField {
    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
    LogField(std::string_view k, const char* v) : key(k), value(v) {}
    LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
    LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
    LogField(std::string_view k, Duration v) : key(k), value(format_duration(v)) {}
    LogField(std::string_view k, const Error& v) : key(k), value(v.message()) {}
    template <class N>
        requires std::integral<N> || std::floating_point<N>
    LogField(std::string_view k, N v) : key(k), value(fmt::format("{}", v)) {}

    std::string_view key;
    std::string value;
};

// Takes whole lines without the newline. Must not block and must not fail loudly.
class LogSink {
public:
    virtual ~LogSink() = default;
    virtual void write(LogLevel level, std::string_view line) = 0;
};

class Logger {
public:
    Logger() = default;  // says nothing
    Logger(LogSink& sink, LogLevel level) : sink_(&sink), level_(level) {}

    // The same logger with further fields on every line, for example a role or a connection.
    Logger with(std::initializer_list<LogField> fields) const;

    bool enabled(LogLevel level) const { return sink_ != nullptr && level >= level_; }

    void debug(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::kDebug)) write(LogLevel::kDebug, event, fields);
    }
    void info(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::kInfo)) write(LogLevel::kInfo, event, fields);
    }
    void warn(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::kWarn)) write(LogLevel::kWarn, event, fields);
    }
    void error(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::kError)) write(LogLevel::kError, event, fields);
    }

private:
    void write(LogLevel level, std::string_view event,
               std::initializer_list<LogField> fields) const;

    LogSink* sink_ = nullptr;
    LogLevel level_ = LogLevel::kInfo;
    std::string prefix_;  // " key=value" of with()
};

}  // namespace candela
