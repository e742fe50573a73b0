#include "http/announced_stream.h"

#include <list>
#include <memory>
#include <utility>

#include "http/proxy_protocol.h"
#include "loop/timers.h"

namespace candela::http {
namespace {

constexpr Duration kWarningInterval = 10s;

// The stream behind a header. Until what came with the header is read, it stands between the stream
// and its user; from then on the user is told by the stream itself.
class AnnouncedStream final : public Stream, private StreamHandler {
public:
    AnnouncedStream(StreamPtr inner, Address peer, std::string early)
        : inner_(std::move(inner)), peer_(std::move(peer)), early_(std::move(early)) {
        inner_->start(*this);
        inner_->pause();
    }

    void start(StreamHandler& handler) override {
        handler_ = &handler;
        if (is_handed_over_) {
            inner_->start(handler);
        } else {
            hand_over_soon();
        }
    }
    void pause() override {
        is_paused_ = true;
        if (is_handed_over_) inner_->pause();
    }
    void resume() override {
        is_paused_ = false;
        if (is_handed_over_) {
            inner_->resume();
        } else if (handler_ != nullptr) {
            hand_over_soon();
        }
    }
    void write(std::span<const std::string_view> parts) override { inner_->write(parts); }
    size_t queued_bytes() const override { return inner_->queued_bytes(); }
    void end() override { inner_->end(); }
    Loop& loop() override { return inner_->loop(); }
    Address peer() const override { return peer_; }
    Address local() const override { return inner_->local(); }

private:
    // What the stream says before it is handed over.
    void on_data(std::string_view bytes) override { early_.append(bytes); }
    void on_end() override { has_ended_ = true; }
    void on_error(const Error& error) override {
        error_ = error;
        if (handler_ != nullptr) hand_over_soon();
    }
    void on_drained() override {
        if (handler_ != nullptr) handler_->on_drained();
    }

    // Never from within start(): the user may be in the middle of something.
    void hand_over_soon() {
        inner_->loop().defer([alive = std::weak_ptr<bool>(alive_), this] {
            if (!alive.expired()) hand_over();
        });
    }
    void hand_over() {
        if (is_paused_ || is_handed_over_) return;
        const std::weak_ptr<bool> alive = alive_;
        if (!early_.empty()) {
            const std::string bytes = std::exchange(early_, std::string());
            handler_->on_data(bytes);
            if (alive.expired() || is_paused_) return;  // resume() goes on
        }
        if (error_) {
            const Error error = *std::exchange(error_, std::nullopt);
            is_handed_over_ = true;
            handler_->on_error(error);
            return;
        }
        is_handed_over_ = true;
        inner_->start(*handler_);
        inner_->resume();
        if (has_ended_) handler_->on_end();
    }

    StreamPtr inner_;
    Address peer_;
    std::string early_;
    StreamHandler* handler_ = nullptr;
    std::optional<Error> error_;
    bool is_paused_ = false;
    bool has_ended_ = false;
    bool is_handed_over_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class AnnouncedAcceptor final {
public:
    AnnouncedAcceptor(Loop& loop, const TrustedPeers& trusted, Logger log, Loop::AcceptHandler then)
        : loop_(loop), trusted_(trusted), log_(std::move(log)), then_(std::move(then)) {}
    void accept(StreamPtr stream);

private:
    class Pending;
    void settle(Pending& pending, StreamPtr stream);

    Loop& loop_;
    const TrustedPeers& trusted_;
    Logger log_;
    Loop::AcceptHandler then_;
    std::list<std::unique_ptr<Pending>> pending_;
    MonoTime silent_until_{};
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// One stream whose header has not come whole.
class AnnouncedAcceptor::Pending final : public StreamHandler {
public:
    Pending(AnnouncedAcceptor& acceptor, StreamPtr stream)
        : acceptor_(acceptor),
          stream_(std::move(stream)),
          timer_(acceptor.loop_.timers(), [this] { give_up("no PROXY header in time"); }) {}

    void start() {
        timer_.start(kProxyHeaderTimeout);
        stream_->start(*this);
    }

private:
    void on_data(std::string_view bytes) override {
        if (is_over_) return;
        bytes_.append(bytes);
        auto header = parse_proxy_header(bytes_);
        if (!header) {
            give_up(header.error().message());
            return;
        }
        if (!header->has_value()) return;
        is_over_ = true;
        timer_.stop();
        ProxyHeader& found = **header;
        Address peer = found.client ? std::move(*found.client) : stream_->peer();
        bytes_.erase(0, found.bytes);
        acceptor_.settle(*this, std::make_unique<AnnouncedStream>(
                                    std::move(stream_), std::move(peer), std::move(bytes_)));
    }
    void on_end() override { give_up("closed before its PROXY header"); }
    void on_error(const Error& error) override { give_up(error.message()); }

    void give_up(std::string_view cause) {
        if (std::exchange(is_over_, true)) return;
        acceptor_.log_.debug("proxy_header_refused",
                             {{"peer", stream_->peer().to_string()}, {"cause", cause}});
        acceptor_.settle(*this, nullptr);
    }

    AnnouncedAcceptor& acceptor_;
    StreamPtr stream_;
    Timer timer_;
    std::string bytes_;
    bool is_over_ = false;
};

void AnnouncedAcceptor::accept(StreamPtr stream) {
    const Address peer = stream->peer();
    const bool is_trusted = peer.kind != Address::Kind::kTcp || trusted_.contains(peer.host);
    if (!is_trusted || pending_.size() >= kPendingHeadersMax) {
        // Whoever set it up wrongly has to see it; a flood must not fill the log.
        if (loop_.now() < silent_until_) return;
        silent_until_ = loop_.now() + kWarningInterval;
        log_.warn("proxy_header_refused",
                  {{"peer", peer.to_string()},
                   {"cause", is_trusted ? "too many streams wait for theirs"
                                        : "the peer is not one of trusted_proxies"}});
        return;
    }
    pending_.push_back(std::make_unique<Pending>(*this, std::move(stream)));
    pending_.back()->start();
}

// We may be within a callback of the pending one, or of its timer: it goes later.
void AnnouncedAcceptor::settle(Pending& pending, StreamPtr stream) {
    loop_.defer([this, alive = std::weak_ptr<bool>(alive_), &pending] {
        if (alive.expired()) return;
        std::erase_if(pending_, [&](const auto& one) { return one.get() == &pending; });
    });
    if (stream != nullptr) then_(std::move(stream));
}

}  // namespace

Loop::AcceptHandler accept_announced(Loop& loop, const TrustedPeers& trusted, Logger log,
                                     Loop::AcceptHandler then) {
    auto acceptor =
        std::make_unique<AnnouncedAcceptor>(loop, trusted, std::move(log), std::move(then));
    return
        [acceptor = std::move(acceptor)](StreamPtr stream) { acceptor->accept(std::move(stream)); };
}

}  // namespace candela::http
