#include "h2_peer_impl.h"

#include <algorithm>

namespace candela::http::test {

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

H2Peer::~H2Peer() { nghttp2_session_del(session_); }

nghttp2_data_provider H2Uploads::source() {
    nghttp2_data_provider source{};
    source.read_callback = [](nghttp2_session* session, int32_t id, uint8_t* out, size_t size,
                              uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
        H2Peer::Upload& upload = static_cast<H2Peer*>(user)->uploads_[id];
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
    };
    return source;
}

void H2Peer::send_body(int32_t id, std::string_view bytes, bool is_last) {
    Upload& upload = uploads_[id];
    upload.bytes += bytes;
    upload.is_last = is_last;
    nghttp2_session_resume_data(session_, id);
    flush();
}

void H2Peer::send_trailers(int32_t id, const H2FieldList& fields) {
    uploads_[id].trailers = fields;
    send_body(id, "", true);
}

void H2Peer::reset(int32_t id, uint32_t error_code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error_code);
    flush();
}

void H2Peer::take(int32_t id, size_t bytes) {
    nghttp2_session_consume(session_, id, bytes);
    flush();
}

void H2Peer::flush() {
    const uint8_t* bytes = nullptr;
    for (;;) {
        const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
        if (size <= 0 || stream_ == nullptr) return;
        stream_->write(
            std::string_view(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)));
    }
}

void H2Peer::on_data(std::string_view bytes) {
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (used < 0) broken = true;
    flush();
}

}  // namespace candela::http::test
