#pragma once

// One HTTP/2 connection to an endpoint: nghttp2's client half. Exchanges share it, each with an
// H2Call. Bounded against its peer as H2Connection is against clients: streams, heads, settings,
// bodies by flow control; pushes end it. Owned by its H2Upstream; when it is over it tells it, and
// is called no more.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "http/h2_call.h"
#include "http/h2_upstream.h"
#include "loop/stream.h"
#include "loop/timers.h"

namespace candela::http {

class H2UpstreamSession final : public StreamHandler {
public:
    H2UpstreamSession(H2Upstream& owner, StreamPtr stream);
    ~H2UpstreamSession();

    void start();
    // It has not said its SETTINGS yet.
    bool is_opening() const { return !is_open_ && !is_closing(); }
    // It takes no new calls any more.
    bool is_closing() const { return closed_ || draining_; }
    bool has_room() const;
    H2Call& open_call();
    // Ends when its last call does. Not while it is opening: somebody waits for it.
    void drain();
    // Ends at once and tells nobody; there are no calls.
    void shut();

    H2UpstreamSession(const H2UpstreamSession&) = delete;
    H2UpstreamSession& operator=(const H2UpstreamSession&) = delete;

private:
    friend class H2Call;
    friend struct H2UpstreamCallbacks;

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    // For calls. The first frees it where its stream is closed, too.
    void let_go(H2Call& call);
    void flush_soon();
    // What the last call's client gathered is flushed before another's may gather.
    void turn_to(H2Call* call);
    void note_drained(H2Call& call);
    // An exchange has waited in vain: a peer that says nothing at all is not asked for more.
    void note_timeout();
    MonoTime now() const { return loop_.now(); }

    void recycle(H2Call& call);
    // After a step in which nghttp2 has called us. False: it was the last.
    bool leave_session();
    void flush();
    void finish_if_over();
    // Goes when what the session had to say is out.
    void end();
    void close();
    void be_gone();
    // All that it has fails, and so do those who wait for it; then it ends, or is gone.
    void fail(Code code, std::string_view what, bool has_last_words = false);
    void on_timer();
    void wait();

    Loop& loop_;
    H2Upstream* owner_;
    StreamPtr stream_;
    H2SessionPtr session_;
    std::vector<std::unique_ptr<H2Call>> calls_;
    std::vector<std::unique_ptr<H2Call>> free_;
    std::vector<H2Call*> drained_;  // to be told, once no frame is being made
    H2Call* gathered_ = nullptr;
    std::optional<Timer> timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    MonoTime heard_at_{};
    MonoTime idle_since_{};
    MonoTime pinged_at_{};
    uint64_t written_bytes_ = 0;
    bool is_open_ = false;
    bool has_new_settings_ = false;
    bool is_in_session_ = false;  // nghttp2 is at work, and may call us
    bool has_pinged_ = false;     // and waits for the answer
    bool draining_ = false;
    bool flush_scheduled_ = false;
    bool ended_ = false;  // all said
    bool closed_ = false;
    bool was_used_ = false;
};

}  // namespace candela::http
