#pragma once

// Answers of the proxy's own: plain text, a page that the service has brought for such a status, or
// a problem in JSON (RFC 9457) for clients that would rather have that. Immutable once made; any
// thread.

#include <map>
#include <string>
#include <string_view>

#include "http/message.h"

namespace candela::http {

class ErrorPages {
public:
    // `status` is "502", or "4xx" or "5xx" for all that have no page of their own.
    static bool is_status(std::string_view status);
    void add(std::string status, std::string body) {
        pages_.insert_or_assign(std::move(status), std::move(body));
    }
    // Null: none.
    const std::string* find(int status) const;

private:
    std::map<std::string, std::string, std::less<>> pages_;
};

// The client takes JSON and does not ask for HTML.
bool prefers_json(const Headers& request);

struct OwnAnswer {
    ResponseHead head;
    std::string body;
};
// `fields` are added, `text` is one sentence without its end, `pages` may be null.
OwnAnswer make_own_answer(const RequestHead& request, int status, std::string_view text,
                          const Headers& fields, const ErrorPages* pages);

}  // namespace candela::http
