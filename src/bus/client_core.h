#pragma once

// What is behind a Client: the connection and what outlives a reconnect. Shared between the client,
// its subscriptions (weakly) and its running flows, so that each may end in any order. Internal to
// src/bus.

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bus/client.h"
#include "bus/protocol.h"
#include "loop/flow.h"

namespace candela::bus {

class ClientCore final : public StreamHandler, public std::enable_shared_from_this<ClientCore> {
public:
    ClientCore(Loop& loop, ClientOptions options, Logger log);
    ~ClientCore();
    void start();
    void close();

    Result<> publish(std::string_view subject, std::string_view payload,
                     const PublishOptions& options);
    Result<uint64_t> subscribe(std::string_view subject, std::string_view queue,
                               Client::Handler handler);
    void unsubscribe(uint64_t sid);
    void unsubscribe_after(uint64_t sid, uint64_t messages);
    bool has_subscription(uint64_t sid) const { return entries_.contains(sid); }
    // Tells the server of the end of all subscriptions; what is on its way is still handled.
    void unsubscribe_all();
    std::string new_inbox();

    // A request that waits; it registers itself and takes itself off.
    class Waiting {
    public:
        explicit Waiting(std::shared_ptr<ClientCore> core);
        ~Waiting();
        Completion<Result<OwnedMessage>> done;
        std::string reply;

    private:
        std::shared_ptr<ClientCore> core_;
        std::string token_;
    };
    // One who waits for a PONG.
    class FlushWaiting {
    public:
        explicit FlushWaiting(std::shared_ptr<ClientCore> core);
        ~FlushWaiting();
        Completion<Result<>> done;

    private:
        std::shared_ptr<ClientCore> core_;
    };

    Loop& loop() { return loop_; }
    ClientState state() const { return state_; }
    void on_state(std::function<void(ClientState)> callback) { on_state_ = std::move(callback); }
    const std::string& last_error() const { return last_error_; }
    size_t pending_bytes() const;
    size_t payload_max() const { return payload_max_; }

    // For the reader.
    bool on_line(const Line& line, std::string_view headers, std::string_view payload);

private:
    struct Entry {
        std::string subject;
        std::string queue;
        Client::Handler handler;
        uint64_t max = 0;  // 0: no end
        uint64_t delivered = 0;
    };

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;

    void connect_next();
    void on_connected(Result<StreamPtr> stream);
    void begin_tls();
    Task<void> shake_hands();
    void on_info(std::string_view text);
    void on_pong();
    void on_server_error(std::string_view text);
    void log_in();
    void become_connected();
    void lost(const Error& error);
    void fail_flushes(const Error& error);
    void set_state(ClientState state);
    void on_ping_timer();
    void dispatch(const Line& line, std::string_view headers, std::string_view payload);
    void on_reply(const MessageView& message);
    Result<> start_inbox();

    void append_sub(uint64_t sid, const Entry& entry);
    void send_ping(FlushWaiting* waiting);
    void schedule_flush();
    void flush_out();

    Loop& loop_;
    ClientOptions options_;
    Logger log_;
    ClientState state_ = ClientState::kConnecting;
    std::function<void(ClientState)> on_state_;
    std::string last_error_;

    std::unique_ptr<ConnectAttempt> attempt_;
    StreamPtr stream_;  // null while a TLS handshake has it
    std::string server_host_;
    TaskGroup handshake_;
    std::string nonce_;  // of INFO
    bool has_headers_ = false;
    ClientReader reader_;
    std::optional<Error> broken_;  // found while reading: acted upon once the reader has returned
    size_t next_server_ = 0;
    unsigned failures_ = 0;  // since the last time that a connection worked
    bool got_info_ = false;
    bool flush_scheduled_ = false;
    size_t payload_max_ = kDefaultPayloadMax;
    Timer connect_timer_;  // a connection that does not come up, or the pause before the next
    Timer ping_timer_;
    unsigned pings_unanswered_ = 0;

    std::string out_;                     // for this connection, to be written this round
    std::string offline_;                 // published while there was none
    std::deque<FlushWaiting*> pongs_;     // who waits for which PONG; null: nobody
    std::vector<FlushWaiting*> flushes_;  // who waits for a connection first

    std::unordered_map<uint64_t, std::shared_ptr<Entry>> entries_;
    uint64_t next_sid_ = 1;
    std::string inbox_prefix_;  // chosen at the first login
    std::string inbox_;         // "<prefix>.<id>."; empty until the first request
    uint64_t inbox_sid_ = 0;
    uint64_t next_token_ = 1;
    std::unordered_map<std::string, Waiting*> waiting_;
};

}  // namespace candela::bus
