#pragma once

// One line of a service's log as the lighthouse has it: in memory, in files and in the API; and
// what somebody wants to see of them. Values and pure functions.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/messages.h"

namespace candela::lighthouse {

// What lines of one batch have in common.
struct LogOrigin {
    std::string service;
    std::string instance;
    std::string node;
    uint64_t release = 0;
};

struct LogLine {
    uint64_t id = 0;    // grows over all services, over restarts too
    uint64_t time = 0;  // unix milliseconds
    proto::LogStream stream = proto::LogStream::kStdout;
    LineLevel level = LineLevel::kUnknown;
    std::string trace_id;
    std::string text;
    std::shared_ptr<const LogOrigin> origin;
};

std::string_view to_string(proto::LogStream stream);

// As a JSON object and a newline: what stands in files …
void append_stored(const LogLine& line, std::string& out);
// … and is read back; nothing where it is no line.
std::optional<LogLine> parse_stored(std::string_view json, const std::string& service);
// … and what the API gives: with its service, and of a structured line its message and fields.
void append_public(const LogLine& line, std::string& out);

struct LogQuery {
    std::string space;
    std::string service;      // empty: all of the space
    bool has_access = false;  // gateways' lines about requests, too
    std::string instance;
    uint64_t release = 0;
    uint64_t since = 0;  // unix milliseconds, inclusive
    uint64_t until = UINT64_MAX;
    LineLevel level = LineLevel::kUnknown;  // at least; lines that name none are left out
    std::string grep;                       // is in the text
    std::string trace_id;

    bool matches(const LogLine& line) const;
};

// What has to stand in a stored line that matches, so that most need not be looked at closely.
std::vector<std::string> needles_of(const LogQuery& query);

}  // namespace candela::lighthouse
