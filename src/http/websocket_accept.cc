#include "http/websocket_accept.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/text.h"
#include "http/h1_parser.h"
#include "http/target.h"
#include "loop/flow.h"
#include "tls/sha1.h"

namespace candela::http {

namespace {

constexpr std::string_view kKeySuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3
constexpr size_t kKeyBytes = 16;

// Reads one request and stops; what came behind it is kept.
class OpeningReader final : public StreamHandler {
public:
    explicit OpeningReader(Stream& stream) : stream_(stream) {}

    void on_data(std::string_view bytes) override {
        while (true) {
            switch (parser.parse(bytes)) {
                case ParseEvent::kNeedMore: return;
                case ParseEvent::kHead: break;
                case ParseEvent::kBody: break;
                case ParseEvent::kComplete: behind.assign(bytes); return finish(Result<>());
                case ParseEvent::kError:
                    return finish(fail(Code::kInvalid, "{}", parser.error().reason));
            }
        }
    }
    void on_end() override { finish(fail(Code::kUnreachable, "the client left")); }
    void on_error(const Error& error) override { finish(fail(error)); }

    RequestParser parser;
    std::string behind;
    Completion<Result<>> done;

private:
    // The last thing that is done: it may destroy this.
    void finish(Result<> result) {
        stream_.pause();
        done.complete(std::move(result));
    }
    Stream& stream_;
};

struct Refusal {
    int status = 0;
    std::string_view reason;
};

// scheme, host and port as one text in which equal origins are equal; empty: not an origin.
std::string normal_origin(std::string_view text) {
    const size_t colon = text.find("://");
    if (colon == std::string_view::npos) return {};
    const std::string scheme = ascii_lower(text.substr(0, colon));
    const std::optional<Authority> authority = parse_authority(text.substr(colon + 3));
    if (scheme.empty() || !authority || authority->host.empty()) return {};
    std::string_view port = authority->port;
    if (port.empty()) port = scheme == "https" ? "443" : scheme == "http" ? "80" : "";
    return fmt::format("{}://{}:{}", scheme, ascii_lower(authority->host), port);
}

bool is_allowed_origin(const Headers& headers, const WebSocketRules& rules, bool is_encrypted) {
    const std::optional<std::string_view> origin = headers.get("Origin");
    if (!origin) return true;
    if (rules.allowed_origins.empty() && !rules.same_origin) return true;
    const std::string normal = normal_origin(*origin);
    if (normal.empty()) return false;  // "null", say: a page that hides where it is from
    if (rules.same_origin) {
        const std::string_view host = *headers.get(FieldId::kHost);
        const std::string own =
            normal_origin(fmt::format("http{}://{}", is_encrypted ? "s" : "", host));
        if (own == normal) return true;
    }
    return std::any_of(
        rules.allowed_origins.begin(), rules.allowed_origins.end(),
        [&](const std::string& allowed) { return normal_origin(allowed) == normal; });
}

std::optional<Refusal> check_opening(const RequestParser& parser, const WebSocketRules& rules,
                                     bool is_encrypted) {
    const RequestHead& head = parser.head();
    const Headers& headers = head.headers;
    if (head.method != "GET") return Refusal{405, "a WebSocket is opened with GET"};
    const std::string_view path = split_target(head.target).path;
    if (!rules.path.empty() && path != rules.path) return Refusal{404, "nothing is served here"};
    if (!parser.framing().upgrade || !headers.has_token(FieldId::kUpgrade, "websocket")) {
        return Refusal{426, "this port speaks WebSocket only"};
    }
    if (headers.get("Sec-WebSocket-Version") != "13") {
        return Refusal{426, "only version 13 of WebSocket is spoken here"};
    }
    const std::optional<std::string_view> key = headers.get("Sec-WebSocket-Key");
    const Result<std::string> decoded = base64_decode(key.value_or(""));
    if (!decoded || decoded->size() != kKeyBytes) {
        return Refusal{400, "no Sec-WebSocket-Key of 16 bytes"};
    }
    if (!is_allowed_origin(headers, rules, is_encrypted)) {
        return Refusal{403, "pages of this origin may not connect"};
    }
    return std::nullopt;
}

std::string refusal_text(const Refusal& refusal) {
    std::string out;
    append_status_line(refusal.status, reason_phrase(refusal.status), out);
    append_field("Connection", "close", out);
    append_field("Content-Type", "text/plain", out);
    if (refusal.status == 426) {
        append_field("Upgrade", "websocket", out);
        append_field("Sec-WebSocket-Version", "13", out);
    }
    if (refusal.status == 405) append_field("Allow", "GET", out);
    append_field("Content-Length", std::to_string(refusal.reason.size() + 1), out);
    out += fmt::format("\r\n{}\n", refusal.reason);
    return out;
}

std::string acceptance_text(std::string_view key) {
    std::string out;
    append_status_line(101, reason_phrase(101), out);
    append_field("Upgrade", "websocket", out);
    append_field("Connection", "Upgrade", out);
    const auto digest = tls::sha1(std::string(key) + std::string(kKeySuffix));
    append_field("Sec-WebSocket-Accept", base64_encode(digest), out);
    out += "\r\n";
    return out;
}

}  // namespace

bool is_origin(std::string_view text) { return !normal_origin(text).empty(); }

Task<Result<std::unique_ptr<WebSocketStream>>> accept_websocket(StreamPtr stream,
                                                                WebSocketRules rules,
                                                                Duration timeout) {
    OpeningReader reader(*stream);
    Timer timer(stream->loop().timers(), [&reader, timeout] {
        reader.done.complete(
            fail(Code::kTimeout, "no request within {}", format_duration(timeout)));
    });
    timer.start(timeout);
    stream->start(reader);
    Result<> read = co_await reader.done;
    std::optional<Refusal> refusal;
    if (read) {
        refusal = check_opening(reader.parser, rules, stream->is_encrypted());
    } else if (read.error().code() == Code::kTimeout) {
        refusal.emplace(Refusal(408, "no request in time"));
    } else if (reader.parser.error().status != 0) {
        refusal.emplace(Refusal(reader.parser.error().status, reader.parser.error().reason));
    } else {
        co_return fail(std::move(read).error());
    }
    if (refusal) {
        stream->write(refusal_text(*refusal));
        stream->end();
        co_return fail(Code::kInvalid, "{}", refusal->reason);
    }
    stream->write(acceptance_text(*reader.parser.head().headers.get("Sec-WebSocket-Key")));
    co_return std::make_unique<WebSocketStream>(std::move(stream), rules.frame_bytes_max,
                                                std::move(reader.behind));
}

}  // namespace candela::http
