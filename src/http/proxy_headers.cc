#include "http/proxy_headers.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace candela::http {
namespace {

// IPv4 is kept as IPv4-mapped IPv6, so that one comparison does for both.
bool parse_ip(std::string_view text, unsigned char* bytes, bool& is_v4) {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.empty() || text.size() >= copy.size()) return false;
    std::copy(text.begin(), text.end(), copy.begin());
    if (inet_pton(AF_INET6, copy.data(), bytes) == 1) {
        is_v4 = false;
        return true;
    }
    std::memset(bytes, 0, 10);
    bytes[10] = bytes[11] = 0xff;
    is_v4 = true;
    return inet_pton(AF_INET, copy.data(), bytes + 12) == 1;
}

bool is_hop_by_hop(FieldId id) {
    switch (id) {
        case FieldId::kConnection:
        case FieldId::kKeepAlive:
        case FieldId::kProxyConnection:
        case FieldId::kProxyAuthenticate:
        case FieldId::kProxyAuthorization:
        case FieldId::kTe:
        case FieldId::kTrailer:
        case FieldId::kTransferEncoding:
        case FieldId::kUpgrade:
        case FieldId::kHttp2Settings: return true;
        default: return false;
    }
}

// What only a proxy may say about the client.
bool is_forwarding(FieldId id, std::string_view name) {
    switch (id) {
        case FieldId::kForwarded:
        case FieldId::kXForwardedFor:
        case FieldId::kXForwardedProto:
        case FieldId::kXForwardedHost:
        case FieldId::kXForwardedPort:
        case FieldId::kXRealIp: return true;
        case FieldId::kOther:
            return (name.size() > 12 && ascii_iequals(name.substr(0, 12), "x-forwarded-")) ||
                   ascii_iequals(name, kClientCertField) ||
                   ascii_iequals(name, kClientCertChainField);
        default: return false;
    }
}

// "X_Forwarded_For" and "Content_Length" are other names in HTTP, but the same variable in CGI's
// and WSGI's form; whoever sends them wants to be mistaken.
bool is_lookalike(std::string_view name) {
    if (name.find('_') == std::string_view::npos || name.size() > 32) return false;
    std::array<char, 32> copy{};
    std::replace_copy(name.begin(), name.end(), copy.begin(), '_', '-');
    const std::string_view plain(copy.data(), name.size());
    const FieldId id = field_id(plain);
    return is_hop_by_hop(id) || is_forwarding(id, plain) || id == FieldId::kHost ||
           id == FieldId::kContentLength;
}

// What asks for a part, or on a condition: the whole is fetched for the store.
bool is_selection(std::string_view name) {
    constexpr std::array<std::string_view, 6> kNames = {"range",         "if-range",
                                                        "if-none-match", "if-modified-since",
                                                        "if-match",      "if-unmodified-since"};
    return std::ranges::any_of(kNames,
                               [&](std::string_view other) { return ascii_iequals(name, other); });
}

// Not in the key of the store, and some frameworks heed them instead of what is.
bool is_overriding(std::string_view name) {
    constexpr std::array<std::string_view, 10> kNames = {"x-http-method-override",
                                                         "x-http-method",
                                                         "x-method-override",
                                                         "x-original-url",
                                                         "x-rewrite-url",
                                                         "x-original-host",
                                                         "x-host",
                                                         "x-http-host-override",
                                                         "x-wap-profile",
                                                         "x-original-method"};
    return std::ranges::any_of(kNames,
                               [&](std::string_view other) { return ascii_iequals(name, other); });
}

void append_length(uint64_t length, std::string& out) {
    std::array<char, 20> digits;
    const char* const end = std::to_chars(digits.begin(), digits.end(), length).ptr;
    append_field("Content-Length", {digits.data(), end}, out);
}

// RFC 7239 §4: a token, or else a quoted string.
void append_forwarded_value(std::string_view value, std::string& out) {
    if (is_token(value)) {
        out += value;
        return;
    }
    out += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

void append_forwarded(const Headers& headers, const ForwardedInfo& info, std::string_view host,
                      std::string& out) {
    const auto believed = [&](FieldId id) {
        return info.is_trusted ? headers.get(id).value_or("") : std::string_view();
    };
    // Several fields of one name are one list (RFC 9110 §5.3).
    const auto continue_list = [&](FieldId id) {
        // A proxy that we trust may have let through what its client wrote.
        if (!info.is_trusted || info.for_store) return;
        for (const Headers::Field field : headers) {
            if (field.id != id || field.value.empty()) continue;
            out += field.value;
            out += ", ";
        }
    };
    const std::string_view proto = info.is_encrypted ? "https" : "http";
    const std::string_view peer = info.peer_ip.empty() ? "unknown" : info.peer_ip;

    append_all(out, "X-Forwarded-For: ");
    continue_list(FieldId::kXForwardedFor);
    const std::string_view said_proto = believed(FieldId::kXForwardedProto);
    const std::string_view said_host = believed(FieldId::kXForwardedHost);
    append_all(out, peer, "\r\nX-Forwarded-Proto: ", said_proto.empty() ? proto : said_proto,
               "\r\nX-Forwarded-Host: ", said_host.empty() ? host : said_host, "\r\nForwarded: ");
    continue_list(FieldId::kForwarded);
    if (peer.find(':') != std::string_view::npos)
        append_all(out, "for=\"[", peer, "]\"");
    else
        append_all(out, "for=", peer);
    if (!host.empty()) {
        append_all(out, ";host=");
        append_forwarded_value(host, out);
    }
    append_all(out, ";proto=", proto, "\r\n");
    if (!info.prefix.empty()) append_field("X-Forwarded-Prefix", info.prefix, out);
}

}  // namespace

bool is_written_by_proxy(std::string_view name) {
    const FieldId id = field_id(name);
    return is_hop_by_hop(id) || is_forwarding(id, name) || is_lookalike(name) ||
           is_selection(name) || is_overriding(name);
}

NamedByConnection::NamedByConnection(const Headers& headers) {
    for (const Headers::Field field : headers) {
        if (field.id != FieldId::kConnection) continue;
        for_each_list_element(field.value, [this](std::string_view name) { add(name); });
    }
}

bool NamedByConnection::contains(std::string_view name) const {
    for (size_t i = 0; i < count_; ++i) {
        if (ascii_iequals(names_[i], name)) return true;
    }
    return false;
}

void NamedByConnection::add(std::string_view name) {
    if (ascii_iequals(name, "close") || ascii_iequals(name, "keep-alive")) return;
    // Further names than anybody sends are not honoured: their fields go through.
    if (count_ < names_.size()) names_[count_++] = name;
}

bool AnswerFields::passes(const Headers::Field& field) {
    if (edits_.drops(field.name)) return false;
    if (field.id == FieldId::kTrailer) return has_trailers_;
    if (is_hop_by_hop(field.id)) return false;
    if (field.id == FieldId::kContentLength) {
        if (!may_have_length_ || has_length_) return false;
        has_length_ = true;
        return true;
    }
    if (field.id == FieldId::kDate) {
        has_date_ = true;
        return true;
    }
    return named_.empty() || !named_.contains(field.name);
}

Result<> TrustedPeers::add(std::string_view network) {
    const auto parts = split_once(network, '/');
    Network added{};
    bool is_v4 = false;
    if (!parse_ip(parts ? parts->first : network, added.bytes, is_v4)) {
        return fail(Code::kInvalid,
                    "\"{}\" is neither an IP address nor a network such as 10.0.0.0/8",
                    printable(network));
    }
    const int bits_max = is_v4 ? 32 : 128;
    int bits = bits_max;
    if (parts) {
        const auto number = parse_uint(parts->second);
        if (!number || *number > static_cast<uint64_t>(bits_max)) {
            return fail(Code::kInvalid, "\"{}\": the prefix length must be 0 to {}",
                        printable(network), bits_max);
        }
        bits = static_cast<int>(*number);
    }
    added.prefix_bits = is_v4 ? 96 + bits : bits;
    networks_.push_back(added);
    return {};
}

bool TrustedPeers::contains(std::string_view ip) const {
    unsigned char bytes[16];
    bool is_v4 = false;
    if (networks_.empty() || !parse_ip(ip, bytes, is_v4)) return false;
    return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
        const int whole = network.prefix_bits / 8;
        if (std::memcmp(bytes, network.bytes, static_cast<size_t>(whole)) != 0) return false;
        const int rest = network.prefix_bits % 8;
        if (rest == 0) return true;
        return ((bytes[whole] ^ network.bytes[whole]) >> (8 - rest)) == 0;
    });
}

std::string_view client_ip_of(const Headers& headers, std::string_view peer_ip,
                              const TrustedPeers& trusted) {
    // An empty one is a unix socket's: a proxy on this machine.
    if (!peer_ip.empty() && !trusted.contains(peer_ip)) return peer_ip;
    std::string_view client = peer_ip;
    for (size_t i = headers.size(); i-- > 0;) {
        const Headers::Field field = headers[i];
        if (field.id != FieldId::kXForwardedFor) continue;
        std::string_view list = field.value;
        while (!list.empty()) {
            const size_t comma = list.rfind(',');
            const size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
            const std::string_view address = trim(list.substr(begin));
            list = list.substr(0, comma == std::string_view::npos ? 0 : comma);
            if (address.empty()) continue;
            client = address;
            if (!trusted.contains(address)) return client;
        }
    }
    return client;
}

void append_upstream_request(const RequestHead& head, const Framing& framing,
                             std::string_view target, const ForwardedInfo& info, std::string& out) {
    append_request_line(head.method, target, out);
    const NamedByConnection named(head.headers);
    const std::string_view host = head.headers.get(FieldId::kHost).value_or("");
    // HTTP/1.1 demands a Host even where the client, of HTTP/1.0, had none.
    const FieldEdits::Edit* const own_host =
        info.edits == nullptr ? nullptr : info.edits->find("host");
    if (own_host != nullptr) {
        append_field("Host", own_host->second, out);
    } else {
        append_field("Host", host.empty() ? "localhost" : host, out);
    }
    std::string_view upgrade;
    bool has_length = false;
    const bool takes_trailers = !info.for_store && head.headers.has_token(FieldId::kTe, "trailers");
    for (const Headers::Field field : head.headers) {
        switch (field.id) {
            case FieldId::kHost: continue;
            case FieldId::kTrailer:
                if (framing.body == BodyKind::kChunked) {
                    append_field(field.name, field.value, out);
                }
                continue;
            case FieldId::kUpgrade: upgrade = field.value; continue;
            case FieldId::kContentLength: has_length = true; continue;
            case FieldId::kTraceparent:
                // One that is none would break the trace for everybody behind us.
                if (!info.traceparent.empty()) continue;
                break;
            case FieldId::kExpect:
                if (!framing.expects_continue) continue;
                break;
            default: break;
        }
        if (is_hop_by_hop(field.id)) continue;
        if (is_forwarding(field.id, field.name)) {
            // The lists are written anew below; the rest is passed on where it can be believed.
            const bool is_rewritten =
                field.id == FieldId::kForwarded || field.id == FieldId::kXForwardedFor ||
                field.id == FieldId::kXForwardedProto || field.id == FieldId::kXForwardedHost;
            if (is_rewritten || !info.is_trusted || info.for_store) continue;
            if (!info.prefix.empty() && ascii_iequals(field.name, "x-forwarded-prefix")) continue;
        }
        if (field.id == FieldId::kOther && is_lookalike(field.name)) continue;
        if (info.for_store && (is_selection(field.name) || is_overriding(field.name))) continue;
        if (!named.empty() && named.contains(field.name)) continue;
        if (info.edits != nullptr && info.edits->find(field.name) != nullptr) continue;
        append_field(field.name, field.value, out);
    }
    if (info.edits != nullptr) {
        for (const auto& edit : info.edits->edits()) {
            const bool is_sent = !edit.second.empty() && &edit != own_host;
            if (is_sent) append_field(edit.first, edit.second, out);
        }
    }
    if (info.added != nullptr) {
        for (const Headers::Field field : *info.added) append_field(field.name, field.value, out);
    }
    if (framing.upgrade) {
        append_field("Connection", "Upgrade", out);
        append_field("Upgrade", upgrade, out);
    } else if (takes_trailers) {
        out += "TE: trailers\r\nConnection: TE\r\n";  // RFC 9110 §10.1.4
    }
    switch (framing.body) {
        case BodyKind::kChunked: out += "Transfer-Encoding: chunked\r\n"; break;
        case BodyKind::kLength: append_length(framing.content_length, out); break;
        default:
            if (has_length) append_length(0, out);
    }
    append_forwarded(head.headers, info, host, out);
    if (!info.traceparent.empty()) append_field("traceparent", info.traceparent, out);
    append_all(out, "\r\n");
}

void append_client_response(const ResponseHead& head, ClientBody body, ClientConnection connection,
                            std::string_view date, const AnswerEdits& edits, std::string& out) {
    append_status_line(head.status, head.reason, out);
    const bool may_have_length =
        body == ClientBody::kLength ||
        (body == ClientBody::kNone && head.status >= 200 && head.status != 204);
    AnswerFields fields(head, may_have_length, body == ClientBody::kChunkedTrailers, edits);
    std::string_view upgrade;
    for (const Headers::Field field : head.headers) {
        if (field.id == FieldId::kUpgrade) upgrade = field.value;
        if (fields.passes(field)) append_field(field.name, field.value, out);
    }
    edits.for_each_added(
        [&out](std::string_view name, std::string_view value) { append_field(name, value, out); });
    if (!fields.has_date() && head.status >= 200) append_field("Date", date, out);
    if (body == ClientBody::kChunked || body == ClientBody::kChunkedTrailers) {
        out += "Transfer-Encoding: chunked\r\n";
    }
    switch (connection) {
        case ClientConnection::kPersistent: break;
        case ClientConnection::kSayKeepAlive: out += "Connection: keep-alive\r\n"; break;
        case ClientConnection::kSayClose: out += "Connection: close\r\n"; break;
        case ClientConnection::kSayUpgrade:
            out += "Connection: Upgrade\r\n";
            append_field("Upgrade", upgrade, out);
            break;
    }
    append_all(out, "\r\n");
}

}  // namespace candela::http
