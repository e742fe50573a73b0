#pragma once

// The bus on one loop: listeners, connections, and the routing of messages between the connections
// of an account. Where there are several loops, each has its own, and they send each other what
// their connections want (links.h); accounts come and go on the control loop's, where also services
// are, and the others follow. Work of one round (what all sockets had to read) is gathered:
// messages are appended to the receivers' buffers, and each receiver is written to once, before the
// loop waits again.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "accounts.h"
#include "auth/key_pair.h"
#include "base/keyed_hash.h"
#include "base/log.h"
#include "block_pool.h"
#include "connection.h"
#include "imports.h"
#include "lame_duck.h"
#include "links.h"
#include "loop/loop.h"
#include "monitoring/events.h"
#include "publish_rate.h"
#include "reception.h"
#include "tally.h"

namespace candela::bus_role {

struct ServerOptions {
    std::string name;  // the node's
    size_t payload_max = 1024 * 1024;
    size_t pending_bytes_max = 64 * 1024 * 1024;  // of one connection; beyond it is closed
    // Of all connections of an account; beyond it those furthest behind are closed.
    size_t account_pending_bytes_max = 256 * 1024 * 1024;
    size_t connections_max = 65536;
    size_t subscriptions_max = 1024 * 1024;  // of one connection
    Duration auth_timeout = 2s;
    Duration ping_interval = 2min;
    unsigned pings_unanswered_max = 2;
    Duration write_deadline = 10s;  // a backlog that does not shrink for so long: closed
    PublishRate publish_rate;       // of users for whom nothing else is said
    std::shared_ptr<PublishBudgets> publish_budgets = std::make_shared<PublishBudgets>();
};

// For the node's metrics; only counted up, but for the connections that are open.
struct ServerCounters {
    Tally messages_in;
    Tally messages_out;
    Tally bytes_in;
    Tally bytes_out;
    Tally connections_open;
    Tally connections_total;
    Tally logins_refused;
    Tally slow_consumers;
};

class UserInfo;

class Server {
public:
    // `mesh` where there are several loops: the server takes the seat `index`, that of `loop`.
    Server(Loop& loop, ServerOptions options, Accounts accounts, Logger log,
           std::shared_ptr<Mesh> mesh = nullptr, size_t index = 0);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    Result<> listen(const Address& address, EntrancePtr entrance = plain_entrance(),
                    const ListenOptions& options = {});
    void stop_listening() { doors_.clear(); }
    // How those who come from now on are let in by the listener at `index` (as of addresses()).
    void set_entrance(size_t index, EntrancePtr entrance) {
        if (index < doors_.size()) *doors_[index].entrance = std::move(entrance);
    }
    // The addresses in fact listened on.
    std::vector<Address> addresses() const;

    Loop& loop() { return loop_; }
    const ServerOptions& options() const { return options_; }
    void set_options(ServerOptions options) { options_ = std::move(options); }
    Accounts& accounts() { return accounts_; }
    const Logger& log() const { return log_; }
    const std::string& id() const { return id_; }
    // For tables whose keys clients choose.
    const KeyedHash& hash() const { return hash_; }
    BlockPool& blocks() { return blocks_; }
    ServerCounters& counters() { return counters_; }
    size_t connection_count() const { return connections_.size(); }  // of this loop
    Links* links() { return links_.get(); }                          // null: there is one loop only
    const auto& connections() const { return connections_; }
    size_t index() const { return links_ == nullptr ? 0 : links_->index(); }  // of its loop
    Events& events() { return events_; }
    // Counted up in each message about the server.
    uint64_t next_event_number() { return ++event_number_; }
    Connection* find_connection(uint64_t id);

    // INFO for one connection, with its line end.
    std::string info_line(const Connection& connection, std::string_view nonce, const Address& peer,
                          size_t payload_max, bool is_lame_duck = false) const;

    // Routes one message within an account. `from` is null for the server's own. False: `from` may
    // not, and has been told.
    bool publish(Account& account, Connection* from, const Message& message);
    // The same for a client of an account with mappings: the message goes where they say.
    bool publish_mapped(Account& account, Connection& from, Message message);
    // The server's own message, for whoever hears `route`, though it shows message.subject: so
    // streams hand out what they keep. False: nobody was there. `backlog` (may be null): what waits
    // for the slowest of them.
    bool publish_to(Account& account, std::string_view route, const Message& message,
                    size_t* backlog);
    // Somebody would get it, in this account or in one that imports from it.
    bool has_interest(Account& account, std::string_view subject);
    Imports& imports() { return *imports_; }
    // For Imports: to those in one account, of all loops, as match() of the route has found them;
    // an empty route is the message's subject.
    bool deliver_all(Account& account, const Matches& matches, Connection* from,
                     const Message& message, std::string_view route, size_t* backlog);
    bool deliver_plain(Account& account, const Matches& matches, Connection* from,
                       const Message& message, std::string_view route, size_t* backlog);
    bool deliver_to_group(Account& account, const Matches& matches, size_t group, Connection* from,
                          const Message& message, std::string_view route);
    // The same at the end of the round, from a copy: for services, which must not publish while
    // routing.
    void publish_later(std::string account_key, std::string subject, std::string payload);
    // Runs at the end of the round, unless the server is gone by then.
    void later(std::function<void()> work);
    // Too much is on its way to other loops: a service that publishes much waits.
    bool is_congested() const { return links_ != nullptr && links_->is_congested(); }
    void on_relief(std::function<void()> callback) { links_->on_relief(std::move(callback)); }

    // For Links: what another loop's connection `client` has published.
    bool deliver_forwarded(Account& account, const Matches& matches, const Message& message,
                           std::string_view route, uint64_t client, size_t* backlog);
    bool deliver_forwarded_to_one(GroupList::Members members, const Message& message,
                                  uint64_t client);
    void answer_no_responders(uint64_t client, std::string_view reply);

    void answer_ping(Connection& connection) {
        if (links_ == nullptr)
            connection.send("PONG\r\n");
        else
            links_->answer_ping(connection);
    }
    void note_change(Connection& connection) {
        if (links_ != nullptr) links_->note_change(connection);
    }
    // A reader has caught up with this publisher, of whichever loop.
    void release_held(uint64_t publisher);
    void schedule_round_end() {
        if (!round_end_scheduled_) start_round_end();
    }

    void mark_dirty(Connection& connection) {
        if (connection.is_dirty) return;
        connection.is_dirty = true;
        dirty_.push_back(&connection);
        schedule_round_end();
    }
    void mark_closing(Connection& connection);
    // The connection is gone; called from its stream's callbacks and timers, as the last thing they
    // do.
    void forget(Connection& connection, std::string_view reason);
    // Some connection did not take all that was written to it.
    void note_backlog();
    // The account's subscriptions changed.
    void touch(Account& account) {
        if (!account.sublist.has_outdated()) return;
        touched_.push_back(&account);
        schedule_round_end();
    }

    // Takes an account's JWT, new or changed, and checks the account's connections again, on all
    // loops. Control loop.
    Result<> put_account(std::string_view jwt);
    // False where it is not known. Its connections are closed, on all loops. Control loop.
    bool remove_account(std::string_view key);
    // Called for each account, known already or not yet, to add services to it.
    void on_account(std::function<void(Account&)> callback);
    // And for each whose claims have changed.
    void on_account_changed(std::function<void(Account&)> callback) {
        on_account_changed_.push_back(std::move(callback));
    }

    // Durable streams work from now on: INFO says so.
    void set_has_streams() { has_streams_ = true; }
    bool has_streams() const { return has_streams_; }
    // Tells clients to go elsewhere, stops accepting, and sends those away who stay, until the
    // deadline.
    void announce_end(MonoTime deadline);
    // Nobody is left to be sent away, and no connection, and no other loop, has anything left to be
    // sent.
    bool is_flushed() const;
    // Clients that are not of this process.
    size_t guest_count() const;
    // Ends so many connections of theirs; those with something waiting only if `even_busy`.
    void send_away(size_t count, bool even_busy);

    // The system's account and the platform's.
    bool is_own_account(const Account& account) const;
    // The account's connections have more waiting than they may.
    void shed(Account& account);
    // A client is about to be closed since it is too far behind.
    void report_slow(const Connection& connection, std::string_view reason);

private:
    void accept(StreamPtr stream, const EntrancePtr& entrance);
    void receive(StreamPtr stream, const EntrancePtr& entrance);
    void on_guest(Guest guest);
    void note_load();
    void uncount_connection();
    void apply(const Accounts::Update& update);
    void take_shares(Account& account);
    bool drop_account(std::string_view key);
    void start_round_end();
    void end_round();
    void end_closing();
    const Matches* find_matches(Account& account, Connection* from, const Message& message);
    bool is_allowed(Account& account, Connection& from, std::string_view subject);
    bool deliver_here(const Matches& matches, Connection* from, const Message& message,
                      size_t* backlog);
    void forward(Account& account, const Matches& matches, Connection* from, const Message& message,
                 std::string_view route, uint8_t flags, size_t* backlog);
    bool deliver(Subscription& subscription, Connection* from, const Message& message);
    bool deliver_to_one(Account& account, const Matches& matches, size_t group, Connection* from,
                        const Message& message, std::string_view route, uint8_t flags);
    // For a message that goes to no more than one: where that one may be gone by then.
    static uint8_t answer_flag(const Matches& matches, const Connection* from,
                               const Message& message);
    void send_no_responders(Account& account, Connection& from, const Message& message);
    void make_tails(const Message& message);
    void check_backlogs();

    Loop& loop_;
    ServerOptions options_;
    Accounts accounts_;
    Logger log_;
    const std::string id_;
    const KeyedHash hash_ = KeyedHash::from_system();
    BlockPool blocks_;
    ServerCounters counters_;
    struct Door {
        std::shared_ptr<EntrancePtr> entrance;  // shared with the listener's callback
        std::unique_ptr<Listener> listener;
    };
    Reception reception_;
    std::unique_ptr<Imports> imports_;
    Events events_{*this};
    uint64_t event_number_ = 0;
    std::vector<Door> doors_;
    std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
    uint64_t next_id_;
    const uint64_t id_step_;        // ids tell whose loop's a connection is
    uint64_t incoming_client_ = 0;  // whose message of another loop is being delivered

    std::vector<Connection*> dirty_;
    std::vector<Connection*> closing_;
    std::vector<Account*> touched_;  // their sublists may hold outdated results
    std::vector<std::function<void()>> later_;
    std::vector<std::function<void(Account&)>> on_account_;
    std::vector<std::function<void(Account&)>> on_account_changed_;
    std::unique_ptr<UserInfo> user_info_;
    std::vector<std::unique_ptr<Account>> removed_;  // until their connections are gone
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool round_end_scheduled_ = false;
    bool has_streams_ = false;
    std::optional<LameDuck> lame_duck_;
    Timer backlog_timer_;

    std::string mapped_;            // subject of the message being routed
    std::string tail_;              // of the message being routed
    size_t tail_total_ = SIZE_MAX;  // where the tail is no more than that number
    std::string tail_without_headers_;
    std::unique_ptr<Links> links_;
};

}  // namespace candela::bus_role
