#pragma once

// A folder as what is deployed: its manifest and its bundle. Where the folder holds sources it is
// built first (src/build). Shared by deploy, plan and watch.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "build/build.h"
#include "ctl/packing.h"
#include "ctl/session.h"
#include "loop/task.h"
#include "service/bundle.h"
#include "service/manifest.h"

namespace candela::ctl {

struct PrepareOptions {
    std::filesystem::path folder;
    bool builds = true;
    bool builds_anew = false;
    std::optional<std::string> build_on;  // the host that builds it; "": any
};

struct Prepared {
    service::Manifest manifest;
    service::BundleInfo info;
    std::filesystem::path bundle;
    // What keeps the bundle there; to be let go once it is uploaded.
    std::optional<ScratchFolder> scratch;
    std::unique_ptr<build::ProjectCache> cache;
};

Task<Result<Prepared>> prepare(Session& session, PrepareOptions options);

// What the folder is to be deployed as, before it is built: kNotFound where it says nothing.
struct Intention {
    service::Manifest manifest;
    service::BuildSpec spec;
    std::optional<build::Recipe> recipe;  // absent: it is packed as it is
    bool finds_command = false;           // the manifest's stands in for what the build makes
};
Result<Intention> read_intention(const PrepareOptions& options);

}  // namespace candela::ctl
