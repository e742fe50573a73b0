#pragma once

// A stream that begins in the clear and goes over to TLS once its first bytes, INFO, are written:
// at once where TLS is required, or when the client begins a handshake where it may choose. What is
// written meanwhile waits, bounded by its writer. Afterwards data goes from the TLS stream straight
// to the handler. Lives on its stream's loop.

#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "entrance.h"
#include "loop/flow.h"
#include "loop/stream.h"

namespace candela::bus_role {

class TlsUpgradeStream final : public Stream, private StreamHandler {
public:
    // `below` is not started yet.
    TlsUpgradeStream(StreamPtr below, EntrancePtr entrance, Logger log);
    ~TlsUpgradeStream() override;

    void start(StreamHandler& handler) override;
    void pause() override;
    void resume() override;
    void write(std::span<const std::string_view> parts) override;
    using Stream::write;
    size_t queued_bytes() const override;
    void end() override;
    Loop& loop() override { return loop_; }
    Address peer() const override { return peer_; }
    Address local() const override { return local_; }
    bool is_encrypted() const override { return state_ == State::kSecure; }

private:
    enum class State : uint8_t {
        kGreeting,  // INFO is yet to be written
        kWaiting,   // the client may begin a handshake, or not
        kShaking,
        kSecure,
        kClear,  // the client chose to go on without
        kBroken,
    };
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    void begin_handshake(std::string first_bytes);
    Task<void> shake_hands(std::string first_bytes);
    void become_secure(StreamPtr secured);
    void fail_later(Error error);

    Loop& loop_;
    const EntrancePtr entrance_;
    Logger log_;
    const Address peer_;
    const Address local_;
    StreamPtr below_;  // null while the handshake has it
    StreamHandler* handler_ = nullptr;
    State state_ = State::kGreeting;
    bool paused_ = false;
    bool ended_ = false;
    std::string held_;  // written during the handshake
    TaskGroup handshake_;
    std::shared_ptr<TlsUpgradeStream*> self_;  // expires with this
};

}  // namespace candela::bus_role
