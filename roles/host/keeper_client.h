#pragma once

// The host's side of a connection to a keeper: frames out, frames in (keeper/wire.h). Lives on one
// loop.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "driver.h"
#include "keeper/wire.h"
#include "loop/stream.h"
#include "walls_plan.h"

namespace candela::host {

class KeeperHandler {
public:
    // Valid during the call. The handler may destroy the client in it.
    virtual void on_message(keeper::Message message, std::string_view payload) = 0;
    // The keeper is gone, or talks nonsense; nothing more will come.
    virtual void on_lost(const Error& error) = 0;

protected:
    ~KeeperHandler() = default;
};

class KeeperClient final : private StreamHandler {
public:
    KeeperClient(StreamPtr stream, KeeperHandler& handler);
    ~KeeperClient();

    void send(keeper::Message message, std::string_view payload = {});
    // Between them, messages wait.
    void pause();
    void resume();

    static constexpr size_t kFrameMax = 64 << 10;

private:
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    // False where we have been destroyed.
    bool deliver();

    StreamPtr stream_;
    KeeperHandler& handler_;
    std::string buffer_;
    bool is_paused_ = false;
    bool* is_destroyed_ = nullptr;
};

// What a keeper is told to run. `walls` is null for what runs beside an instance, within its walls.
std::string encode_plan(const StartRequest& request, bool ends_with_host, const WallSettings* walls,
                        uint32_t uid = 0, const std::string& cgroup = {});

// Numbers within a payload; 0 where it is too short.
template <class Number>
Number number_at(std::string_view payload, size_t at) {
    Number number{};
    if (payload.size() >= at + sizeof(number))
        payload.substr(at).copy(reinterpret_cast<char*>(&number), sizeof(number));
    return number;
}

}  // namespace candela::host
