#include "h2_client.h"

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
    static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* out, size_t size,
                             uint32_t* flags, nghttp2_data_source*, void* user) {
        H2Client::Upload& upload = of(user).uploads_[id];
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

H2Client::H2Client(StreamPtr stream, bool reads_by_itself) : stream_(std::move(stream)) {
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

H2Client::~H2Client() { nghttp2_session_del(session_); }

H2FieldList H2Client::get(std::string path, std::string authority) {
    return {{":method", "GET"},
            {":scheme", "http"},
            {":authority", std::move(authority)},
            {":path", std::move(path)}};
}

int32_t H2Client::submit(const H2FieldList& fields, bool has_body) {
    const std::vector<nghttp2_nv> list = name_values(fields);
    nghttp2_data_provider body{};
    body.read_callback = H2ClientCallbacks::read_body;
    const int32_t id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                              has_body ? &body : nullptr, nullptr);
    flush();
    return id;
}

void H2Client::send_body(int32_t id, std::string_view bytes, bool is_last) {
    Upload& upload = uploads_[id];
    upload.bytes += bytes;
    upload.is_last = is_last;
    nghttp2_session_resume_data(session_, id);
    flush();
}

void H2Client::send_trailers(int32_t id, const H2FieldList& fields) {
    uploads_[id].trailers = fields;
    send_body(id, "", true);
}

void H2Client::reset(int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    flush();
}

void H2Client::take(int32_t id, size_t bytes) {
    nghttp2_session_consume(session_, id, bytes);
    flush();
}

void H2Client::flush() {
    const uint8_t* bytes = nullptr;
    for (;;) {
        const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
        if (size <= 0 || stream_ == nullptr) return;
        stream_->write(
            std::string_view(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)));
    }
}

void H2Client::on_data(std::string_view bytes) {
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (used < 0) broken = true;
    flush();
}

}  // namespace candela::http::test
