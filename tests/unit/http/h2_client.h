#pragma once

// An HTTP/2 client for tests: nghttp2's client half on a simulated stream. It frames correctly, and
// sends what it is told to, be it malformed.

#include <cstdint>
#include <map>
#include <memory>
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

struct H2Answer {
    std::vector<int> interim;
    int status = 0;
    std::map<std::string, std::string> fields;
    std::map<std::string, std::string> trailers;
    std::string body;
    bool is_complete = false;
    bool is_closed = false;
    uint32_t error_code = 0;
};

using H2FieldList = std::vector<std::pair<std::string, std::string>>;

class H2Client final : public StreamHandler {
public:
    // One that does not read by itself gives windows back by take() only.
    explicit H2Client(StreamPtr stream, bool reads_by_itself = true);
    ~H2Client();

    static H2FieldList get(std::string path = "/", std::string authority = "hello.example");

    // A request without a body, or with one that comes by send_body(). Both return its stream.
    int32_t request(const H2FieldList& fields) { return submit(fields, false); }
    int32_t request_with_body(const H2FieldList& fields) { return submit(fields, true); }
    void send_body(int32_t id, std::string_view bytes, bool is_last);
    // Trailers end the body.
    void send_trailers(int32_t id, const H2FieldList& fields);
    void reset(int32_t id);
    void take(int32_t id, size_t bytes);
    void close() { stream_.reset(); }
    size_t unsent_body(int32_t id) { return uploads_[id].bytes.size(); }

    std::map<int32_t, H2Answer> answers;
    std::vector<std::pair<uint32_t, int32_t>> goaways;  // error code, last stream
    bool ended = false;
    bool broken = false;

private:
    friend struct H2ClientCallbacks;
    struct Upload {
        std::string bytes;
        bool is_last = false;
        H2FieldList trailers;
    };

    int32_t submit(const H2FieldList& fields, bool has_body);
    void flush();
    void on_data(std::string_view bytes) override;
    void on_end() override { ended = true; }
    void on_error(const Error&) override { broken = true; }

    StreamPtr stream_;
    nghttp2_session* session_ = nullptr;
    std::map<int32_t, Upload> uploads_;
    std::map<int32_t, int> statuses_;  // of heads that are not complete
};

}  // namespace candela::http::test
