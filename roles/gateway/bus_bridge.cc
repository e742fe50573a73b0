#include "bus_bridge.h"

#include "bus_mapping.h"

namespace candela::gateway {
namespace {

constexpr Duration kAskAgain = 200ms;  // while nobody answers on the subject
constexpr size_t kHeaderRoom = 16 * 1024;

http::ServerOptions server_options() {
    http::ServerOptions options;
    // The proxy in front of it has its own, stricter limits; these must not end what it still
    // wants.
    options.connections_max = 65536;
    options.head_timeout = 60s;
    options.idle_timeout = 1h;
    options.body_rate_bytes_min = 0;
    return options;
}

// Counts one more for as long as it lives.
class Counted {
public:
    explicit Counted(size_t& count) : count_(count) { ++count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --count_; }

private:
    size_t& count_;
};

void refuse(http::ServerRequest& request, int status, std::string_view cause) {
    http::Headers headers;
    headers.add("Content-Type", "text/plain; charset=utf-8");
    if (status == 503) headers.add("Retry-After", "2");
    const std::string text = fmt::format("{} {}: {}\n", status, http::reason_phrase(status), cause);
    request.respond(status, headers, text);
}

}  // namespace

Result<std::unique_ptr<BusBridge>> BusBridge::create(NodeContext& context, Loop& loop,
                                                     std::string_view name, SpaceLogins& logins,
                                                     BridgeOptions options) {
    std::unique_ptr<BusBridge> bridge(new BusBridge(context, loop, logins, std::move(options)));
    auto listener = loop.listen(
        Address::in_process(name), ListenOptions(),
        [raw = bridge.get()](StreamPtr stream) { raw->server_.accept(std::move(stream)); });
    if (!listener) return fail(listener.error().in("the bridge to the bus"));
    bridge->listener_ = std::move(*listener);
    return bridge;
}

BusBridge::BusBridge(NodeContext& context, Loop& loop, SpaceLogins& logins, BridgeOptions options)
    : loop_(loop),
      logins_(logins),
      options_(std::move(options)),
      server_(loop, *this, server_options(), context.log.with({{"bridge", options_.service}})) {
    logins_.client_of(options_.space);  // so that it is there when the first request comes
}

Task<void> BusBridge::handle(http::ServerRequest& request) {
    const std::string_view prefix = request.header("X-Forwarded-Prefix").value_or("");
    auto subject = subject_for(request.path(), prefix, options_.service);
    if (!subject) {
        refuse(request, 404, subject.error().message());
        co_return;
    }
    bus::Client* client = logins_.client_of(options_.space);
    const size_t message_max = client != nullptr ? client->payload_max() : 1 << 20;
    std::string headers = bus_headers_for(request.head());
    if (headers.size() > kHeaderRoom) {
        refuse(request, 431, "the headers are larger than a message of the bus may carry");
        co_return;
    }
    const size_t payload_max = message_max - headers.size();
    auto payload = co_await request.read_all(payload_max);
    if (!payload) {
        const bool is_too_large = payload.error().code() == Code::kExhausted;
        refuse(request, is_too_large ? 413 : 400, payload.error().message());
        co_return;
    }
    auto reply = co_await ask(std::move(*subject), std::move(*payload), std::move(headers));
    if (!reply) {
        int status = 502;
        if (reply.error().code() == Code::kTimeout) status = 504;
        if (reply.error().code() == Code::kUnreachable) status = 503;
        if (reply.error().code() == Code::kExhausted) status = 503;
        if (reply.error().code() == Code::kInvalid) status = 413;
        refuse(request, status, reply.error().message());
        co_return;
    }
    const BusAnswer answer = answer_from(reply->view());
    request.respond(answer.status, answer.headers, answer.body);
}

// Asks, and holds the request while nobody listens: an instance may be starting.
Task<Result<bus::OwnedMessage>> BusBridge::ask(std::string subject, std::string payload,
                                               std::string headers) {
    const MonoTime hold_until = loop_.now() + options_.hold_timeout;
    std::optional<Counted> held;
    for (;;) {
        bus::Client* client = logins_.client_of(options_.space);
        if (client != nullptr) {
            std::string payload_copy = payload;
            std::string headers_copy = headers;
            auto reply = co_await client->request(subject, std::move(payload_copy),
                                                  options_.answer_timeout, std::move(headers_copy));
            if (reply) co_return std::move(*reply);
            if (reply.error().code() != Code::kUnreachable) co_return fail(reply.error());
        }
        if (loop_.now() >= hold_until) {
            co_return fail(Code::kUnreachable, "nobody answers on \"{}\" in space {}", subject,
                           options_.space);
        }
        if (!held) {
            if (held_ >= options_.hold_requests_max) {
                co_return fail(Code::kExhausted, "nobody answers on \"{}\", and too many wait",
                               subject);
            }
            held.emplace(held_);
        }
        co_await sleep_for(loop_, kAskAgain);
    }
}

}  // namespace candela::gateway
