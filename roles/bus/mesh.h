#pragma once

// What the loops of one bus share: who they are, the channels between each two, and how many
// connections each has. Made before the servers; each server takes its seat on its own loop, and
// leaves it there. Held by all of them, and by what they have posted to each other.

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "auth/key_pair.h"
#include "base/check.h"
#include "channel.h"
#include "loop/loop.h"
#include "sublist.h"

namespace candela::bus_role {

class Server;

class Mesh {
public:
    // The control loop first; at most kLoopsMax.
    static std::shared_ptr<Mesh> create(const std::vector<Loop*>& loops) {
        return std::shared_ptr<Mesh>(new Mesh(loops));
    }

    size_t size() const { return seats_.size(); }
    Loop& loop(size_t index) { return *seats_[index].loop; }
    const std::string& server_id() const { return server_id_; }
    Channel& channel(size_t from, size_t to) { return channels_[from * size() + to]; }

    // Who sits on the loop; that loop's thread only. Null before and after.
    Server* server(size_t index) { return seats_[index].server; }
    void set_server(size_t index, Server* server) { seats_[index].server = server; }

    // Connections of a loop, and those on their way to it from another one; any thread.
    std::atomic<size_t>& connections(size_t index) { return seats_[index].connections; }
    std::atomic<size_t>& arriving(size_t index) { return seats_[index].arriving; }
    size_t load(size_t index) const { return seats_[index].connections + seats_[index].arriving; }
    // Of all loops.
    std::atomic<size_t>& connections_total() { return connections_total_; }
    // The loop that has fewest.
    size_t emptiest() const;

    // Runs work(server) on the loop, if somebody sits there by then. Any thread; order is kept per
    // caller.
    template <class Work>
    static void post(const std::shared_ptr<Mesh>& mesh, size_t index, Work work) {
        mesh->loop(index).post([mesh, index, work = std::move(work)]() mutable {
            if (Server* server = mesh->server(index)) work(*server);
        });
    }

    // Has the loop take what the other one has sent it.
    static void wake(const std::shared_ptr<Mesh>& mesh, size_t from, size_t to);

private:
    struct alignas(64) Seat {
        Loop* loop = nullptr;
        Server* server = nullptr;
        std::atomic<size_t> connections{0};
        std::atomic<size_t> arriving{0};
    };
    explicit Mesh(const std::vector<Loop*>& loops) : seats_(loops.size()) {
        CANDELA_CHECK(!loops.empty() && loops.size() <= kLoopsMax);
        for (size_t i = 0; i < loops.size(); ++i) seats_[i].loop = loops[i];
        channels_ = std::make_unique<Channel[]>(loops.size() * loops.size());
    }

    std::vector<Seat> seats_;
    std::unique_ptr<Channel[]> channels_;
    std::atomic<size_t> connections_total_{0};
    const std::string server_id_ = auth::KeyPair::generate(auth::KeyKind::kServer).public_key();
};

}  // namespace candela::bus_role
