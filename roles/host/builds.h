#pragma once

// Builds that people have done on this host (`candela ctl deploy --build-on`): each is a tunnel
// that the lighthouse has opened for somebody who may deploy the service. The sources come over it,
// are built as ctl would build them (src/build), in a copy, within walls, with a cache of the
// service's own, and the bundle goes back: it is whoever wanted it that signs and deploys it.
//
// A build sees of this machine what instances see, and none of the variables but those where
// proxies and mirrors are. It ends with its stream, and leaves the cache. Lives on the control
// loop.

#include <filesystem>
#include <functional>
#include <list>
#include <memory>

#include "base/log.h"
#include "build/workshop.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "service/build_wish.h"

namespace candela::host {

class Builds {
public:
    static constexpr size_t kBuildsMax = 4;
    static constexpr uint64_t kSourceBytesMax = 1ULL << 30;  // of their archive
    static constexpr Duration kIdleMax = 60s;  // between parts of the sources, or of the bundle
    static constexpr Duration kTimeMax = 1h;   // of all commands
    static constexpr size_t kQueueBytesMax = 1 << 20;  // in each direction, beyond the kernel's

    // `folder` is theirs alone.
    Builds(Loop& loop, std::filesystem::path folder, std::string node,
           build::MakeWorkshop make_workshop, Logger log);
    ~Builds();

    // Removes what an earlier life has left half done.
    Task<Result<>> open();
    void accept(StreamPtr person, const service::BuildTarget& target);
    size_t size() const { return works_.size(); }

private:
    class Work;
    void end(Work& work);

    Loop& loop_;
    const std::filesystem::path folder_;
    const std::string node_;
    build::MakeWorkshop make_workshop_;
    Logger log_;
    uint64_t next_ = 0;
    std::list<std::unique_ptr<Work>> works_;
};

}  // namespace candela::host
