// How an HTTP/1.1 client connection writes an exchange's answer, in the form that the client's
// version asks for.

#include "http/proxy_connection.h"

namespace candela::http {
namespace {

bool is_chunked(ClientBody body) {
    return body == ClientBody::kChunked || body == ClientBody::kChunkedTrailers;
}

}  // namespace

void ProxyConnection::send_interim(const ResponseHead& head) {
    // HTTP/1.0 knows none, and 100 is for those who wait for it (RFC 9110 §15.2).
    const bool is_http11 = parser_->head().version == Version::kHttp11;
    const bool is_wanted = is_http11 && (head.status != 100 || parser_->framing().expects_continue);
    if (!is_wanted) return;
    std::string& out = proxy_.to_client_.begin_head(*stream_);
    append_client_response(head, ClientBody::kNone, ClientConnection::kPersistent, "",
                           AnswerEdits(), out);
    proxy_.to_client_.add_head(*stream_);
}

void ProxyConnection::send_head(const ResponseHead& head, const Framing& framing,
                                const AnswerEdits& edits) {
    const RequestHead& request = parser_->head();
    const bool is_http11 = request.version == Version::kHttp11;
    if (framing.upgrade || std::string_view(request.method) == "HEAD" ||
        status_has_no_body(head.status)) {
        answer_body_ = ClientBody::kNone;
    } else if (framing.body == BodyKind::kNone || framing.body == BodyKind::kLength) {
        answer_body_ = ClientBody::kLength;
    } else {
        answer_body_ = !is_http11 ? ClientBody::kUntilClose
                       : request.headers.has_token(FieldId::kTe, "trailers")
                           ? ClientBody::kChunkedTrailers
                           : ClientBody::kChunked;
    }
    persistent_ = is_persistent() && answer_body_ != ClientBody::kUntilClose;
    ClientConnection connection = ClientConnection::kPersistent;
    if (framing.upgrade) {
        connection = ClientConnection::kSayUpgrade;
    } else if (!persistent_) {
        connection = ClientConnection::kSayClose;
    } else if (!is_http11) {
        connection = ClientConnection::kSayKeepAlive;
    }
    std::string& out = proxy_.to_client_.begin_head(*stream_);
    append_client_response(head, answer_body_, connection, proxy_.date(), edits, out);
    proxy_.to_client_.add_head(*stream_);
}

void ProxyConnection::send_body(std::string_view bytes) {
    Cork& cork = proxy_.to_client_;
    if (!is_chunked(answer_body_)) {
        cork.borrow(*stream_, bytes);
        return;
    }
    ChunkLine line;
    cork.copy(*stream_, chunk_line(bytes.size(), line));
    cork.borrow(*stream_, bytes);
    cork.copy(*stream_, "\r\n");
}

void ProxyConnection::send_end(const Headers& trailers) {
    if (!is_chunked(answer_body_)) return;
    if (trailers.empty() || answer_body_ != ClientBody::kChunkedTrailers) {
        proxy_.to_client_.borrow(*stream_, kLastChunk);
        return;
    }
    flush();  // the head's place is needed
    append_last_chunk(trailers, proxy_.to_client_.begin_head(*stream_));
    proxy_.to_client_.add_head(*stream_);
}

void ProxyConnection::flush() { written_bytes_ += proxy_.to_client_.flush(*stream_); }

void ProxyConnection::discard() { proxy_.to_client_.clear(); }

void ProxyConnection::relay_to_client(std::string_view bytes) {
    stream_->write(bytes);
    written_bytes_ += bytes.size();
}

}  // namespace candela::http
