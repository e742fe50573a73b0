#pragma once

// The lighthouse's REST API as flows. Over TLS it logs in by itself at the first request:
// challenge, signature, short-lived token (src/auth/session.h). Lives on ctl's one loop.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/creds_file.h"
#include "base/json.h"
#include "base/result.h"
#include "ctl/target.h"
#include "http/client.h"
#include "loop/loop.h"

namespace candela::ctl {

// A connection that has become a stream, and what came of that with the answer's head.
struct JoinedStream {
    StreamPtr stream;
    std::string first_bytes;
};

class Api {
public:
    static constexpr size_t kAnswerBytesMax = 64 << 20;
    static constexpr Duration kReadIdleTimeout =
        5min;  // a database is copied before a backup begins

    Api(Loop& loop, Target target) : loop_(loop), target_(std::move(target)), client_(loop) {}

    const Target& target() const { return target_; }
    // The credential of --creds; null on the unix socket without one.
    Result<const auth::Credentials*> credentials();

    // Paths begin with "/v1/". An error of the API has its code, and its hint as a second line.
    Task<Result<Json>> get(std::string path);
    Task<Result<Json>> post(std::string path, Json body);
    // `if_match`: the revision that the change is for; empty: any.
    Task<Result<Json>> put(std::string path, Json body, std::string if_match = "");
    Task<Result<Json>> remove(std::string path);
    // Whether the lighthouse has the bundle.
    Task<Result<bool>> has_bundle(std::string digest);
    // Sends the file; `on_progress` is told the bytes sent.
    Task<Result<>> put_bundle(std::string digest, std::string file, std::string signature,
                              std::string signer, std::function<void(uint64_t)> on_progress);

    // A body without an end, line by line: NDJSON and SSE. `on_line` returns false to stop.
    using OnLine = std::function<bool(std::string_view line)>;
    Task<Result<>> follow(std::string path, OnLine on_line);

    // POSTs, and gets a stream where that is granted (api_join.cc). It is to be started.
    Task<Result<JoinedStream>> join(std::string path);

    // The whole body, piece by piece; kIo where it is cut off.
    using OnBytes = std::function<Result<>(std::string_view bytes)>;
    Task<Result<>> read(std::string path, OnBytes on_bytes);

private:
    Task<Result<http::ClientResponse>> open(std::string path, Duration idle_timeout);
    Result<http::ClientRequest> make_request(std::string_view method, std::string target);
    Task<Result<>> ensure_token();
    // Sends, and turns an answer of 400 and above into an error.
    Task<Result<http::ClientResponse>> send(http::ClientRequest request);
    Task<Result<Json>> call(std::string method, std::string path, std::optional<Json> body,
                            std::string if_match = "");
    // The same, without logging in first.
    Task<Result<Json>> call_plain(std::string path, Json body);
    Error explain(const Error& error) const;

    Loop& loop_;
    const Target target_;
    http::Client client_;
    std::shared_ptr<tls::ClientContext> tls_;
    std::optional<auth::Credentials> credentials_;
    std::string token_;
    MonoTime token_at_{};
};

// {"error": {"code", "message", "hint"}} (docs/architecture.md, "API").
Error error_of(int status, const std::string& body);

// A name as part of a path.
std::string path_part(std::string_view name);

}  // namespace candela::ctl
