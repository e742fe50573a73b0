#pragma once

// A Stream that encrypts over another. Private to stream.cc and tls_stream.cc. OpenSSL reads from
// the bytes at hand and writes into a buffer of the thread that is handed down after each call, so
// that an idle connection holds no buffers. It does nothing to itself after a call to its handler
// without looking whether it still exists.

#include <optional>

#include "loop/flow.h"
#include "loop/stream.h"
#include "tls/openssl_impl.h"
#include "tls/tls_client.h"
#include "tls/verify_impl.h"

namespace candela::tls {

class TlsStream final : public Stream, private StreamHandler {
public:
    // `context` is kept as long as the connection.
    static Result<std::unique_ptr<TlsStream>> create(StreamPtr below,
                                                     std::shared_ptr<ssl_ctx_st> context,
                                                     bool is_server, std::string server_name);
    TlsStream(StreamPtr below, std::shared_ptr<ssl_ctx_st> context, SslPtr ssl);
    ~TlsStream() override;

    // Completes `done` when the handshake has succeeded or failed. `first_bytes` were read from the
    // stream below before it was given to us.
    void start_handshake(Completion<Result<>>& done, std::string first_bytes = {});
    // After a handshake that failed: ends our direction and drops what comes until the peer has
    // gone, so that it reads our alert rather than a reset.
    void start_farewell(Completion<Done>& done);
    // The peer's certificate, after the handshake; null where it showed none.
    X509* peer_certificate() const { return SSL_get0_peer_certificate(ssl_.get()); }

    void start(StreamHandler& handler) override;
    void pause() override;
    void resume() override;
    void write(std::span<const std::string_view> parts) override;
    using Stream::write;
    size_t queued_bytes() const override { return below_->queued_bytes(); }
    void end() override;
    Loop& loop() override { return below_->loop(); }
    Address peer() const override { return below_->peer(); }
    Address local() const override { return below_->local(); }
    std::optional<uint32_t> peer_uid() const override { return below_->peer_uid(); }
    std::string_view alpn() const override;
    bool is_encrypted() const override { return true; }
    TlsClient client() const;

private:
    friend struct TlsBio;
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    void advance_handshake();
    void finish_handshake(Result<> result);
    void pump();
    void pump_later();
    void keep_incoming();
    void encrypt(std::string_view bytes);
    void flush();
    void break_with(Error error);
    void tell_broken();

    const std::shared_ptr<ssl_ctx_st> context_;
    Verification verification_;
    StreamPtr below_;
    SslPtr ssl_;
    std::string_view incoming_;  // not yet taken by OpenSSL: on_data()'s bytes, or leftover_
    std::string leftover_;
    StreamHandler* handler_ = nullptr;
    Completion<Result<>>* handshake_ = nullptr;  // while it goes on
    Completion<Done>* farewell_ = nullptr;       // while we wait for the peer to go
    std::optional<Error> broken_;
    bool told_broken_ = false;
    bool paused_ = false;
    bool pumping_ = false;
    bool pump_scheduled_ = false;
    bool ended_ = false;                // our direction
    bool peer_ended_ = false;           // close_notify came
    bool below_ended_ = false;          // the stream below has no more
    std::shared_ptr<TlsStream*> self_;  // expires with this
};

}  // namespace candela::tls
