#pragma once

// What accounts share, as their JWTs say it: streams that an account hears from another, and
// services of another that it may ask. Each import stands in an account's Sublist as a subscription
// with a Passage, through which a message goes on in the other account under another name: of a
// stream in the exporter's, of a service in the importer's. Passages follow from claims alone, so
// that each loop has its own; they act where a message enters, and what other loops have to hear of
// it goes there by the other account's subscriptions.
//
// Members of one queue group in several accounts are one group, as in nats-server. Streams do not
// go through two imports; services may, but never in a circle. One loop, owned by its Server.
// Source: nats-server's server/accounts.go and client.go in behaviour, ADR-14.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "accounts.h"
#include "responses.h"
#include "subject_mapping.h"

namespace candela::bus_role {

class Server;

class Passage {
public:
    enum class Kind : uint8_t { kStream, kService, kResponse };

    Kind kind = Kind::kStream;
    Account* from = nullptr;  // whose sublist has `subscription`
    Account* to = nullptr;    // null: as the Responses say
    SubjectMapping mapping;   // of subjects in `from` to those in `to`
    auth::ResponseType response_type = auth::ResponseType::kSingleton;
    Duration response_threshold{};
    bool share = false;      // the other account may know who asks
    int64_t expires_at = 0;  // unix seconds, of the activation; 0: never
    Subscription subscription;
};

class Imports {
public:
    static constexpr size_t kDepthMax = 16;      // services through which one request goes
    static constexpr size_t kPassagesMax = 256;  // through which one message goes

    explicit Imports(Server& server);
    ~Imports();
    Imports(const Imports&) = delete;
    Imports& operator=(const Imports&) = delete;

    // The account is new, or its claims are.
    void update(Account& account);
    // The account is no longer among the server's. Not while a message is being routed.
    void remove(Account& account);

    // Routes a message of which match() has found passages, to all who get it. False: nobody does.
    bool route(Account& account, Connection* from, const Message& message, std::string_view route,
               size_t* backlog);
    // What another loop forwards of what was published there: an answer to a request that entered
    // here. False: it is none, or too late.
    bool answer_forwarded(Account& account, const Message& message, std::string_view route);
    // Somebody would get it.
    bool has_interest(Account& account, std::string_view subject);

    // Of one account, for those who ask about it: those that the claims name and that are in force.
    size_t active(const Account& importer) const;
    const Responses& responses() const { return responses_; }

private:
    struct State {                                       // of one account
        std::vector<std::unique_ptr<Passage>> passages;  // of its imports
        std::unique_ptr<Passage> answers;                // of responses to whom it has asked
        std::vector<std::string> exporters;              // that its claims name
        // What others depend on, to see whether that has changed.
        std::vector<auth::Export> exports;
        std::vector<std::string> signing_keys;
    };
    struct Leg {  // the message under one name in one account
        Account* account = nullptr;
        std::string subject;
    };
    struct Frame {  // a request on its way through one service, kept for its buffers
        std::string subject;
        std::string mapped;  // the subject as the account's own mappings have it
        std::string reply;
        std::string body;
    };
    struct Ask {
        Passage* passage;
        size_t leg;
    };
    struct Part {  // a queue group's members in one account
        std::string name;
        size_t leg;
        size_t members;
    };

    void rebuild(Account& importer);
    void drop(Account& importer);
    Result<> add(Account& importer, const auth::Import& share);
    bool forms_circle(const Passage& added) const;
    void insert(Passage& passage);
    void take_off(Passage& passage);
    void watch_expiry(int64_t expires_at);
    void end_expired();

    bool send(Account& account, Connection* from, const Message& message, std::string_view route,
              size_t* backlog);
    bool route_to_groups(size_t base, Connection* from, const Message& message,
                         std::string_view shown);
    bool ask(Passage& passage, std::string_view subject, Connection* from, const Message& message);
    bool answer(Passage& passage, std::string_view subject, Connection* from,
                const Message& message, bool is_shown_apart, size_t* backlog);
    bool make_reply(Account& asker, Account& answerer, std::string_view reply,
                    auth::ResponseType type, Duration threshold, std::string& out);
    void add_request_info(const Passage& passage, const Connection& from, const Message& message,
                          std::string& body, size_t& header_bytes) const;
    Leg& take_leg(Account& account);
    Frame& take_frame();

    Server& server_;
    Responses responses_;
    std::map<const Account*, State> states_;
    // Exporter's key → importers, whether or not there is such an account.
    std::map<std::string, std::unordered_set<std::string>, std::less<>> importers_;

    // Of what is being routed.
    std::vector<std::unique_ptr<Leg>> legs_;
    size_t legs_used_ = 0;
    std::vector<Ask> asks_;
    std::vector<Part> parts_;
    std::vector<std::unique_ptr<Frame>> frames_;
    std::vector<const Passage*> path_;  // services that the request has gone through

    Timer expiry_timer_;
    int64_t next_expiry_ = 0;  // unix seconds; 0: none
};

}  // namespace candela::bus_role
