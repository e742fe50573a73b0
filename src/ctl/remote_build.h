#pragma once

// A build that a host does (`--build-on`): the sources go there over the API, and the bundle comes
// back. What is there is the lighthouse's to say: this machine needs none of the build's tools.

#include <filesystem>
#include <functional>
#include <string>

#include "build/build.h"
#include "ctl/packing.h"
#include "ctl/session.h"
#include "loop/task.h"

namespace candela::ctl {

struct RemoteBuild {
    std::string node;  // "": whichever has the least to do
    std::string service;
    std::filesystem::path folder;
    build::Recipe recipe;
    service::BuildSpec spec;
    bool finds_command = false;
    bool is_anew = false;
    std::function<std::string(const char* name)> environment;
};

// The bundle is in the scratch folder, and has the digest that the host told. `was_there`: the same
// sources had been built before.
Task<Result<build::Built>> build_remotely(Session& session, RemoteBuild wanted,
                                          const ScratchFolder& scratch);

}  // namespace candela::ctl
