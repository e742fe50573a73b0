#pragma once

// One loop's side of a bus of several loops (mesh.h): tells the others what is subscribed to here,
// sends them the messages that they want, and takes theirs. Owned by its Server; absent where there
// is one loop only.
//
// What one round has for the others goes to them at its end: first, to all of them, what has
// changed in subscriptions, then messages. So whoever is asked knows where its answer is to go. A
// publisher that outruns another loop is not read until that loop has caught up: what is on the way
// is bounded by kInFlightMax for each two loops, and what is read at once from each connection.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "accounts.h"
#include "base/keyed_hash.h"
#include "link_records.h"
#include "mesh.h"

namespace candela::bus_role {

class Connection;

class Links {
public:
    static constexpr size_t kInFlightMax = 1024 * 1024;
    static constexpr uint8_t kHopsMax = 4;

    Links(Server& server, std::shared_ptr<Mesh> mesh, size_t index);
    ~Links();
    Links(const Links&) = delete;
    Links& operator=(const Links&) = delete;

    Mesh& mesh() { return *mesh_; }
    const std::shared_ptr<Mesh>& shared_mesh() const { return mesh_; }
    size_t index() const { return index_; }
    size_t loop_of(uint64_t client) const { return (client - 1) % mesh_->size(); }
    // Runs work(server) on every other loop, soon.
    template <class Work>
    void post_to_others(const Work& work) {
        for (size_t i = 0; i < mesh_->size(); ++i) {
            if (i != index_) Mesh::post(mesh_, i, work);
        }
    }
    // Gives a new connection to the loop that has fewest, which goes on with it; false: that is
    // this one, or the stream can't move.
    using GoOn = std::function<void(Server& server, StreamPtr stream)>;
    bool hand_over(StreamPtr& stream, GoOn go_on);

    // The account is on this loop from now on; and is gone.
    void add(Account& account);
    void remove(const Account& account);

    // Sends a message to all plain subscriptions of those loops (a bit each).
    void forward(Account& account, Connection* from, const Message& message, std::string_view route,
                 uint64_t loops, uint8_t flags);
    // Sends it to one member of a group on another loop: the lot is among all of those members.
    void forward_to_group(Account& account, Connection* from, const Message& message,
                          std::string_view route, const Matches& matches, size_t group,
                          uint64_t lot, uint8_t flags);
    // What waits on those loops for the slowest of those who hear the route, as far as is known.
    size_t backlog(const Account& account, std::string_view route, uint64_t loops) const;
    // More is on the way than should be: services wait for relief before they publish more.
    bool is_congested() const;
    void on_relief(std::function<void()> callback) { relieved_.push_back(std::move(callback)); }

    // The publisher of the record that is being taken waits for the reader.
    void hold_sender(Connection& reader);
    void release(uint64_t client);

    // Answers a PING once the other loops know all that the connection did before.
    void answer_ping(Connection& connection);
    // The connection changed its subscriptions.
    void note_change(Connection& connection) const;

    // Sends what the round has gathered.
    void flush();
    bool has_unsent() const;
    void receive(size_t from);
    // Nothing is on the way from here.
    bool is_settled() const;

private:
    // Watches one account's subscriptions.
    struct Watch final : InterestObserver {
        Watch(Links& l, Account& a, const KeyedHash& hash)
            : links(l), account(a), changes(0, hash) {}
        void on_interest(Sublist& sublist, const Subscription& changed, uint32_t before) override;

        Links& links;
        Account& account;
        struct Change {
            std::string subject;
            std::string queue;
            uint32_t told;  // what the others were told last
        };
        // By subject and queue, which clients choose.
        std::unordered_map<std::string, Change, KeyedHash, std::equal_to<>> changes;
    };
    struct Sent {
        uint64_t round;
        uint64_t end;  // in the channel's bytes
    };
    // The message appended last to a block; it has neither reply nor route.
    struct Last {
        LinkKind kind = LinkKind::kNudge;
        uint8_t flags = 0;
        uint64_t account = 0;
        uint64_t client = 0;
        std::string subject;
        std::string queue;
    };
    struct Peer {
        Channel* channel = nullptr;  // to it
        Block out;
        Last last;              // in `out`
        bool is_full = false;   // when something was sent last, too much was on the way
        std::deque<Sent> sent;  // of rounds whose records it may not have consumed
        uint64_t consumed = 0;  // as seen last
        std::unordered_map<std::string, std::pair<size_t, MonoTime>> backlogs;  // by route
    };
    struct Early {
        size_t loop;
        std::string subject;
        std::string queue;
        uint32_t count;
    };
    struct WaitingPong {
        uint64_t round;
        uint64_t client;
    };
    // The result of the record taken last: most come in rows with one subject.
    struct Route {
        uint64_t account = 0;
        std::string subject;
        const Matches* matches = nullptr;
        uint64_t generation = 0;
    };

    Watch* find(uint64_t account);
    void append(size_t loop, const LinkRecord& record);
    static LinkRecord record_of(LinkKind kind, uint8_t flags, uint64_t account, uint64_t client,
                                const Message& message, std::string_view route,
                                std::string_view queue);
    void send_message(size_t loop, LinkKind kind, const Account& account, Connection* from,
                      const Message& message, std::string_view route, std::string_view queue,
                      uint8_t flags);
    void append_message(size_t loop, LinkRecord& record);
    bool append_again(Peer& peer, LinkKind kind, uint8_t flags, uint64_t account, uint64_t client,
                      const Message& message, std::string_view queue);
    void send(size_t loop, Block& block);
    void flush_interest();
    static size_t in_flight(Peer& peer);
    static void forget_consumed(Peer& peer);
    void stall(Connection& from, size_t loop);
    bool is_settled(uint64_t round);
    bool is_waiting() const { return !pongs_.empty() || !stalled_.empty() || !relieved_.empty(); }
    void look_for_news();
    void relieve();

    void handle(size_t from, const LinkRecord& record);
    void take_message(size_t from, const LinkRecord& record);
    void take_queued(const LinkRecord& record);
    void take_interest(size_t from, const LinkRecord& record);
    const Matches& find_matches(Account& account, std::string_view subject);
    static std::string backlog_key(uint64_t account, std::string_view route);
    void answer_nobody(const LinkRecord& record);
    void report_backlog(size_t to, const LinkRecord& record, size_t backlog);

    Server& server_;
    const std::shared_ptr<Mesh> mesh_;
    const size_t index_;
    std::vector<Peer> peers_;  // by loop; our own is unused
    uint64_t round_ = 1;

    std::unordered_map<uint64_t, std::unique_ptr<Watch>> watches_;  // by account number
    uint64_t last_account_ = 0;
    Watch* last_found_ = nullptr;
    std::vector<Watch*> changed_;
    std::string news_;  // interest records, made once for all
    // Of accounts that this loop has not heard of yet.
    std::unordered_map<uint64_t, std::vector<Early>> early_;

    std::deque<WaitingPong> pongs_;
    std::deque<uint64_t> stalled_;
    std::vector<std::function<void()>> relieved_;

    std::vector<Block> inbox_;
    Route route_;
    uint64_t sender_ = 0;                  // the publisher of what is being taken
    std::vector<uint64_t> held_in_batch_;  // publishers that were told to wait
    std::vector<std::string> reported_in_batch_;
};

}  // namespace candela::bus_role
