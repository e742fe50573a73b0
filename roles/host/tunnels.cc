#include "tunnels.h"

#include <array>

#include "base/text.h"

namespace candela::host {

// Two streams joined: what one sends the other writes, and a slow writer pauses its reader.
class Tunnels::Relay final {
public:
    Relay(Tunnels& tunnels, StreamPtr from_gateway, uint16_t port)
        : tunnels_(tunnels), timer_(tunnels.loop_.timers(), [this] { end(); }) {
        sides_[0].emplace(*this, 0);
        sides_[1].emplace(*this, 1);
        sides_[0]->stream = std::move(from_gateway);
        timer_.start(kConnectTimeout);
        attempt_ = tunnels.loop_.connect(Address::tcp("127.0.0.1", port),
                                         [this](Result<StreamPtr> stream) {
                                             timer_.stop();
                                             if (!stream) return end();
                                             sides_[1]->stream = std::move(*stream);
                                             // Starting one may end both.
                                             const std::weak_ptr<bool> alive = alive_;
                                             sides_[0]->stream->start(*sides_[0]);
                                             if (!alive.expired())
                                                 sides_[1]->stream->start(*sides_[1]);
                                         });
    }

private:
    struct Side final : StreamHandler {
        Side(Relay& r, size_t i) : relay(r), index(i) {}
        Side& other() { return *relay.sides_[1 - index]; }

        void on_data(std::string_view bytes) override {
            other().stream->write(bytes);
            if (other().stream->queued_bytes() > kQueueBytesMax) stream->pause();
        }
        void on_drained() override {
            if (!other().has_ended) other().stream->resume();
        }
        void on_end() override {
            has_ended = true;
            other().stream->end();
            if (other().has_ended) relay.end_when_sent();
        }
        void on_error(const Error&) override { relay.end(); }

        Relay& relay;
        size_t index;
        StreamPtr stream;
        bool has_ended = false;
    };

    // Both directions are over; what is queued still goes out.
    void end_when_sent() {
        const bool is_sent =
            sides_[0]->stream->queued_bytes() + sides_[1]->stream->queued_bytes() == 0;
        if (is_sent) return end();
        lingering_ = std::make_unique<Timer>(tunnels_.loop_.timers(), [this] { end_when_sent(); });
        lingering_->start(50ms);
    }
    // We are within a callback of one of our streams.
    void end() {
        if (std::exchange(is_over_, true)) return;
        tunnels_.loop_.defer([&tunnels = tunnels_, alive = std::weak_ptr<bool>(alive_), this] {
            if (alive.expired()) return;
            std::erase_if(tunnels.relays_,
                          [this](const auto& relay) { return relay.get() == this; });
        });
    }

    Tunnels& tunnels_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    Timer timer_;
    std::array<std::optional<Side>, 2> sides_;
    std::unique_ptr<ConnectAttempt> attempt_;
    std::unique_ptr<Timer> lingering_;
    bool is_over_ = false;
};

Tunnels::Tunnels(Loop& loop, FindPort find_port, Logger log)
    : loop_(loop), find_port_(std::move(find_port)), log_(std::move(log)) {}

Tunnels::~Tunnels() = default;

Result<> Tunnels::start(bus::Client& client, std::string_view node) {
    CANDELA_TRY_ASSIGN(listener_, bus::TunnelListener::create(
                                      client, fmt::format("candela.tunnel.{}", node),
                                      [this](StreamPtr stream, std::string target) {
                                          accept(std::move(stream), target);
                                      },
                                      log_));
    return {};
}

void Tunnels::accept(StreamPtr stream, const std::string& instance) {
    const auto port = find_port_(instance);
    if (!port) {
        log_.info("tunnel_refused", {{"instance", printable(instance)}});
        return;  // destroying the stream refuses it
    }
    relays_.push_back(std::make_unique<Relay>(*this, std::move(stream), *port));
}

}  // namespace candela::host
