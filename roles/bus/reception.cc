#include "reception.h"

#include "tls/stream.h"
#include "tls_upgrade.h"

namespace candela::bus_role {

namespace {

// Waits for the first bytes of a client that may speak first.
class FirstBytes final : public StreamHandler {
public:
    void on_data(std::string_view bytes) override {
        stream->pause();
        text.assign(bytes);
        done.complete(Done());
    }
    void on_end() override { leave(); }
    void on_error(const Error&) override { leave(); }

    Stream* stream = nullptr;
    std::string text;
    bool has_left = false;
    Completion<Done> done;

private:
    void leave() {
        has_left = true;
        done.complete(Done());
    }
};

Task<Result<StreamPtr>> begin_auto(StreamPtr stream, EntrancePtr entrance, Logger log) {
    FirstBytes first;
    first.stream = stream.get();
    Timer timer(stream->loop().timers(), [&first] { first.done.complete(Done()); });
    timer.start(Entrance::kAutoWait);
    stream->start(first);
    co_await first.done;
    timer.stop();
    if (first.has_left) co_return fail(Code::kUnreachable, "the client left");
    if (first.text.empty()) {
        stream->pause();  // the client waits for INFO
        co_return std::make_unique<TlsUpgradeStream>(std::move(stream), std::move(entrance),
                                                     std::move(log));
    }
    const Duration timeout = entrance->handshake_timeout;
    co_return co_await tls::wrap_server(std::move(stream), entrance->tls, timeout,
                                        std::move(first.text));
}

}  // namespace

void Reception::receive(StreamPtr stream, const EntrancePtr& entrance) {
    const bool is_websocket = entrance->type == ConnectionType::kWebSocket;
    const bool is_encrypted = entrance->tls != nullptr;
    const bool is_ready =
        !is_websocket && (!is_encrypted || entrance->handshake == Entrance::Handshake::kAfterInfo);
    if (is_ready) {
        if (is_encrypted) {
            stream = std::make_unique<TlsUpgradeStream>(std::move(stream), entrance, log_);
        }
        on_guest_(Guest{std::move(stream), entrance});
        return;
    }
    if (waiting_.size() >= kWaitingMax) {
        log_.warn("bus_handshakes_exhausted", {{"max", kWaitingMax}});
        return;
    }
    waiting_.spawn(receive_slowly(std::move(stream), entrance));
}

Task<void> Reception::receive_slowly(StreamPtr stream, EntrancePtr entrance) {
    const std::string peer = stream->peer().to_string();
    const Duration timeout = entrance->handshake_timeout;
    Result<StreamPtr> ready(std::move(stream));
    const bool is_auto = entrance->handshake == Entrance::Handshake::kAuto &&
                         entrance->type == ConnectionType::kStandard;
    if (entrance->tls != nullptr && is_auto) {
        ready = co_await begin_auto(std::move(*ready), entrance, log_);
    } else if (entrance->tls != nullptr) {
        ready = co_await tls::wrap_server(std::move(*ready), entrance->tls, timeout);
    }
    if (!ready) {
        log_.debug("bus_tls_refused", {{"client", peer}, {"error", ready.error()}});
        co_return;
    }
    Guest guest;
    guest.entrance = entrance;
    if (entrance->type == ConnectionType::kWebSocket) {
        Result<std::unique_ptr<http::WebSocketStream>> opened =
            co_await http::accept_websocket(std::move(*ready), entrance->websocket, timeout);
        if (!opened) {
            log_.debug("bus_websocket_refused", {{"client", peer}, {"error", opened.error()}});
            co_return;
        }
        guest.websocket = opened->get();
        guest.stream = std::move(*opened);
    } else {
        guest.stream = std::move(*ready);
    }
    on_guest_(std::move(guest));
}

}  // namespace candela::bus_role
