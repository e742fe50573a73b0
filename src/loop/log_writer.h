#pragma once

// The sink behind a node's logs: lines in the form that a terminal or journald wants, written by a
// LineWriter. Any thread may write.

#include <cstdint>

#include "base/log.h"
#include "loop/line_writer.h"

namespace candela {

class LogWriter final : public LogSink {
public:
    enum class Format : uint8_t {
        kPlain,    // "2026-01-02T03:04:05.678Z info event key=value"
        kJournal,  // "<6>info event key=value": journald has the time, and reads the priority
    };

    LogWriter(int fd, Format format);

    void write(LogLevel level, std::string_view line) override;

private:
    const Format format_;
    LineWriter writer_;
};

}  // namespace candela
