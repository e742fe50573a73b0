#pragma once

// What the HTTP/2 sessions towards clients and upstreams share of nghttp2. Private to them.

#include <nghttp2/nghttp2.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "http/h2_body.h"
#include "loop/stream.h"

namespace candela::http {

// The fields of one head on their way to the session, which copies them. One for a thread.
class H2Fields {
public:
    void begin() { fields_.clear(); }
    void begin(int status) {
        begin();
        status_ = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),
                   static_cast<char>('0' + status % 10)};
        add(":status", std::string_view(status_.data(), status_.size()));
    }
    void add(std::string_view name, std::string_view value) {
        nghttp2_nv field{};
        field.name = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data()));
        field.namelen = name.size();
        field.value = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data()));
        field.valuelen = value.size();
        fields_.push_back(field);
    }
    const nghttp2_nv* data() const { return fields_.data(); }
    size_t size() const { return fields_.size(); }

private:
    std::array<char, 3> status_{};
    std::vector<nghttp2_nv> fields_;
};

H2Fields& h2_fields();

inline std::string_view h2_view(const uint8_t* bytes, size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

// Empties it, and keeps a reasonable part of its memory for the stream that comes after.
void reset_text(std::string& text);

inline constexpr size_t kH2FieldOverhead = 32;  // of each field, in a head's size (RFC 9113 §6.5.2)
inline constexpr size_t kH2QueuedBytesMax = 256 * 1024;  // of frames that the peer has not taken

// The data source that reads `body`; its trailers follow it.
nghttp2_data_provider h2_source_of(H2Body& body);
// What every session does the same way: bodies are sent without a copy inside nghttp2, and no
// session takes more than we allow of any peer. Both are for the caller to complete, and to keep.
void h2_set_common(nghttp2_session_callbacks* callbacks);
nghttp2_option* h2_make_options();

// With the functions of that class which all sessions have.
template <class Callbacks>
nghttp2_session_callbacks* h2_make_callbacks() {
    nghttp2_session_callbacks* out = nullptr;
    CANDELA_CHECK(nghttp2_session_callbacks_new(&out) == 0);
    nghttp2_session_callbacks_set_on_header_callback(out, Callbacks::on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(out, Callbacks::on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(out, Callbacks::on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(out, Callbacks::on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(out, Callbacks::on_frame_send);
    h2_set_common(out);
    return out;
}

// Hands down what the session has to say, until the stream has queued enough. False: the session
// can't go on.
bool h2_write(nghttp2_session* session, Stream& stream, uint64_t& written_bytes);

}  // namespace candela::http
