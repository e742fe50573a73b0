#pragma once

// Programs that people run within an instance's walls (`candela ctl exec`): each comes over the bus
// as a tunnel to candela.exec.<node> that the lighthouse has opened for them, and lasts as long as
// it. Lives on the control loop.

#include <list>
#include <memory>
#include <string>

#include "base/log.h"
#include "bus/tunnel.h"
#include "instance.h"
#include "loop/loop.h"
#include "service/build_wish.h"

namespace candela::host {

class Sessions {
public:
    using FindInstance = std::function<const Instance*(std::string_view name)>;
    using OnBuild = std::function<void(StreamPtr person, const service::BuildTarget& target)>;

    static constexpr size_t kSessionsMax = 64;
    static constexpr size_t kRefusalsMax = 16;  // beyond them, that are told so at the same time
    static constexpr size_t kQueueBytesMax = 256 * 1024;  // in each direction, beyond the kernel's

    // Streams for a build are handed on (builds.h).
    Sessions(Loop& loop, FindInstance find, OnBuild on_build, Logger log);
    ~Sessions();

    Result<> start(bus::Client& client, std::string_view node);
    void stop_accepting() { listener_.reset(); }
    size_t size() const { return sessions_.size(); }

    // For tests: as if it had come over the bus.
    void accept(StreamPtr stream, const std::string& target);

private:
    class Session;
    void end(Session& session);

    Loop& loop_;
    FindInstance find_;
    OnBuild on_build_;
    Logger log_;
    std::list<std::unique_ptr<Session>> sessions_;
    std::unique_ptr<bus::TunnelListener> listener_;
};

}  // namespace candela::host
