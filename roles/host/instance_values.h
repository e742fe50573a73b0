#pragma once

// Secrets and config values of this host's instances: asked for at the lighthouse, sealed for a key
// that this process alone has, and put into a folder of the instance's own on a file system in
// memory; never on a disk. Files are in $CANDELA_VALUES; variables lie beside them, where only we
// can read them, so that a host that is started anew needs no lighthouse to start an instance
// again. Lives on the control loop.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "crypto/sealed_box.h"
#include "loop/flow.h"
#include "proto/messages.h"

namespace candela::host {

// Who has them: the lighthouse, over the bus.
class ValueSource {
public:
    virtual ~ValueSource() = default;
    virtual Task<Result<proto::ValueTable>> fetch(proto::ValuesPull pull) = 0;
};

struct InstanceValueSet {
    std::vector<std::string> environment;  // NAME=value
    std::filesystem::path folder;          // of the files; empty: the instance uses no values
    std::vector<int> signals;              // due to one that runs with what was there before
};

class InstanceValues {
public:
    InstanceValues(Loop& loop, ValueSource& source, std::string node, Logger log);

    // By which the folder of this host is known again. `places`: where to look for a file system in
    // memory; empty: where machines have one.
    void open(std::string run_id, std::vector<std::filesystem::path> places = {});

    // What the spec names, at the versions that it names or newer ones. `owner`: who alone may
    // read the files, where that is not us.
    Task<Result<InstanceValueSet>> provide(proto::InstanceSpec spec, std::optional<uint32_t> owner);
    void forget(const std::string& instance);
    // Removes those of instances that are not among these.
    void keep_only(std::vector<std::string> instances);

private:
    Loop& loop_;
    ValueSource& source_;
    const std::string node_;
    Logger log_;
    crypto::BoxKey box_;
    std::string run_id_;
    std::vector<std::filesystem::path> places_;
};

}  // namespace candela::host
