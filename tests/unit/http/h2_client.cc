#include "h2_client.h"

#include "h2_peer_impl.h"

namespace candela::http::test {

struct H2ClientCallbacks {
    static H2Client& of(void* user) { return *static_cast<H2Client*>(user); }

    static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                         size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                         void* user) {
        H2Answer& answer = of(user).answers[frame->hd.stream_id];
        const std::string key(reinterpret_cast<const char*>(name), name_size);
        const std::string text(reinterpret_cast<const char*>(value), value_size);
        if (answer.status != 0) {
            answer.trailers[key] = text;
        } else if (key != ":status") {
            answer.fields[key] = text;
        } else if (text.starts_with('1')) {
            answer.interim.push_back(std::stoi(text));
        } else {
            of(user).statuses_[frame->hd.stream_id] = std::stoi(text);
        }
        return 0;
    }
    static int on_chunk(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                        void* user) {
        of(user).answers[id].body.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
    }
    static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        if (frame->hd.type == NGHTTP2_GOAWAY) {
            of(user).goaways.emplace_back(frame->goaway.error_code, frame->goaway.last_stream_id);
        }
        // Known once all of its head is: what comes after is trailers.
        if (frame->hd.type == NGHTTP2_HEADERS) {
            H2Answer& answer = of(user).answers[frame->hd.stream_id];
            if (answer.status == 0) answer.status = of(user).statuses_[frame->hd.stream_id];
        }
        const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        const bool is_message = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
        if (is_message && is_last) of(user).answers[frame->hd.stream_id].is_complete = true;
        return 0;
    }
    static int on_close(nghttp2_session*, int32_t id, uint32_t code, void* user) {
        of(user).answers[id].is_closed = true;
        of(user).answers[id].error_code = code;
        return 0;
    }
};

H2Client::H2Client(StreamPtr stream, bool reads_by_itself) : H2Peer(std::move(stream)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, H2ClientCallbacks::on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              H2ClientCallbacks::on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, H2ClientCallbacks::on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, H2ClientCallbacks::on_close);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, reads_by_itself ? 0 : 1);
    // So that a test can send what is malformed.
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_client_new2(&session_, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
    stream_->start(*this);
    flush();
}

H2FieldList H2Client::get(std::string path, std::string authority) {
    return {{":method", "GET"},
            {":scheme", "http"},
            {":authority", std::move(authority)},
            {":path", std::move(path)}};
}

H2FieldList H2Client::grpc(std::string path) {
    H2FieldList fields = get(std::move(path));
    fields[0].second = "POST";
    fields.emplace_back("content-type", "application/grpc");
    fields.emplace_back("te", "trailers");
    return fields;
}

int32_t H2Client::submit(const H2FieldList& fields, bool has_body) {
    const std::vector<nghttp2_nv> list = name_values(fields);
    const nghttp2_data_provider body = H2Uploads::source();
    const int32_t id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                              has_body ? &body : nullptr, nullptr);
    flush();
    return id;
}

}  // namespace candela::http::test
