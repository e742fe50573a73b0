#include <algorithm>

#include "base/check.h"
#include "http/h2_session_impl.h"

namespace candela::http {
namespace {

constexpr size_t kWriteBytes = 64 * 1024;  // frames are handed down together up to so much
constexpr size_t kKeptBytes = 16 * 1024;   // of a buffer, for its next user
// Settings, and frames of one header block (CVE-2024-28182); beyond them nghttp2 ends the
// connection.
constexpr size_t kSettingsMax = 32;
constexpr size_t kContinuationsMax = 8;
constexpr size_t kOutboundAcksMax = 1000;
// Of a head that we send. Those that come are held to ParserLimits, at most 1 MiB, and a little is
// added on the way.
constexpr size_t kHeadBytesMax = 2 * 1024 * 1024;

// What a session has made and h2_write() is about to hand down: nothing else runs in between.
thread_local std::string outgoing;

ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                  nghttp2_data_source* source, void*) {
    H2Body& body = *static_cast<H2Body*>(source->ptr);
    const size_t waiting = body.waiting_bytes();
    if (waiting == 0 && !body.is_ended()) {
        body.set_deferred();
        return NGHTTP2_ERR_DEFERRED;
    }
    const size_t size = std::min(waiting, length);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!body.is_ended() || size < waiting) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    const Headers& trailers = body.body_trailers();
    if (trailers.empty()) return static_cast<ssize_t>(size);
    H2Fields& fields = h2_fields();
    fields.begin();
    for (const Headers::Field field : trailers) fields.add(field.name, field.value);
    const int failed = nghttp2_submit_trailer(session, id, fields.data(), fields.size());
    if (failed != 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return static_cast<ssize_t>(size);
}

int send_body(nghttp2_session*, nghttp2_frame*, const uint8_t* head, size_t length,
              nghttp2_data_source* source, void*) {
    H2Body& body = *static_cast<H2Body*>(source->ptr);
    constexpr size_t kFrameHead = 9;
    outgoing.append(h2_view(head, kFrameHead));
    outgoing.append(body.waiting_body().substr(0, length));
    body.take_body(length);
    return 0;
}

// RFC 9113 §8.2.1: a field that is not allowed makes its message malformed.
int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                      const uint8_t*, size_t, uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

}  // namespace

H2Fields& h2_fields() {
    thread_local H2Fields fields;
    return fields;
}

void reset_text(std::string& text) {
    text.clear();
    if (text.capacity() > kKeptBytes) text = std::string();
}

nghttp2_data_provider h2_source_of(H2Body& body) {
    nghttp2_data_provider provider{};
    provider.source.ptr = &body;
    provider.read_callback = read_body;
    return provider;
}

void h2_set_common(nghttp2_session_callbacks* callbacks) {
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_body);
}

nghttp2_option* h2_make_options() {
    nghttp2_option* out = nullptr;
    CANDELA_CHECK(nghttp2_option_new(&out) == 0);
    nghttp2_option_set_no_auto_window_update(out, 1);
    nghttp2_option_set_no_closed_streams(out, 1);
    nghttp2_option_set_max_settings(out, kSettingsMax);
    nghttp2_option_set_max_outbound_ack(out, kOutboundAcksMax);
    nghttp2_option_set_max_continuations(out, kContinuationsMax);
    nghttp2_option_set_max_send_header_block_length(out, kHeadBytesMax);
    return out;
}

void H2SessionFreer::operator()(nghttp2_session* session) const { nghttp2_session_del(session); }

bool h2_write(nghttp2_session* session, Stream& stream, uint64_t& written_bytes) {
    CANDELA_CHECK(outgoing.empty());
    while (stream.queued_bytes() <= kH2QueuedBytesMax) {
        const uint8_t* bytes = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session, &bytes);
        if (size > 0) outgoing.append(h2_view(bytes, static_cast<size_t>(size)));
        if (size > 0 && outgoing.size() < kWriteBytes) continue;
        written_bytes += outgoing.size();
        if (!outgoing.empty()) stream.write(outgoing);
        outgoing.clear();
        if (size < 0) return false;
        if (size == 0) return true;
    }
    return true;
}

}  // namespace candela::http
