#pragma once

// What both ends of HTTP/2 that tests play have in common: a session of nghttp2 on a simulated
// stream, bodies and trailers that it sends, windows. It frames correctly, and sends what it is
// told to, be it malformed.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loop/stream.h"

struct nghttp2_session;

namespace candela::http::test {

// Error codes of RFC 9113 §7 that tests look for.
inline constexpr uint32_t kH2NoError = 0;
inline constexpr uint32_t kH2ProtocolError = 1;
inline constexpr uint32_t kH2InternalError = 2;
inline constexpr uint32_t kH2RefusedStream = 7;
inline constexpr uint32_t kH2Cancel = 8;
inline constexpr uint32_t kH2EnhanceYourCalm = 11;

using H2FieldList = std::vector<std::pair<std::string, std::string>>;

class H2Peer : public StreamHandler {
public:
    virtual ~H2Peer();
    H2Peer(const H2Peer&) = delete;
    H2Peer& operator=(const H2Peer&) = delete;

    void send_body(int32_t id, std::string_view bytes, bool is_last = false);
    // Trailers end the body.
    void send_trailers(int32_t id, const H2FieldList& fields);
    void reset(int32_t id, uint32_t error_code);
    // Gives windows back, for one that does not read by itself.
    void take(int32_t id, size_t bytes);
    void close() { stream_.reset(); }
    size_t unsent_body(int32_t id) { return uploads_[id].bytes.size(); }

    bool ended = false;
    bool broken = false;

protected:
    friend struct H2Uploads;
    explicit H2Peer(StreamPtr stream) : stream_(std::move(stream)) {}

    struct Upload {
        std::string bytes;
        bool is_last = false;
        H2FieldList trailers;
    };
    void flush();
    void on_data(std::string_view bytes) override;
    void on_end() override { ended = true; }
    void on_error(const Error&) override { broken = true; }

    StreamPtr stream_;
    nghttp2_session* session_ = nullptr;
    std::map<int32_t, Upload> uploads_;
};

}  // namespace candela::http::test
