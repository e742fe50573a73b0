#include "log_line.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/time.h"

namespace candela::lighthouse {

namespace {

void append_time(uint64_t millis, std::string& out) {
    out += '"';
    out += format_rfc3339(from_unix_millis(static_cast<int64_t>(millis)));
    out += '"';
}

void append_head(const LogLine& line, std::string& out) {
    fmt::format_to(std::back_inserter(out), "{{\"id\":{},\"time\":", line.id);
    append_time(line.time, out);
    out += ",\"stream\":\"";
    out += to_string(line.stream);
    out += "\",\"instance\":";
    append_json_string(line.origin->instance, out);
    fmt::format_to(std::back_inserter(out), ",\"release\":{},\"node\":", line.origin->release);
    append_json_string(line.origin->node, out);
}

void append_tail(const LogLine& line, std::string& out) {
    if (line.level != LineLevel::kUnknown) {
        out += ",\"level\":\"";
        out += to_string(line.level);
        out += '"';
    }
    if (!line.trace_id.empty()) {
        out += ",\"trace_id\":";
        append_json_string(line.trace_id, out);
    }
}

std::optional<proto::LogStream> parse_stream(std::string_view quoted) {
    using proto::LogStream;
    for (const LogStream stream :
         {LogStream::kStdout, LogStream::kStderr, LogStream::kHost, LogStream::kAccess}) {
        if (quoted.size() > 2 && quoted.substr(1, quoted.size() - 2) == to_string(stream))
            return stream;
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(proto::LogStream stream) {
    switch (stream) {
        case proto::LogStream::kStdout: return "stdout";
        case proto::LogStream::kStderr: return "stderr";
        case proto::LogStream::kHost: return "host";
        case proto::LogStream::kAccess: return "access";
    }
    return "stdout";
}

void append_stored(const LogLine& line, std::string& out) {
    append_head(line, out);
    append_tail(line, out);
    out += ",\"text\":";
    append_json_string(line.text, out);
    out += "}\n";
}

void append_public(const LogLine& line, std::string& out) {
    append_head(line, out);
    out += ",\"service\":";
    append_json_string(line.origin->service, out);
    append_tail(line, out);
    if (const auto parts = split_line(line.text)) {
        if (!parts->message.empty()) {
            out += ",\"message\":";
            out += parts->message;
        }
        out += ",\"fields\":{";
        out += parts->fields;
        out += '}';
    }
    out += ",\"text\":";
    append_json_string(line.text, out);
    out += "}\n";
}

std::optional<LogLine> parse_stored(std::string_view json, const std::string& service) {
    LogLine line;
    auto origin = std::make_shared<LogOrigin>();
    origin->service = service;
    bool has_text = false;
    JsonMembers members(json);
    while (members.next()) {
        const std::string_view name = members.name();
        const std::string_view value = members.value();
        if (name == "id") {
            line.id = parse_uint(value).value_or(0);
        } else if (name == "time") {
            const auto time = parse_rfc3339(value.substr(1, value.size() - 2));
            if (time) line.time = static_cast<uint64_t>(unix_millis(*time));
        } else if (name == "stream") {
            line.stream = parse_stream(value).value_or(proto::LogStream::kStdout);
        } else if (name == "release") {
            origin->release = parse_uint(value).value_or(0);
        } else if (name == "level") {
            line.level =
                parse_line_level(value.substr(1, value.size() - 2)).value_or(LineLevel::kUnknown);
        } else if (name == "instance") {
            origin->instance = unquote_json(value).value_or("");
        } else if (name == "node") {
            origin->node = unquote_json(value).value_or("");
        } else if (name == "trace_id") {
            line.trace_id = unquote_json(value).value_or("");
        } else if (name == "text") {
            auto text = unquote_json(value);
            has_text = text.has_value();
            if (has_text) line.text = std::move(*text);
        }
    }
    if (!members.is_whole() || !has_text || line.id == 0) return std::nullopt;
    line.origin = std::move(origin);
    return line;
}

bool LogQuery::matches(const LogLine& line) const {
    if (line.time < since || line.time > until) return false;
    if (line.level < level) return false;
    if (!instance.empty() && line.origin->instance != instance) {
        // A gateway's line names the instance that answered.
        const bool is_its_access = line.stream == proto::LogStream::kAccess &&
                                   line.text.find('"' + instance + '"') != std::string::npos;
        if (!is_its_access) return false;
    }
    if (release != 0 && line.origin->release != release) return false;
    if (!trace_id.empty() && line.trace_id != trace_id) return false;
    return grep.empty() || line.text.find(grep) != std::string::npos;
}

std::vector<std::string> needles_of(const LogQuery& query) {
    std::vector<std::string> needles;
    if (!query.trace_id.empty()) needles.push_back(query.trace_id);
    if (!query.instance.empty()) needles.push_back(query.instance);
    if (!query.grep.empty()) {
        std::string quoted;
        append_json_string(query.grep, quoted);
        needles.push_back(quoted.substr(1, quoted.size() - 2));
    }
    return needles;
}

}  // namespace candela::lighthouse
