#pragma once

// The mapping between HTTP and a message of the bus (docs/bus-over-http.md). Pure functions.

#include <string>
#include <string_view>

#include "base/result.h"
#include "bus/message.h"
#include "http/message.h"

namespace candela::gateway {

// The subject that a path asks for: what follows the route's prefix, decoded, with dots for
// slashes; the service's own name where nothing follows. kNotFound where that is nobody's subject:
// empty segments, dots, blanks or wildcards within one, or a subject of the bus's own ("$SYS",
// "_INBOX").
Result<std::string> subject_for(std::string_view path, std::string_view prefix,
                                std::string_view service);

// The headers that go with the request.
std::string bus_headers_for(const http::RequestHead& head);

struct BusAnswer {
    int status = 200;
    http::Headers headers;  // with Content-Type
    std::string body;
};
BusAnswer answer_from(const bus::MessageView& reply);

}  // namespace candela::gateway
