#include "loop/log_writer.h"

namespace candela {

namespace {

// sd-daemon(3): a line may begin with its syslog priority in angle brackets.
std::string_view priority_prefix(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug: return "<7>";
        case LogLevel::kInfo: return "<6>";
        case LogLevel::kWarn: return "<4>";
        case LogLevel::kError: return "<3>";
    }
    return "<6>";
}

}  // namespace

LogWriter::LogWriter(int fd, Format format)
    : format_(format), writer_(fd, [](uint64_t count) {
          return fmt::format("warn log_lines_dropped count={}\n", count);
      }) {}

void LogWriter::write(LogLevel level, std::string_view line) {
    std::string text;
    if (format_ == Format::kJournal) {
        text = priority_prefix(level);
    } else {
        text = format_rfc3339(std::chrono::system_clock::now());
        text += ' ';
    }
    text += line;
    text += '\n';
    writer_.write(text);
}

}  // namespace candela
