#include "loop/address.h"

#include "base/text.h"

namespace candela {

Result<Address> Address::parse(std::string_view text) {
    if (text.starts_with("unix:")) {
        const std::string_view path = text.substr(5);
        // sockaddr_un holds 108 bytes with the terminator (unix(7)).
        if (path.empty() || path.size() > 107) {
            return fail(Code::kInvalid, "\"{}\" is not a socket path of 1 to 107 bytes", text);
        }
        return unix_socket(path);
    }
    if (text.starts_with("inproc:")) return in_process(text.substr(7));
    const size_t colon = text.rfind(':');
    const auto bad = [&] {
        return fail(Code::kInvalid, "\"{}\" is not an address; write HOST:PORT or unix:/PATH",
                    printable(text));
    };
    if (colon == std::string_view::npos || colon == 0) return bad();
    std::string_view host = text.substr(0, colon);
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return bad();
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return bad();  // an IPv6 literal needs brackets, or its port is ambiguous
    }
    if (host.empty()) return bad();
    return tcp(host, *port);
}

std::string Address::to_string() const {
    switch (kind) {
        case Kind::kUnix: return "unix:" + host;
        case Kind::kInProcess: return "inproc:" + host;
        case Kind::kTcp: break;
    }
    if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
    return fmt::format("{}:{}", host, port);
}

bool Address::is_loopback() const {
    if (kind != Kind::kTcp) return true;
    return host.starts_with("127.") || host == "::1" || ascii_iequals(host, "localhost");
}

}  // namespace candela
