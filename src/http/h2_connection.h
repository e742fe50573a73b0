#pragma once

// One HTTP/2 client connection of a proxy (RFC 9113): nghttp2 reads and makes the frames, an
// H2Stream each request. What all its streams have to say in one round of the loop leaves in one
// write. Bounded: streams, header blocks, bodies in both directions (by flow control and
// queued_bytes_max), resets, and what a client may leave unread. Owned by the Proxy.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/h2_stream.h"
#include "http/proxy.h"
#include "http/proxy_client.h"
#include "loop/stream.h"
#include "loop/timers.h"

namespace candela::http {

class H2Connection final : public ProxyClient, public StreamHandler {
public:
    // What an HTTP/2 client says first (RFC 9113 §3.4).
    static constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    // `early` was read from the stream before it was known to be HTTP/2.
    H2Connection(Proxy& proxy, StreamPtr stream, std::string early = {});
    ~H2Connection() override;

    void start() override;
    void drain() override;
    void close() override;

private:
    friend class H2Stream;
    friend struct H2Callbacks;

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    void begin_block();
    H2Stream& open_stream(int32_t id);
    void recycle(H2Stream& stream);
    void flush_soon();
    void flush();
    void note_drained(H2Stream& stream);
    // The client broke the protocol in one of its streams once more (CVE-2025-8671's class).
    void note_fault();
    void finish_if_over();
    void wait();
    void on_timer();
    bool is_stuck();
    ClientInfo client_info() const {
        return ClientInfo{peer_ip_, peer_is_trusted_, stream_ != nullptr && stream_->is_encrypted(),
                          true};
    }

    Proxy& proxy_;
    StreamPtr stream_;
    std::string early_;
    H2SessionPtr session_;
    std::vector<std::unique_ptr<H2Stream>> streams_;  // that are open
    std::vector<std::unique_ptr<H2Stream>> free_;
    std::vector<H2Stream*> drained_;  // to be told, once no frame is being made
    std::string peer_ip_;
    Timer timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    MonoTime last_request_at_{};
    MonoTime block_since_{};  // a header block that is not complete
    MonoTime full_since_{};   // the client takes nothing
    uint64_t written_bytes_ = 0;
    uint64_t taken_bytes_seen_ = 0;
    double faults_ = 0;
    MonoTime faults_at_{};
    bool peer_is_trusted_ = false;
    bool flush_scheduled_ = false;
    bool in_block_ = false;
    bool draining_ = false;      // told to go: a last GOAWAY follows the first
    bool is_last_told_ = false;  // it has
    bool paused_ = false;
    bool lingers_ = false;  // all said
    bool closed_ = false;
};

}  // namespace candela::http
