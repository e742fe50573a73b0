#pragma once

// One subscription: a connection's, or one of the server's own ("$SYS.REQ…"). Owned by its
// connection or service, listed in its account's Sublist while it is active. Lives on one loop.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace candela::bus_role {

class Connection;
struct Login;

// A message on its way, in the form in which it is written: `body` is headers, payload and line
// end.
struct Message {
    std::string_view subject;
    std::string_view reply;
    std::string_view body;
    size_t header_bytes = 0;

    std::string_view headers() const { return body.substr(0, header_bytes); }
    std::string_view payload() const {
        return body.substr(header_bytes, body.size() - header_bytes - 2);
    }
};

// Who published a message, as a service is told.
struct Origin {
    uint64_t client = 0;           // the connection's id; 0: the server itself
    const Login* login = nullptr;  // null also where the client is another loop's
};

// Takes what is published to a subject of the server's own. Called while a message is being routed:
// it must not publish, subscribe or close; it copies what it needs and acts later (Server::later).
class Service {
public:
    virtual void on_message(const Origin& from, const Message& message) = 0;

protected:
    ~Service() = default;
};

class Passage;

struct Subscription {
    Connection* connection = nullptr;  // or
    Service* service = nullptr;        // or
    Passage* passage = nullptr;        // into another account (imports.h)
    std::string subject;
    std::string queue;
    std::string sid;
    std::string sid_between_blanks;  // " 7 ": as it is written
    uint64_t delivered = 0;
    uint64_t max = 0;             // ends after so many; 0: never
    bool check_delivery = false;  // some of its subjects are denied
    // Every loop has one like it: the others are not told of it, and what they forward is not for
    // it.
    bool is_private = false;
    size_t slot = 0;  // its place in the Sublist's vector
};

}  // namespace candela::bus_role
