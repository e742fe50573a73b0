// A request whose connection becomes a stream into an instance (Upgrade: candela-stream).

#include <nlohmann/json.hpp>

#include "ctl/api.h"
#include "http/upgrade_call.h"
#include "loop/flow.h"
#include "tls/stream.h"

namespace candela::ctl {

namespace {

constexpr Duration kConnectTimeout = 10s;
// The lighthouse connects to the host meanwhile.
constexpr Duration kAnswerTimeout = 30s;

}  // namespace

Task<Result<JoinedStream>> Api::join(std::string path) {
    CO_TRY(co_await ensure_token());
    auto request = make_request("POST", path);
    if (!request) co_return fail(request.error());
    auto connecting = connect(loop_, request->address, kConnectTimeout);
    auto stream = co_await std::move(connecting);
    if (!stream) co_return fail(explain(stream.error()));
    if (request->tls) {
        auto wrapping = tls::wrap_client(std::move(*stream), request->tls, request->address.host,
                                         kConnectTimeout);
        auto wrapped = co_await std::move(wrapping);
        if (!wrapped) co_return fail(explain(wrapped.error()));
        stream = std::move(*wrapped);
    }
    http::Headers& headers = request->headers;
    const bool is_tcp = request->address.kind == Address::Kind::kTcp;
    headers.add("Host", is_tcp ? request->address.to_string() : "localhost");
    headers.add("Connection", "Upgrade");
    headers.add("Upgrade", "candela-stream");
    std::string head = fmt::format("POST {} HTTP/1.1\r\n", request->target);
    for (const auto& field : headers) head += fmt::format("{}: {}\r\n", field.name, field.value);
    head += "\r\n";

    auto asking =
        http::ask_for_upgrade(**stream, std::move(head), kAnswerTimeout, "the lighthouse");
    auto answer = co_await std::move(asking);
    if (!answer) co_return fail(answer.error());
    if (answer->status != 101) co_return fail(error_of(answer->status, answer->rest));
    JoinedStream joined;
    joined.stream = std::move(*stream);
    joined.first_bytes = std::move(answer->rest);
    co_return joined;
}

}  // namespace candela::ctl
