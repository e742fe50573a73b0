#include "base/log.h"

#include <algorithm>

#include "base/text.h"

namespace candela {

std::string_view to_string(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug: return "debug";
        case LogLevel::kInfo: return "info";
        case LogLevel::kWarn: return "warn";
        case LogLevel::kError: return "error";
    }
    return "info";
}

Result<LogLevel> parse_log_level(std::string_view text) {
    for (const LogLevel level :
         {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
        if (to_string(level) == text) return level;
    }
    return fail(Code::kInvalid, "\"{}\" is not a log level (debug, info, warn, error)",
                printable(text));
}

// Values with blanks, quotes or control bytes are quoted, so that a line stays one line of fields.
static void append_field(std::string& line, const LogField& field) {
    line += ' ';
    line += field.key;
    line += '=';
    const bool plain =
        !field.value.empty() && std::all_of(field.value.begin(), field.value.end(), [](char c) {
            return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7F;
        });
    if (plain) {
        line += field.value;
        return;
    }
    line += '"';
    for (const char c : printable(field.value, 4096)) {
        if (c == '"' || c == '\\') line += '\\';
        line += c;
    }
    line += '"';
}

Logger Logger::with(std::initializer_list<LogField> fields) const {
    Logger copy = *this;
    for (const LogField& field : fields) append_field(copy.prefix_, field);
    return copy;
}

void Logger::write(LogLevel level, std::string_view event,
                   std::initializer_list<LogField> fields) const {
    std::string line = fmt::format("{} {}", to_string(level), event);
    line += prefix_;
    for (const LogField& field : fields) append_field(line, field);
    sink_->write(level, line);
}

}  // namespace candela
