// A request whose connection becomes a stream into an instance (Upgrade: candela-stream).

#include <nlohmann/json.hpp>

#include "ctl/api.h"
#include "http/h1_parser.h"
#include "loop/flow.h"
#include "tls/stream.h"

namespace candela::ctl {

namespace {

constexpr Duration kConnectTimeout = 10s;
// The lighthouse connects to the host meanwhile.
constexpr Duration kAnswerTimeout = 30s;
constexpr size_t kErrorBytesMax = 64 << 10;

// The answer's head, and what came behind it: of the stream where it was 101, otherwise its body.
struct Answer {
    int status = 0;
    std::string rest;
};

class AnswerReader final : public StreamHandler {
public:
    AnswerReader() { parser_.expect(false, true); }
    Completion<Result<Answer>>& done() { return done_; }

    void on_data(std::string_view bytes) override {
        for (;;) {
            switch (parser_.parse(bytes)) {
                case http::ParseEvent::kNeedMore: return;
                case http::ParseEvent::kHead: break;
                case http::ParseEvent::kBody:
                    answer_.rest.append(parser_.body().substr(
                        0, kErrorBytesMax - std::min(kErrorBytesMax, answer_.rest.size())));
                    break;
                case http::ParseEvent::kComplete:
                    if (parser_.is_interim()) break;
                    answer_.status = parser_.head().status;
                    if (parser_.framing().upgrade) answer_.rest = bytes;
                    return done_.complete(std::move(answer_));
                case http::ParseEvent::kError:
                    return done_.complete(fail(Code::kCorrupt, "the lighthouse's answer: {}",
                                               parser_.error().reason));
            }
        }
    }
    void on_end() override {
        done_.complete(fail(Code::kUnreachable, "the lighthouse closed the connection"));
    }
    void on_error(const Error& error) override { done_.complete(fail(error)); }

private:
    http::ResponseParser parser_;
    Answer answer_;
    Completion<Result<Answer>> done_;
};

Task<Result<Answer>> read_answer(AnswerReader& reader) {
    Completion<Result<Answer>>& done = reader.done();
    auto answer = co_await done;
    co_return answer;
}

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

    AnswerReader reader;
    (*stream)->start(reader);
    (*stream)->write(head);
    auto reading = with_timeout(loop_, kAnswerTimeout, "the lighthouse", read_answer(reader));
    auto answer = co_await std::move(reading);
    if (!answer) co_return fail(answer.error());
    if (answer->status != 101) co_return fail(error_of(answer->status, answer->rest));
    (*stream)->pause();
    JoinedStream joined;
    joined.stream = std::move(*stream);
    joined.first_bytes = std::move(answer->rest);
    co_return joined;
}

}  // namespace candela::ctl
