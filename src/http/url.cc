#include "http/url.h"

#include <algorithm>

#include "base/text.h"
#include "http/target.h"

namespace candela::http {

bool Url::is_loopback() const {
    const bool is_v4 = host.find_first_not_of("0123456789.") == std::string::npos;
    return host == "localhost" || host == "::1" || (is_v4 && host.starts_with("127."));
}

Result<Url> parse_url(std::string_view text) {
    const auto refused = [&] {
        return fail(Code::kInvalid, "\"{}\" is not an address that can be asked by HTTP",
                    printable(text));
    };
    const bool is_printable =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (text.size() > kUrlBytesMax || !is_printable) return refused();
    Url url;
    url.text = text;
    std::string_view rest = text;
    if (rest.starts_with("https://")) {
        rest.remove_prefix(8);
    } else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
        url.is_encrypted = false;
        url.port = 80;
    } else {
        return refused();
    }
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    url.authority = rest.substr(0, end);
    url.target = rest.substr(end);
    if (!url.target.starts_with('/')) url.target.insert(0, "/");
    if (url.target.find('#') != std::string::npos) return refused();
    const auto parts = parse_authority(url.authority);
    if (!parts || parts->host.empty()) return refused();
    std::string_view host = parts->host;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    url.host = host;
    if (!parts->port.empty()) {
        const auto port = parse_port(parts->port);
        if (!port || *port == 0) return refused();
        url.port = *port;
    }
    return url;
}

}  // namespace candela::http
