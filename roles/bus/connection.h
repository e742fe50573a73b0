#pragma once

// One client of the bus: its protocol state, subscriptions and what waits to be sent to it. Owned
// by the Server of its loop. It ends by close(), which takes effect at the end of
// the round, so that nothing that is being looked at goes away.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "account_budget.h"
#include "base/json.h"
#include "base/keyed_hash.h"
#include "bus/protocol.h"
#include "login.h"
#include "loop/loop.h"
#include "monitoring/report.h"
#include "out_buffer.h"
#include "paced_stream.h"
#include "publish_rate.h"
#include "reception.h"
#include "reply_permits.h"
#include "subscription.h"

namespace candela::bus_role {

class Server;

class Connection final : public StreamHandler {
public:
    Connection(Server& server, Guest guest, uint64_t id);
    ~Connection();
    void start();
    // Instead of start(): says why not, and ends.
    void refuse(std::string_view error);

    uint64_t id() const { return id_; }
    const Address& peer() const { return peer_; }
    const Entrance& entrance() const { return *entrance_; }
    const Login* login() const { return login_ ? &*login_ : nullptr; }
    const ConnectOptions& options() const { return options_; }
    // The largest message that this user may send; after the login.
    size_t payload_max() const;
    // Who it is, in nats-server's form: for those whom its account lets know.
    Json describe() const;
    // The same with numbers, without its subscriptions; without the account before the login.
    ConnectionReport report() const;
    const Traffic& traffic() const { return traffic_; }
    const auto& subscriptions() const { return subscriptions_; }
    // Between a PING and its PONG; 0: not measured yet.
    Duration rtt() const { return rtt_; }
    bool is_closing() const { return closing_; }
    const std::string& close_reason() const { return close_reason_; }
    // Why it ends, where nothing was said before.
    void note_end(std::string_view reason) {
        if (close_reason_.empty()) close_reason_ = std::string(reason);
    }

    // Writes one message for a subscription of this connection. `tail` is "[reply ]size\r\n" (with
    // headers: "[reply ]headers size\r\n"), made once for all receivers. False: the connection is
    // closing.
    bool deliver(Subscription& subscription, const Message& message, std::string_view tail,
                 std::string_view tail_without_headers);
    void send(std::string_view text);
    // "-ERR 'text'", and nothing more.
    void send_error(std::string_view text);
    // Ends the connection after this round; an error text is sent first where one is given.
    void close(std::string_view reason, std::string_view error_text = {});
    // The same without an error: what waits is sent, and the client may go on to another bus.
    void send_away(std::string_view reason);
    // The same for one that is too far behind; it is reported.
    void close_slow(std::string_view reason);

    // Sends what this round has gathered; for the Server, at the end of the round.
    void flush();
    // Takes its subscriptions off; nothing reaches it any more.
    void leave_account();
    // After close(): true where the client is given time to read why, and the Server keeps the
    // connection until it says forget().
    bool start_linger();
    // Ends a connection that has taken nothing for too long; the Server asks now and then.
    void check_backlog();
    bool is_dirty = false;  // listed for flush

    // Bytes that wait for the client to take them.
    size_t pending_bytes() const { return out_.size() + in_stream_; }
    // Slows a publisher that outruns this reader: it reads on once the backlog has shrunk, or
    // shortly.
    bool wants_publisher_to_wait(MonoTime now) const;
    void hold_publisher(Connection& publisher);
    // A publisher, of whichever loop, to be told when the backlog has shrunk; false: there are too
    // many already.
    bool add_held(uint64_t publisher);
    bool is_held() const { return is_held_; }
    void pause_reading();
    void resume_reading();
    // It is not read while another loop is behind with what it sent.
    bool is_stalled() const { return is_stalled_; }
    void set_stalled(bool is_stalled);
    uint64_t sent_round = 0;     // when it last had something for other loops; for Links
    unsigned pongs_waiting = 0;  // until they know; for Links

    // Ends the login where it is no longer good (expired, revoked, its account gone).
    void check_login();

    // For the reader.
    bool on_line(const bus::Line& line, std::string_view headers, std::string_view payload);

    struct Route {  // of the subject published last: most publishers repeat themselves
        std::string subject;
        const Matches* matches = nullptr;
        uint64_t generation = 0;
    };
    Route& route() { return route_; }
    ReplyPermits& reply_permits() { return reply_permits_; }
    // Whether the user may publish to it; without regard to answers it was asked for.
    bool may_publish(std::string_view subject) const {
        return permissions_ == nullptr || permissions_->may_publish(subject);
    }

    // Takes a subscription that has had its last message off; for the Server.
    void remove_subscription(Subscription& subscription);

private:
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    void on_read_error(bus::ReadError error);
    void on_connect(std::string_view text);
    void on_publish(const bus::Line& line, std::string_view headers, std::string_view payload);
    void on_sub(const bus::Line& line);
    void on_unsub(const bus::Line& line);
    void on_timer();
    bool has_room_for(size_t size_bytes);
    void note_pending();
    Result<> limit_publishing(const Login& login);
    void send_ok();

    Server& server_;
    const EntrancePtr entrance_;
    StreamPtr stream_;
    http::WebSocketStream* const websocket_;  // the same, where it is one
    const uint64_t id_;
    const Address peer_;
    const std::string nonce_;
    bus::ServerReader reader_;
    std::optional<Login> login_;
    ConnectOptions options_;
    std::unique_ptr<auth::PermissionSet> permissions_;  // null: no restrictions
    ReplyPermits reply_permits_;
    Route route_;
    // By sid, which the client chooses.
    std::unordered_map<std::string, std::unique_ptr<Subscription>, KeyedHash, std::equal_to<>>
        subscriptions_;

    OutBuffer out_;
    BudgetShare budget_share_;
    std::shared_ptr<PublishBudget> publish_budget_;  // null: no limit
    PacedStream* pacer_ = nullptr;                   // the stream, with a limit
    size_t in_stream_ = 0;  // handed to the stream, which could not pass it on yet
    MonoTime progress_at_;  // when the client last took something
    std::vector<uint64_t> held_publishers_;
    bool is_held_ = false;  // we are the publisher that waits
    bool is_stalled_ = false;

    bool closing_ = false;
    bool lingers_ = false;
    bool was_refused_ = false;  // an error was told
    std::string close_reason_;
    unsigned pings_unanswered_ = 0;
    const WallTime started_at_;
    WallTime pinged_at_;
    Duration rtt_{};
    Traffic traffic_;
    MonoTime active_at_;  // when it last sent something, or was sent something
    Timer timer_;         // login first, pings later
    Timer expiry_;        // of the user
    Timer hold_timer_;
};

}  // namespace candela::bus_role
