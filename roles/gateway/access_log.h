#pragma once

// A line for each request that a worker has answered: JSON, or the combined form that log readers
// know. Queries, cookies and credentials are never in it. Each worker gathers its lines and hands
// them on once a round; a thread writes them. The file belongs to the gateway, which opens it anew
// at reload, so that logrotate can move it.

#include <memory>
#include <string>
#include <string_view>

#include "base/config.h"
#include "http/proxy.h"
#include "loop/line_writer.h"

namespace candela::gateway {

struct AccessLogSettings {
    enum class Format : uint8_t { kJson, kCombined };

    std::string file;  // empty: none is kept
    Format format = Format::kJson;
    uint32_t lighthouse_rate = 0;  // lines a second that are sent there; 0: none
    bool operator==(const AccessLogSettings&) const = default;
};

ConfigKey access_log_key();
AccessLogSettings read_access_log_settings(const Config& gateway);

// Where the lines of all workers go. Control loop, but for write(), which is for any thread.
class AccessLogFile final {
public:
    // Blocks for as long as opening the file takes.
    static Result<std::shared_ptr<AccessLogFile>> open(const std::string& path);
    explicit AccessLogFile(int fd);
    ~AccessLogFile();

    // Opens the path again, and writes there from now on. An error changes nothing.
    Result<> reopen(const std::string& path);
    void write(std::string_view lines) { writer_->write(lines); }

private:
    int fd_;
    std::unique_ptr<LineWriter> writer_;  // ends before the descriptor is closed
};

// One request's line, with its end. `client_ip` is whom the request is from.
void append_access_line(AccessLogSettings::Format format, const http::ProxyRecord& record,
                        std::string_view client_ip, WallTime now, std::string& out);

}  // namespace candela::gateway
