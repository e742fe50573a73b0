#pragma once

// The server's half of a WebSocket's opening (RFC 6455 §4.2): reads the client's request, checks
// it and the page that it comes from, and answers 101, or says in HTTP why not.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "http/websocket_stream.h"
#include "loop/task.h"

namespace candela::http {

struct WebSocketRules {
    // Pages that may connect ("https://app.example.com"); empty: every page. Clients that are no
    // browsers name no page, and are not asked.
    std::vector<std::string> allowed_origins;
    bool same_origin = false;  // pages of the very host and port that they connect to, at least
    uint64_t frame_bytes_max = 64 * 1024 * 1024;
    std::string path = "/";  // the only one served; empty: any
};

// Whether the text could be an entry of allowed_origins: scheme://host[:port].
bool is_origin(std::string_view text);

// Takes the stream, not yet started, and returns what goes on over it. Errors were answered, if
// only by closing.
Task<Result<std::unique_ptr<WebSocketStream>>> accept_websocket(StreamPtr stream,
                                                                WebSocketRules rules,
                                                                Duration timeout);

}  // namespace candela::http
