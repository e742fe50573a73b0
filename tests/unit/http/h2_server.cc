#include "h2_server.h"

#include <algorithm>

#include <nghttp2/nghttp2.h>

namespace candela::http::test {
namespace {

std::vector<nghttp2_nv> name_values(const H2FieldList& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
        nghttp2_nv field{};
        field.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
        field.namelen = name.size();
        field.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
        field.valuelen = value.size();
        list.push_back(field);
    }
    return list;
}

}  // namespace

struct H2ServerCallbacks {
    static H2Server& of(void* user) { return *static_cast<H2Server*>(user); }

    static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                         size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                         void* user) {
        H2Asked& asked = of(user).asked[frame->hd.stream_id];
        auto& fields = asked.has_head ? asked.trailers : asked.fields;
        fields[std::string(reinterpret_cast<const char*>(name), name_size)] =
            std::string(reinterpret_cast<const char*>(value), value_size);
        return 0;
    }
    static int on_chunk(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                        void* user) {
        of(user).asked[id].body.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
    }
    static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        H2Server& self = of(user);
        const bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
        if (frame->hd.type == NGHTTP2_GOAWAY) self.goaways.push_back(frame->goaway.error_code);
        if (frame->hd.type == NGHTTP2_PING && !is_ack) ++self.pings;
        if (frame->hd.type == NGHTTP2_SETTINGS && !is_ack) ++self.settings;
        if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
        H2Asked& asked = self.asked[frame->hd.stream_id];
        if (frame->hd.type == NGHTTP2_HEADERS) asked.has_head = true;
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) asked.is_complete = true;
        return 0;
    }
    static int on_close(nghttp2_session*, int32_t id, uint32_t code, void* user) {
        of(user).asked[id].is_closed = true;
        of(user).asked[id].error_code = code;
        return 0;
    }
    static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* out, size_t size,
                             uint32_t* flags, nghttp2_data_source*, void* user) {
        H2Server::Upload& upload = of(user).uploads_[id];
        const size_t count = std::min(size, upload.bytes.size());
        if (count == 0 && !upload.is_last) return NGHTTP2_ERR_DEFERRED;
        std::copy_n(upload.bytes.begin(), count, out);
        upload.bytes.erase(0, count);
        if (!upload.is_last || !upload.bytes.empty()) return static_cast<ssize_t>(count);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (!upload.trailers.empty()) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            const auto list = name_values(upload.trailers);
            nghttp2_submit_trailer(session, id, list.data(), list.size());
        }
        return static_cast<ssize_t>(count);
    }
};

H2Server::H2Server(StreamPtr stream, const H2ServerOptions& options) : stream_(std::move(stream)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, H2ServerCallbacks::on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              H2ServerCallbacks::on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, H2ServerCallbacks::on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, H2ServerCallbacks::on_close);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, options.reads_by_itself ? 0 : 1);
    nghttp2_option_set_no_auto_ping_ack(option, options.answers_pings ? 0 : 1);
    // So that a test can send what is malformed.
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 256 * 1024);
    nghttp2_session_server_new2(&session_, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    set_streams_max(options.streams_max);
    stream_->start(*this);
}

H2Server::~H2Server() { nghttp2_session_del(session_); }

void H2Server::send_head(int32_t id, const H2FieldList& fields, bool is_last) {
    const auto list = name_values(fields);
    const bool is_interim = !fields.empty() && fields[0].second.starts_with('1');
    if (is_interim) {
        nghttp2_submit_headers(session_, is_last ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, id,
                               nullptr, list.data(), list.size(), nullptr);
    } else {
        nghttp2_data_provider body{};
        body.read_callback = H2ServerCallbacks::read_body;
        nghttp2_submit_response(session_, id, list.data(), list.size(), is_last ? nullptr : &body);
    }
    flush();
}

void H2Server::send_body(int32_t id, std::string_view bytes, bool is_last) {
    Upload& upload = uploads_[id];
    upload.bytes += bytes;
    upload.is_last = is_last;
    nghttp2_session_resume_data(session_, id);
    flush();
}

void H2Server::send_trailers(int32_t id, const H2FieldList& fields) {
    uploads_[id].trailers = fields;
    send_body(id, "", true);
}

void H2Server::answer(int32_t id, std::string_view body) {
    uploads_[id] = Upload{std::string(body), true, {}};
    send_head(id, {{":status", "200"}});
}

void H2Server::reset(int32_t id, uint32_t error_code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error_code);
    flush();
}

void H2Server::goaway(int32_t last_id, uint32_t error_code) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_id, error_code, nullptr, 0);
    flush();
}

void H2Server::set_streams_max(uint32_t streams_max) {
    const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams_max};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
    flush();
}

void H2Server::take(int32_t id, size_t bytes) {
    nghttp2_session_consume(session_, id, bytes);
    flush();
}

void H2Server::flush() {
    const uint8_t* bytes = nullptr;
    for (;;) {
        const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
        if (size <= 0 || stream_ == nullptr) return;
        stream_->write(
            std::string_view(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)));
    }
}

void H2Server::on_data(std::string_view bytes) {
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (used < 0) broken = true;
    flush();
}

}  // namespace candela::http::test
