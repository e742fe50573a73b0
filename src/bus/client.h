#pragma once

// A NATS client on one loop: to the bus role in this process, to another node, or to a real
// nats-server, with the same meaning. It connects at once and reconnects for ever, with growing,
// jittered pauses, and subscribes anew each time. Owned by whoever uses it; touched on its loop's
// thread only. Destroying it closes the connection at once; requests still waiting end with
// kCancelled.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/creds_file.h"
#include "base/log.h"
#include "base/result.h"
#include "bus/client_tls.h"
#include "bus/message.h"
#include "loop/loop.h"
#include "loop/task.h"

namespace candela::bus {

class ClientCore;

// What a client logs in with. A provider is asked anew at each connect, so that renewed credentials
// are used without further ado.
using CredentialsProvider = std::function<Result<auth::Credentials>()>;

struct ClientOptions {
    std::vector<Address> servers;     // tried in turn
    CredentialsProvider credentials;  // empty: none, for servers that ask for none
    ClientTls tls;
    std::string name;  // shown in the server's lists
    // Replies come to "<prefix>.<id>"; default: "_INBOX.<own public key>", which is what
    // credentials made by candela may subscribe to, or "_INBOX" without credentials.
    std::string inbox_prefix;
    size_t pending_bytes_max = 8 * 1024 * 1024;  // published and not yet taken by the kernel
    Duration connect_timeout = 5s;               // TCP, INFO, CONNECT and the first PONG together
    Duration reconnect_delay_min = 50ms;
    Duration reconnect_delay_max = 5s;
    Duration ping_interval = 20s;  // two unanswered: the connection is given up
};

// Reads a .creds file at each connect.
CredentialsProvider credentials_from_file(std::string path);

enum class ClientState { kConnecting, kConnected, kClosed };

// Unsubscribes in its destructor. It may outlive the client, and may be destroyed in its own
// handler.
class Subscription {
public:
    Subscription() = default;
    Subscription(std::weak_ptr<ClientCore> core, uint64_t sid)
        : core_(std::move(core)), sid_(sid) {}
    Subscription(Subscription&& other) noexcept
        : core_(std::move(other.core_)), sid_(std::exchange(other.sid_, 0)) {}
    Subscription& operator=(Subscription&& other) noexcept {
        if (this == &other) return *this;
        unsubscribe();
        core_ = std::move(other.core_);
        sid_ = std::exchange(other.sid_, 0);
        return *this;
    }
    ~Subscription() { unsubscribe(); }
    void unsubscribe();
    // The server ends the subscription after this many messages in all.
    void unsubscribe_after(uint64_t messages);
    bool is_active() const;

private:
    std::weak_ptr<ClientCore> core_;
    uint64_t sid_ = 0;
};

struct PublishOptions {
    std::string_view reply;
    std::string_view headers;  // a whole block, HeaderBuilder::text()
};

class Client final {
public:
    using Handler = std::move_only_function<void(const MessageView&)>;

    Client(Loop& loop, ClientOptions options, Logger log);
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    // Takes a copy; what is published while not connected is sent after the next connect. kInvalid:
    // not a subject to publish to, or more than the server's max_payload. kExhausted:
    // pending_bytes_max is met, nothing was taken.
    Result<> publish(std::string_view subject, std::string_view payload,
                     const PublishOptions& options = {});

    // The handler runs for each message, never from within subscribe(). Members of one queue share
    // the messages. kInvalid: not a subject.
    [[nodiscard]] Result<Subscription> subscribe(std::string_view subject, Handler handler,
                                                 std::string_view queue = {});

    // One answer: kUnreachable at once where nobody listens, kTimeout after the time given.
    Task<Result<OwnedMessage>> request(std::string subject, std::string payload, Duration timeout,
                                       std::string headers = {});

    // Returns once the server has processed all that was published before.
    Task<Result<>> flush(Duration timeout);
    // Unsubscribes everything, flushes and closes; kTimeout where that took too long, closed all
    // the same.
    Task<Result<>> drain(Duration timeout);

    ClientState state() const;
    bool is_connected() const { return state() == ClientState::kConnected; }
    // Called after each change of state, on the loop. Connected means logged in and subscribed
    // anew.
    void on_state(std::function<void(ClientState)> callback);
    // The server refused something, or the connection broke: for logs and status lines. Empty: all
    // is well.
    const std::string& last_error() const;

    // A subject nobody else uses, below the inbox prefix: what a peer is told to answer to.
    std::string new_inbox();
    size_t pending_bytes() const;
    size_t payload_max() const;  // of the server connected last; 1 MiB before
    Loop& loop();

private:
    std::shared_ptr<ClientCore> core_;
};

}  // namespace candela::bus
