#pragma once

// What an instance needs before it can start. An interface, so that the life of instances is tested
// without a bus.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/task.h"
#include "proto/messages.h"

namespace candela::host {

// What the credential's file is called, in its folder.
inline constexpr std::string_view kCredentialsFile = "bus.creds";

struct Prepared {
    std::string bundle_folder;       // unpacked
    std::string home_folder;         // its own, writable
    std::string temporary_folder;    // its own, writable
    std::string credentials_file;    // a .creds file; renewed in place while the instance lives
    std::string credentials_folder;  // where it lies, alone
    std::vector<std::string> environment;  // secrets and config: NAME=value
    std::string values_folder;             // those that are files; empty: none is used
    std::vector<int> signals;              // due to one that runs already, whose files have changed
    std::vector<proto::ValueUse> values;   // what of them was asked for
};

class Preparer {
public:
    virtual ~Preparer() = default;
    // How far it is, for people: "pulling nginx:1.27, 45 % of 62.1 MiB".
    using OnProgress = std::function<void(std::string_view)>;
    // May be called again after a failure. kUnreachable and kTimeout: trying again may help.
    virtual Task<Result<Prepared>> prepare(proto::InstanceSpec spec, OnProgress on_progress) = 0;
    // Brings secrets and config of one that runs to what its spec says now.
    virtual Task<Result<Prepared>> refresh(proto::InstanceSpec spec, Prepared prepared) {
        prepared.values = std::move(spec.values);
        co_return prepared;
    }
    // Takes away what belongs to the instance alone. Returns at once; safe to call twice.
    virtual void clean_up(const std::string& instance) = 0;
};

}  // namespace candela::host
