#pragma once

// A build on a host (`candela ctl deploy --build-on`): what the lighthouse tells the host, what
// whoever wants it sends first, and what comes back before the bundle. JSON, over a stream of
// session frames (session_frame.h). Values; no I/O.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/bundle.h"

namespace candela::service {

// The target of the tunnel to candela.exec.<node>, in a SessionWish's place. The lighthouse has
// checked that the caller may deploy it.
struct BuildTarget {
    std::string space;
    std::string service;
};
std::string to_text(const BuildTarget& target);
// Absent: it is not one of a build.
std::optional<BuildTarget> parse_build_target(std::string_view text);

struct BuildOrder {
    std::string digest;  // of the archive of its sources
    bool finds_command = false;
    bool is_anew = false;
    std::string ignore_file;                         // the text of its .candelaignore
    std::map<std::string, std::string> environment;  // what [build] pass_env names, and is set
};
// kExhausted where it does not fit into one frame.
Result<std::string> to_text(const BuildOrder& order);
Result<BuildOrder> parse_build_order(std::string_view text);

struct BuildResult {
    BundleInfo info;
    std::vector<std::string> command;
    bool was_there = false;
};
std::string to_text(const BuildResult& result);
Result<BuildResult> parse_build_result(std::string_view text);

}  // namespace candela::service
