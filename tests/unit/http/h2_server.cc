#include "h2_server.h"

#include "h2_peer_impl.h"

namespace candela::http::test {

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
};

H2Server::H2Server(StreamPtr stream, const H2ServerOptions& options) : H2Peer(std::move(stream)) {
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

void H2Server::send_head(int32_t id, const H2FieldList& fields, bool is_last) {
    const auto list = name_values(fields);
    const bool is_interim = !fields.empty() && fields[0].second.starts_with('1');
    if (is_interim) {
        nghttp2_submit_headers(session_, is_last ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, id,
                               nullptr, list.data(), list.size(), nullptr);
    } else {
        const nghttp2_data_provider body = H2Uploads::source();
        nghttp2_submit_response(session_, id, list.data(), list.size(), is_last ? nullptr : &body);
    }
    flush();
}

void H2Server::answer(int32_t id, std::string_view body) {
    uploads_[id] = Upload{std::string(body), true, {}};
    send_head(id, {{":status", "200"}});
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

}  // namespace candela::http::test
