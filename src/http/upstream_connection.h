#pragma once

// One HTTP/1.1 connection to an endpoint: in its pool, or lent to one exchange as its responder.

#include <memory>
#include <string>
#include <string_view>

#include "http/cork.h"
#include "http/h1_parser.h"
#include "http/responder.h"
#include "loop/clock.h"
#include "loop/stream.h"

namespace candela::http {

class Endpoint;

class UpstreamConnection final : public Responder, public StreamHandler {
public:
    // The cork is the proxy's, shared by all that go upstream. The announcement is sent first: a
    // PROXY header, or nothing.
    UpstreamConnection(Endpoint& endpoint, StreamPtr stream, const ParserLimits& limits, Cork& cork,
                       std::string announcement = {});
    ~UpstreamConnection();
    // To one exchange; it comes back by give_back().
    static ResponderPtr lend(std::unique_ptr<UpstreamConnection> connection) {
        return ResponderPtr(connection.release());
    }

    void begin(Exchange& exchange, const ResponderRequest& request) override;
    void send_body(std::string_view bytes) override;
    void send_end(const Headers& trailers) override;
    size_t flush() override { return cork_.flush(*stream_); }
    void discard() override { cork_.clear(); }
    size_t queued_bytes() const override { return stream_->queued_bytes(); }
    void pause() override;
    void resume() override;
    bool was_used() const override { return was_used_; }
    bool is_multiplexed() const override { return false; }
    void relay(std::string_view bytes) override { stream_->write(bytes); }
    void end_relay() override { stream_->end(); }
    void give_back(Outcome outcome) override;

private:
    friend class Endpoint;
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;
    void read_answer(std::string_view bytes);
    std::string_view describe_failure(std::string_view bytes) const;
    Duration idle_max() const;

    Endpoint& endpoint_;
    StreamPtr stream_;
    ResponseParser parser_;
    Cork& cork_;
    std::string announcement_;  // goes before the first request
    Exchange* user_ = nullptr;  // null: pooled
    MonoTime idle_since_{};
    Duration idle_max_{};      // this endpoint closes earlier than the pool would
    bool was_used_ = false;    // carried an exchange before this one
    bool is_chunked_ = false;  // the request
    bool is_relay_ = false;
    bool is_paused_ = false;
};
using UpstreamConnectionPtr = std::unique_ptr<UpstreamConnection>;

}  // namespace candela::http
