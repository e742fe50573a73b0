#include "tls/stream.h"

#include "tls/tls_stream_impl.h"

namespace candela::tls {

namespace {

constexpr Duration kFarewellTime = 1s;

Task<Result<>> shake_hands(TlsStream& stream, Duration timeout, std::string first_bytes) {
    Completion<Result<>> done;
    Timer timer(stream.loop().timers(), [&done, timeout] {
        done.complete(
            fail(Code::kTimeout, "TLS handshake: no answer within {}", format_duration(timeout)));
    });
    timer.start(timeout);
    stream.start_handshake(done, std::move(first_bytes));
    co_return co_await done;
}

// A socket that is closed while the peer still sends is reset, and our alert would be lost with it.
Task<void> say_farewell(TlsStream& stream) {
    Completion<Done> gone;
    Timer timer(stream.loop().timers(), [&gone] { gone.complete(Done()); });
    timer.start(kFarewellTime);
    stream.start_farewell(gone);
    co_await gone;
}

}  // namespace

Task<Result<StreamPtr>> wrap_server(StreamPtr stream, std::shared_ptr<ServerContext> context,
                                    Duration timeout, std::string first_bytes) {
    CO_TRY_ASSIGN(std::unique_ptr<TlsStream> secured,
                  TlsStream::create(std::move(stream), context->current(), true, std::string()));
    Result<> shaken = co_await shake_hands(*secured, timeout, std::move(first_bytes));
    if (!shaken) {
        co_await say_farewell(*secured);
        co_return fail(std::move(shaken).error());
    }
    co_return StreamPtr(std::move(secured));
}

Task<Result<StreamPtr>> wrap_client(StreamPtr stream, std::shared_ptr<ClientContext> context,
                                    std::string server_name, Duration timeout) {
    CO_TRY_ASSIGN(
        std::unique_ptr<TlsStream> secured,
        TlsStream::create(std::move(stream), context->current(), false, std::move(server_name)));
    Result<> shaken = co_await shake_hands(*secured, timeout, std::string());
    if (!shaken) co_return fail(std::move(shaken).error());
    if (!context->pinned_fingerprint().empty()) {
        const X509* const certificate = secured->peer_certificate();
        const std::string shown = certificate == nullptr ? "none" : fingerprint_of(certificate);
        if (shown != context->pinned_fingerprint()) {
            co_return fail(Code::kDenied,
                           "certificate is not trusted: fingerprint {} where {} was "
                           "expected",
                           shown, context->pinned_fingerprint());
        }
    }
    co_return StreamPtr(std::move(secured));
}

Acceptor::Acceptor(std::shared_ptr<ServerContext> context, Duration handshake_timeout, Logger log,
                   OnStream on_stream)
    : context_(std::move(context)),
      handshake_timeout_(handshake_timeout),
      log_(std::move(log)),
      on_stream_(std::move(on_stream)) {}

void Acceptor::accept(StreamPtr stream) {
    if (handshakes_.size() >= kHandshakesMax) {
        log_.warn("tls_handshakes_exhausted", {{"handshakes_max", kHandshakesMax}});
        return;
    }
    handshakes_.spawn(handshake(std::move(stream)));
}

Task<void> Acceptor::handshake(StreamPtr stream) {
    const std::string peer = stream->peer().to_string();
    Result<StreamPtr> secured =
        co_await wrap_server(std::move(stream), context_, handshake_timeout_);
    if (secured && (*secured)->alpn() == kChallengeAlpn) {
        // Its certificate was all that the authority wanted to see (RFC 8737 §3).
        (*secured)->end();
        log_.info("certificate_challenge_answered", {{"peer", peer}});
    } else if (secured) {
        on_stream_(std::move(*secured));
    } else {
        log_.debug("tls_handshake_failed", {{"peer", peer}, {"error", secured.error()}});
    }
}

}  // namespace candela::tls
