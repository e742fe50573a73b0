#pragma once

// An HTTP/2 client for tests: nghttp2's client half.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "h2_peer.h"

namespace candela::http::test {

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

class H2Client final : public H2Peer {
public:
    // One that does not read by itself gives windows back by take() only.
    explicit H2Client(StreamPtr stream, bool reads_by_itself = true);

    static H2FieldList get(std::string path = "/", std::string authority = "hello.example");
    // As a gRPC client asks.
    static H2FieldList grpc(std::string path = "/pkg.Service/Method");

    // A request without a body, or with one that comes by send_body(). Both return its stream.
    int32_t request(const H2FieldList& fields) { return submit(fields, false); }
    int32_t request_with_body(const H2FieldList& fields) { return submit(fields, true); }
    using H2Peer::reset;
    void reset(int32_t id) { reset(id, kH2Cancel); }

    std::map<int32_t, H2Answer> answers;
    std::vector<std::pair<uint32_t, int32_t>> goaways;  // error code, last stream

private:
    friend struct H2ClientCallbacks;
    int32_t submit(const H2FieldList& fields, bool has_body);

    std::map<int32_t, int> statuses_;  // of heads that are not complete
};

}  // namespace candela::http::test
