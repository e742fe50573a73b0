#include "access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/text.h"
#include "http/target.h"

namespace candela::gateway {

namespace {

constexpr size_t kTextMax = 512;  // of what a client says of itself

Result<int> open_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) return fail_errno(fmt::format("opening {}", path), errno);
    return fd;
}

// RFC 8259 §7; bytes beyond ASCII are escaped as the code points of Latin-1, so that whatever a
// client sends makes a line that is JSON.
void append_quoted(std::string_view text, std::string& out) {
    out += '"';
    for (const char c : text.substr(0, kTextMax)) {
        const auto byte = static_cast<uint8_t>(c);
        if (byte < 0x20 || byte >= 0x7f) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

void append_json_text(std::string_view name, std::string_view value, std::string& out) {
    if (value.empty()) return;
    fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
    append_quoted(value, out);
}

std::string_view protocol_of(const http::ProxyRecord& record) {
    if (record.client.is_http2) return "HTTP/2.0";
    return record.head.version == http::Version::kHttp10 ? "HTTP/1.0" : "HTTP/1.1";
}

std::string_view path_of(const http::ProxyRecord& record) {
    return http::split_target(record.head.target).path;
}

void append_json(const http::ProxyRecord& record, std::string_view client_ip, WallTime now,
                 std::string& out) {
    const http::Headers& headers = record.head.headers;
    out += "{\"time\":\"";
    out += format_rfc3339(now);
    out += '"';
    append_json_text("client", client_ip, out);
    append_json_text("method", record.head.method, out);
    append_json_text("host", headers.get(http::FieldId::kHost).value_or(""), out);
    append_json_text("path", path_of(record), out);
    append_json_text("protocol", protocol_of(record), out);
    fmt::format_to(std::back_inserter(out), ",\"tls\":{}", record.client.is_encrypted);
    fmt::format_to(std::back_inserter(out),
                   ",\"status\":{},\"received_bytes\":{},\"sent_bytes\":{},\"seconds\":{:.6f}",
                   record.status, record.received_bytes, record.sent_bytes,
                   std::chrono::duration<double>(record.duration).count());
    if (record.upstream != nullptr) append_json_text("service", record.upstream->name(), out);
    append_json_text("instance", record.endpoint, out);
    append_json_text("trace_id", record.trace_id, out);
    append_json_text("user_agent", headers.get("User-Agent").value_or(""), out);
    append_json_text("referer", http::split_target(headers.get("Referer").value_or("")).path, out);
    out += "}\n";
}

// The form of Apache and nginx: "-" where there is nothing.
void append_combined(const http::ProxyRecord& record, std::string_view client_ip, WallTime now,
                     std::string& out) {
    const http::Headers& headers = record.head.headers;
    const auto text_or_dash = [&out](std::string_view text) {
        if (text.empty()) text = "-";
        append_quoted(text, out);
    };
    const std::time_t seconds = unix_seconds(now);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char time[40];
    const size_t size = std::strftime(time, sizeof time, "%d/%b/%Y:%H:%M:%S +0000", &utc);
    out += client_ip.empty() ? "-" : client_ip;
    out += " - - [";
    out.append(time, size);
    out += "] ";
    append_quoted(fmt::format("{} {} {}", record.head.method, path_of(record), protocol_of(record)),
                  out);
    fmt::format_to(std::back_inserter(out), " {} {} ", record.status, record.sent_bytes);
    text_or_dash(http::split_target(headers.get("Referer").value_or("")).path);
    out += ' ';
    text_or_dash(headers.get("User-Agent").value_or(""));
    out += '\n';
}

}  // namespace

ConfigKey access_log_key() {
    return config_table(
        "access_log",
        ConfigSchema({
            config_string("file", "",
                          "The file that a line for each request is added to. Default: none. It "
                          "is opened anew at reload."),
            config_string("format", "json", "The form of the lines.").one_of({"json", "combined"}),
            config_int("lighthouse_rate", "1000",
                       "So many lines a second are sent to the lighthouse, where `candela ctl "
                       "logs` shows them; of more all errors (status 400 and above) and the "
                       "requests whose traceparent asks for a record. 0: none are sent.")
                .range("0", "100000"),
        }),
        "A log of requests, without their queries, cookies and credentials.");
}

AccessLogSettings read_access_log_settings(const Config& gateway) {
    const Config& table = gateway.table("access_log");
    AccessLogSettings settings;
    settings.file = table.string("file");
    settings.lighthouse_rate = static_cast<uint32_t>(table.integer("lighthouse_rate"));
    if (table.string("format") == "combined") {
        settings.format = AccessLogSettings::Format::kCombined;
    }
    return settings;
}

AccessLogFile::AccessLogFile(int fd)
    : fd_(fd), writer_(std::make_unique<LineWriter>(fd, [](uint64_t count) {
          return fmt::format("{{\"dropped_lines\":{}}}\n", count);
      })) {}

AccessLogFile::~AccessLogFile() {
    writer_.reset();
    ::close(fd_);
}

Result<std::shared_ptr<AccessLogFile>> AccessLogFile::open(const std::string& path) {
    CANDELA_TRY_ASSIGN(const int fd, open_file(path));
    return std::make_shared<AccessLogFile>(fd);
}

Result<> AccessLogFile::reopen(const std::string& path) {
    CANDELA_TRY_ASSIGN(const int fd, open_file(path));
    writer_->set_fd(fd);
    ::close(std::exchange(fd_, fd));
    return {};
}

void append_access_line(AccessLogSettings::Format format, const http::ProxyRecord& record,
                        std::string_view client_ip, WallTime now, std::string& out) {
    if (format == AccessLogSettings::Format::kJson) {
        append_json(record, client_ip, now, out);
    } else {
        append_combined(record, client_ip, now, out);
    }
}

}  // namespace candela::gateway
