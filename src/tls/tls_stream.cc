#include "tls/tls_stream_impl.h"

#include <algorithm>
#include <cstring>

#include <openssl/err.h>

#include "base/text.h"
#include "loop/loop.h"

namespace candela::tls {

namespace {

// The most that one TLS record holds (RFC 8446 §5.1).
constexpr size_t kRecordSize = 16 * 1024;

// Records are handed down together up to this size.
constexpr size_t kFlushSize = 64 * 1024;

// What OpenSSL has encrypted and flush() is about to hand down. Every call into OpenSSL is followed
// by flush() before anything else runs, so that all streams of a thread share it.
thread_local std::string outgoing;

}  // namespace

// What OpenSSL sees as the network.
struct TlsBio {
    static TlsStream& of(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

    static int read(BIO* bio, char* out, size_t size, size_t* read_bytes) {
        BIO_clear_retry_flags(bio);
        std::string_view& incoming = of(bio).incoming_;
        *read_bytes = std::min(size, incoming.size());
        if (*read_bytes == 0) {
            BIO_set_retry_read(bio);
            return 0;
        }
        std::memcpy(out, incoming.data(), *read_bytes);
        incoming.remove_prefix(*read_bytes);
        return 1;
    }
    static int write(BIO*, const char* bytes, size_t size, size_t* written_bytes) {
        outgoing.append(bytes, size);
        *written_bytes = size;
        return 1;
    }
    static long control(BIO*, int command, long, void*) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    static BIO* make(TlsStream& stream) {
        static BIO_METHOD* const method = [] {
            BIO_METHOD* const made =
                BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "candela stream");
            BIO_meth_set_read_ex(made, read);
            BIO_meth_set_write_ex(made, write);
            BIO_meth_set_ctrl(made, control);
            return made;
        }();
        BIO* const bio = BIO_new(method);
        CANDELA_CHECK(bio != nullptr);
        BIO_set_data(bio, &stream);
        BIO_set_init(bio, 1);
        return bio;
    }
};

Result<std::unique_ptr<TlsStream>> TlsStream::create(StreamPtr below,
                                                     std::shared_ptr<ssl_ctx_st> context,
                                                     bool is_server, std::string server_name) {
    SslPtr ssl(SSL_new(context.get()));
    if (ssl == nullptr) {
        return fail(Code::kInternal, "starting TLS: {}", take_openssl_error("out of memory"));
    }
    if (is_server) {
        SSL_set_accept_state(ssl.get());
    } else {
        SSL_set_connect_state(ssl.get());
        const bool checks_name = SSL_get_verify_mode(ssl.get()) != SSL_VERIFY_NONE;
        if (checks_name && server_name.empty()) {
            return fail(Code::kInvalid, "no server name to check the certificate against");
        }
        X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl.get());
        bool set = true;
        if (is_ip_literal(server_name)) {
            set = !checks_name || X509_VERIFY_PARAM_set1_ip_asc(rules, server_name.c_str()) == 1;
        } else if (!server_name.empty()) {
            X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
            set =
                (!checks_name || X509_VERIFY_PARAM_set1_host(rules, server_name.c_str(), 0) == 1) &&
                SSL_set_tlsext_host_name(ssl.get(), server_name.c_str()) == 1;
        }
        if (!set) {
            take_openssl_error("");
            return fail(Code::kInvalid, "\"{}\" can't be a server's name", server_name);
        }
    }
    auto stream = std::make_unique<TlsStream>(std::move(below), std::move(context), std::move(ssl));
    stream->verification_.server_name = std::move(server_name);
    return stream;
}

TlsStream::TlsStream(StreamPtr below, std::shared_ptr<ssl_ctx_st> context, SslPtr ssl)
    : context_(std::move(context)),
      below_(std::move(below)),
      ssl_(std::move(ssl)),
      self_(std::make_shared<TlsStream*>(this)) {
    BIO* const bio = TlsBio::make(*this);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_app_data(ssl_.get(), &verification_);
}

TlsStream::~TlsStream() = default;

// Hands down what OpenSSL has encrypted.
void TlsStream::flush() {
    if (outgoing.empty()) return;
    below_->write(outgoing);
    outgoing.clear();
}

void TlsStream::start_handshake(Completion<Result<>>& done, std::string first_bytes) {
    handshake_ = &done;
    leftover_ = std::move(first_bytes);
    incoming_ = leftover_;
    below_->start(*this);
    advance_handshake();  // nobody awaits `done` yet: this stays
    keep_incoming();
}

void TlsStream::start_farewell(Completion<Done>& done) {
    farewell_ = &done;
    leftover_.clear();
    incoming_ = {};
    below_->end();
    below_->resume();
}

void TlsStream::advance_handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    const int reason = SSL_get_error(ssl_.get(), result);
    flush();
    if (result == 1) {
        below_->pause();  // until start() says who reads
        return finish_handshake(Result<>());
    }
    if (reason == SSL_ERROR_WANT_READ) {
        if (!below_ended_) return;
        return finish_handshake(fail(Code::kUnreachable, "the peer left during the TLS handshake"));
    }
    const std::string text = take_openssl_error("protocol error");
    if (!verification_.problem.empty()) {
        return finish_handshake(fail(Code::kDenied, "{}", verification_.problem));
    }
    finish_handshake(fail(Code::kCorrupt, "TLS handshake: {}", text));
}

// May destroy this: whoever calls it returns at once.
void TlsStream::finish_handshake(Result<> result) {
    std::exchange(handshake_, nullptr)->complete(std::move(result));
}

std::string_view TlsStream::alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
}

TlsClient client_of(const Stream& stream) {
    const auto* const encrypted = dynamic_cast<const TlsStream*>(&stream);
    return encrypted == nullptr ? TlsClient() : encrypted->client();
}

TlsClient TlsStream::client() const {
    TlsClient client;
    if (SSL_is_server(ssl_.get()) == 0) return client;
    const char* const name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
    client.server_name = ascii_lower(name == nullptr ? "" : name);
    if (client.server_name.ends_with('.')) client.server_name.pop_back();
    client.was_asked = (SSL_get_verify_mode(ssl_.get()) & SSL_VERIFY_PEER) != 0;
    const auto add = [&client](const X509* certificate) {
        unsigned char* bytes = nullptr;
        const int size = i2d_X509(certificate, &bytes);
        if (size <= 0) return;
        client.certificates.emplace_back(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
        OPENSSL_free(bytes);
    };
    const X509* const leaf = peer_certificate();
    if (leaf == nullptr) return client;
    add(leaf);
    // At a server, without the leaf.
    const STACK_OF(X509)* const others = SSL_get_peer_cert_chain(ssl_.get());
    for (int i = 0; i < sk_X509_num(others); ++i) add(sk_X509_value(others, i));
    return client;
}

void TlsStream::start(StreamHandler& handler) {
    handler_ = &handler;
    resume();
}

void TlsStream::pause() {
    paused_ = true;
    below_->pause();
}

void TlsStream::resume() {
    paused_ = false;
    below_->resume();
    if (!pumping_)
        pump_later();  // what is decrypted already comes from the loop, never from in here
}

void TlsStream::pump_later() {
    if (pump_scheduled_) return;
    pump_scheduled_ = true;
    loop().defer([self = std::weak_ptr<TlsStream*>(self_)] {
        auto stream = self.lock();
        if (stream == nullptr) return;
        TlsStream* const pumped = *stream;
        pumped->pump_scheduled_ = false;
        const std::weak_ptr<TlsStream*> still = stream;
        stream.reset();
        pumped->pump();
        if (!still.expired()) pumped->keep_incoming();
    });
}

// Copies what OpenSSL did not take before the caller's bytes are gone.
void TlsStream::keep_incoming() {
    if (incoming_.empty()) {
        leftover_ = std::string();
    } else if (incoming_.data() >= leftover_.data() &&
               incoming_.data() < leftover_.data() + leftover_.size()) {
        leftover_.erase(0, leftover_.size() - incoming_.size());
    } else {
        leftover_.assign(incoming_);
    }
    incoming_ = leftover_;
}

void TlsStream::on_data(std::string_view bytes) {
    if (farewell_ != nullptr) return;
    if (broken_ || peer_ended_) return;  // after its close_notify nothing counts
    if (incoming_.empty()) {
        incoming_ = bytes;
    } else {
        keep_incoming();
        leftover_.append(bytes);
        incoming_ = leftover_;
    }
    const std::weak_ptr<TlsStream*> self = self_;
    if (handshake_ != nullptr) {
        advance_handshake();
    } else {
        pump();
    }
    if (!self.expired()) keep_incoming();
}

// Decrypts what there is, as long as the handler wants it.
void TlsStream::pump() {
    if (handler_ == nullptr || handshake_ != nullptr || pumping_) return;
    if (broken_) return tell_broken();
    const std::weak_ptr<TlsStream*> self = self_;
    char plain[kRecordSize];
    pumping_ = true;
    while (!paused_ && !peer_ended_ && !broken_) {
        ERR_clear_error();
        const int size = SSL_read(ssl_.get(), plain, sizeof plain);
        const int reason = size > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), size);
        flush();  // an alert, or the answer to a key update
        if (size > 0) {
            handler_->on_data(std::string_view(plain, static_cast<size_t>(size)));
            if (self.expired()) return;
            continue;
        }
        if (reason == SSL_ERROR_ZERO_RETURN) {
            peer_ended_ = true;
            handler_->on_end();
            if (self.expired()) return;
        } else if (reason == SSL_ERROR_WANT_READ) {
            if (below_ended_) {
                break_with(Error(Code::kCorrupt,
                                 "TLS: the connection was cut off without a "
                                 "farewell; data may be missing"));
            }
            break;
        } else {
            break_with(Error(Code::kCorrupt, "TLS: " + take_openssl_error("protocol error")));
        }
    }
    pumping_ = false;
    if (broken_) tell_broken();
}

void TlsStream::write(std::span<const std::string_view> parts) {
    if (ended_ || broken_) return;
    // Small parts (a head and a short body) share a record.
    std::string joined;
    for (const std::string_view part : parts) {
        if (joined.size() + part.size() > kRecordSize) {
            encrypt(joined);
            joined.clear();
        }
        if (part.size() >= kRecordSize) {
            encrypt(part);
        } else {
            joined.append(part);
        }
    }
    encrypt(joined);
    flush();
    if (broken_) pump_later();  // tells the handler, but not from within its own call
}

void TlsStream::encrypt(std::string_view bytes) {
    while (!bytes.empty() && !broken_) {
        const std::string_view piece = bytes.substr(0, kRecordSize);
        ERR_clear_error();
        const int written = SSL_write(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
        if (written <= 0) {
            return break_with(
                Error(Code::kCorrupt, "TLS: " + take_openssl_error("protocol error")));
        }
        bytes.remove_prefix(static_cast<size_t>(written));
        if (outgoing.size() >= kFlushSize) flush();
    }
}

void TlsStream::end() {
    if (ended_ || broken_) return;
    ended_ = true;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());  // only queues our close_notify
    flush();
    below_->end();
}

void TlsStream::on_end() {
    below_ended_ = true;
    if (farewell_ != nullptr) return farewell_->complete(Done());
    if (handshake_ != nullptr) return advance_handshake();
    pump();
}

void TlsStream::on_error(const Error& error) {
    if (farewell_ != nullptr) return farewell_->complete(Done());
    if (handshake_ != nullptr) return finish_handshake(fail(error));
    break_with(error);
    pump();
}

void TlsStream::on_drained() {
    if (handler_ != nullptr && !broken_) handler_->on_drained();
}

void TlsStream::break_with(Error error) {
    if (!broken_) broken_.emplace(std::move(error));
}

// The last thing that the handler hears; it may destroy this.
void TlsStream::tell_broken() {
    if (told_broken_ || handler_ == nullptr) return;
    told_broken_ = true;
    handler_->on_error(*broken_);
}

}  // namespace candela::tls
