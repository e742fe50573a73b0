#include "http/upgrade_call.h"

#include <algorithm>

#include <fmt/format.h>

#include "http/h1_parser.h"

namespace candela::http {

namespace {

class AnswerReader final : public StreamHandler {
public:
    AnswerReader(Stream& stream, std::string who) : stream_(stream), who_(std::move(who)) {
        parser_.expect(false, true);
    }

    Task<Result<UpgradeAnswer>> read() {
        Completion<Result<UpgradeAnswer>>& done = done_;
        auto answer = co_await done;
        co_return answer;
    }

    void on_data(std::string_view bytes) override {
        for (;;) {
            switch (parser_.parse(bytes)) {
                case ParseEvent::kNeedMore: return;
                case ParseEvent::kHead: break;
                case ParseEvent::kBody:
                    answer_.rest.append(parser_.body().substr(
                        0, kUpgradeBodyMax - std::min(kUpgradeBodyMax, answer_.rest.size())));
                    break;
                case ParseEvent::kComplete:
                    if (parser_.is_interim()) break;
                    answer_.status = parser_.head().status;
                    if (parser_.framing().upgrade) answer_.rest = bytes;
                    return finish(std::move(answer_));
                case ParseEvent::kError:
                    return finish(
                        fail(Code::kCorrupt, "{}'s answer: {}", who_, parser_.error().reason));
            }
        }
    }
    void on_end() override { finish(fail(Code::kUnreachable, "{} closed the connection", who_)); }
    void on_error(const Error& error) override { finish(fail(error)); }

private:
    // What comes from now on is for the next handler.
    void finish(Result<UpgradeAnswer> answer) {
        stream_.pause();
        done_.complete(std::move(answer));
    }

    Stream& stream_;
    const std::string who_;
    ResponseParser parser_;
    UpgradeAnswer answer_;
    Completion<Result<UpgradeAnswer>> done_;
};

}  // namespace

Task<Result<UpgradeAnswer>> ask_for_upgrade(Stream& stream, std::string request, Duration timeout,
                                            std::string who) {
    AnswerReader reader(stream, who);
    stream.start(reader);
    stream.write(request);
    auto reading = with_timeout(stream.loop(), timeout, who, reader.read());
    auto answer = co_await std::move(reading);
    stream.pause();
    co_return answer;
}

}  // namespace candela::http
