#pragma once

// What an instance needs before it can start. An interface, so that the life of instances is tested
// without a bus.

#include <string>

#include "base/result.h"
#include "loop/task.h"
#include "proto/messages.h"

namespace candela::host {

struct Prepared {
    std::string bundle_folder;       // unpacked
    std::string home_folder;         // its own, writable
    std::string temporary_folder;    // its own, writable
    std::string credentials_file;    // a .creds file; renewed in place while the instance lives
    std::string credentials_folder;  // where it lies, alone
};

class Preparer {
public:
    virtual ~Preparer() = default;
    // May be called again after a failure. kUnreachable and kTimeout: trying again may help.
    virtual Task<Result<Prepared>> prepare(proto::InstanceSpec spec) = 0;
    // Takes away what belongs to the instance alone. Returns at once; safe to call twice.
    virtual void clean_up(const std::string& instance) = 0;
};

}  // namespace candela::host
