// Listening sockets that go from one process to the next; here from one loop to another.

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <vector>

#include "loop/listener_book.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

using namespace candela;

namespace {

struct Side {
    InProcessHub hub;
    ListenerBook book;
    UvLoop loop{hub, &book};
    std::vector<std::unique_ptr<Listener>> listeners;
    std::vector<StreamPtr> accepted;

    Address listen(const Address& address, bool reuse_port = false) {
        ListenOptions options;
        options.reuse_port = reuse_port;
        auto listener = loop.listen(
            address, options, [this](StreamPtr stream) { accepted.push_back(std::move(stream)); });
        REQUIRE(listener);
        listeners.push_back(std::move(*listener));
        return listeners.back()->address();
    }
    bool accepts(size_t count) {
        return loop.run_until([&] { return accepted.size() >= count; }, 5s);
    }
    void settle() {
        loop.run_until([] { return false; }, 20ms);
    }
};

void hand_over(Side& from, Side& to) {
    auto sockets = from.book.duplicate_all();
    REQUIRE(sockets);
    for (ListenerBook::Socket& socket : *sockets) to.book.inherit(std::move(socket));
}

// A client's end; connecting needs nobody to accept.
struct Client {
    std::unique_ptr<ConnectAttempt> attempt;
    StreamPtr stream;

    Client(UvLoop& loop, const Address& to) {
        bool is_done = false;
        attempt = loop.connect(to, [&](Result<StreamPtr> result) {
            is_done = true;
            if (result) stream = std::move(*result);
        });
        loop.run_until([&] { return is_done; }, 5s);
    }
};

const Address kAnyPort = Address::tcp("127.0.0.1", 0);

}  // namespace

TEST_CASE(
    "connections in the queue of a socket that was handed over are accepted after its first "
    "owner closed it") {
    Side other;
    Side next;
    Address address;
    {
        Side before;
        address = before.listen(kAnyPort);
        hand_over(before, next);
    }
    Client early(other.loop, address);
    REQUIRE(early.stream);
    CHECK(next.listen(kAnyPort) == address);
    Client queued(other.loop, address);
    REQUIRE(queued.stream);
    next.settle();
    CHECK(next.accepted.empty());
    next.book.release();
    CHECK(next.accepts(2));
}

TEST_CASE("a socket is found by the address that it is bound to, too") {
    Side before;
    Side next;
    const Address address = before.listen(kAnyPort);
    hand_over(before, next);
    CHECK(next.listen(address) == address);
    next.book.release();
    before.listeners.clear();
    Client client(next.loop, address);
    CHECK(next.accepts(1));
}

TEST_CASE("one listener takes the sockets that others have left over") {
    Side other;
    Side before;
    Side next;
    const Address address = before.listen(kAnyPort, true);
    for (int i = 0; i < 3; ++i) before.listen(address, true);
    hand_over(before, next);
    before.listeners.clear();
    next.listen(address, true);
    std::vector<std::unique_ptr<Client>> clients;
    constexpr size_t kClients = 32;  // the kernel spreads them over all four queues
    for (size_t i = 0; i < kClients; ++i) {
        clients.push_back(std::make_unique<Client>(other.loop, address));
        REQUIRE(clients.back()->stream);
    }
    next.book.release();
    CHECK(next.accepts(kClients));
    auto all = next.book.duplicate_all();
    REQUIRE(all);
    CHECK(all->size() == 4);
}

TEST_CASE("listeners share a socket where there are fewer than they are") {
    Side before;
    Side next;
    const Address address = before.listen(kAnyPort);
    hand_over(before, next);
    before.listeners.clear();
    next.listen(kAnyPort, true);
    CHECK(next.listen(address, true) == address);
    next.book.release();
    Client client(next.loop, address);
    CHECK(next.accepts(1));
}

TEST_CASE("sockets of addresses that nobody listens on any more are closed") {
    Side before;
    Side next;
    const Address address = before.listen(kAnyPort);
    hand_over(before, next);
    before.listeners.clear();
    next.book.release();
    Client client(next.loop, address);
    CHECK_FALSE(client.stream);
}

TEST_CASE("the file of a unix socket stays when another process listens on it") {
    const test::TempFolder folder;
    const Address address = Address::unix_socket((folder.path() / "door").string());
    const auto exists = [&] {
        struct stat info{};
        return ::stat(address.host.c_str(), &info) == 0;
    };
    Side next;
    {
        Side before;
        before.listen(address);
        hand_over(before, next);
        before.book.give_away();
    }
    REQUIRE(exists());
    next.listen(address);
    next.book.release();
    Client client(next.loop, address);
    CHECK(next.accepts(1));
    next.listeners.clear();
    CHECK_FALSE(exists());
}

TEST_CASE("a process that gives up before it accepts leaves the unix socket to the other") {
    const test::TempFolder folder;
    const Address address = Address::unix_socket((folder.path() / "door").string());
    Side before;
    before.listen(address);
    {
        Side next;
        hand_over(before, next);
        next.listen(address);
    }
    Client client(before.loop, address);
    CHECK(before.accepts(1));
}
