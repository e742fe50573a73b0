#include "bus/tunnel.h"

#include "bus/tunnel_stream.h"

namespace candela::bus {

struct TunnelListener::State : std::enable_shared_from_this<TunnelListener::State> {
    State(Client& c, AcceptHandler handler, Logger l, const TunnelOptions& o)
        : client(c), on_accept(std::move(handler)), log(std::move(l)), options(o) {}

    void on_open(const MessageView& message);
    void refuse(std::string_view reply, std::string_view why);

    Client& client;
    AcceptHandler on_accept;
    Logger log;
    TunnelOptions options;
    Subscription subscription;
    size_t streams = 0;
};

void TunnelListener::State::refuse(std::string_view reply, std::string_view why) {
    std::string frame;
    encode_tunnel_frame(TunnelFrameType::kRefuse, 0, why, frame);
    const Result<> sent = client.publish(reply, frame);
    if (!sent) log.debug("tunnel_refusal_not_sent", {{"error", sent.error()}});
}

void TunnelListener::State::on_open(const MessageView& message) {
    const std::shared_ptr<State> self = shared_from_this();
    if (message.reply.empty()) return;
    const std::string reply(message.reply);
    const std::optional<TunnelFrame> frame = decode_tunnel_frame(message.payload);
    const size_t separator = frame ? frame->text.find('\n') : std::string_view::npos;
    if (!frame || frame->type != TunnelFrameType::kOpen || separator == std::string_view::npos) {
        refuse(reply, "this is not a tunnel's beginning");
        return;
    }
    if (streams >= options.streams_max) {
        log.warn("tunnels_exceeded", {{"max", options.streams_max}});
        refuse(reply, "too many tunnels");
        return;
    }
    std::string peer_inbox(frame->text.substr(0, separator));
    std::string target(frame->text.substr(separator + 1));
    const uint64_t peer_window = frame->number;
    auto core = std::make_shared<TunnelCore>(client, options, message.subject);
    const Result<> listening = core->listen();
    if (!listening) {
        refuse(reply, listening.error().message());
        return;
    }
    ++streams;
    core->on_gone([weak = weak_from_this()] {
        if (const std::shared_ptr<State> state = weak.lock()) --state->streams;
    });
    core->offer(reply, std::move(peer_inbox), peer_window);
    const AcceptHandler handler = on_accept;  // it may destroy the listener
    handler(std::make_unique<TunnelStream>(core), std::move(target));
}

TunnelListener::TunnelListener(std::shared_ptr<State> state) : state_(std::move(state)) {}
TunnelListener::~TunnelListener() { state_->subscription.unsubscribe(); }

Result<std::unique_ptr<TunnelListener>> TunnelListener::create(Client& client,
                                                               std::string_view subject,
                                                               AcceptHandler on_accept, Logger log,
                                                               TunnelOptions options) {
    auto state = std::make_shared<State>(client, std::move(on_accept), std::move(log), options);
    CANDELA_TRY_ASSIGN(
        state->subscription,
        client.subscribe(subject, [weak = std::weak_ptr<State>(state)](const MessageView& message) {
            if (const auto held = weak.lock()) held->on_open(message);
        }));
    return std::unique_ptr<TunnelListener>(new TunnelListener(std::move(state)));
}

Task<Result<StreamPtr>> connect_tunnel(Client& client, std::string subject, std::string target,
                                       Duration timeout, TunnelOptions options) {
    if (target.find('\n') != std::string::npos) {
        co_return fail(Code::kInvalid, "a tunnel's target has no line ends");
    }
    auto core = std::make_shared<TunnelCore>(client, options, subject);
    const Result<> listening = core->listen();
    if (!listening) co_return fail(listening.error());
    // From here on, whatever goes wrong, the stream's destructor closes this end.
    StreamPtr stream = std::make_unique<TunnelStream>(core);
    std::string request;
    encode_tunnel_frame(TunnelFrameType::kOpen, options.window_bytes, core->inbox() + "\n" + target,
                        request);
    Result<OwnedMessage> answer = co_await client.request(subject, std::move(request), timeout);
    if (!answer) co_return fail(answer.error().in("opening a tunnel"));
    const std::optional<TunnelFrame> frame = decode_tunnel_frame(answer->payload);
    if (frame && frame->type == TunnelFrameType::kRefuse) {
        co_return fail(Code::kUnreachable, "the tunnel was refused: {}", frame->text);
    }
    if (!frame || frame->type != TunnelFrameType::kAccept || frame->text.empty()) {
        co_return fail(Code::kCorrupt, "the tunnel's listener answered something else");
    }
    core->open(std::string(frame->text), frame->number);
    co_return std::move(stream);
}

}  // namespace candela::bus
