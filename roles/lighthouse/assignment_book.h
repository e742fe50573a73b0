#pragma once

// What each host should run, as hosts pull it, with a version for each host. Pure but for its
// arguments.

#include <map>
#include <string>

#include "model.h"

namespace candela::lighthouse {

class AssignmentBook {
public:
    // Versions begin above epoch << 32, so that they grow over restarts.
    explicit AssignmentBook(uint64_t epoch) : epoch_(epoch), last_(epoch << 32) {
        ++last_;
        first_ = last_;
    }

    // What this node should run has changed. Returns the new version.
    uint64_t mark(const std::string& node) { return versions_[node] = ++last_; }
    uint64_t version(const std::string& node) const {
        const auto found = versions_.find(node);
        return found == versions_.end() ? first_ : found->second;
    }
    // The answer to a pull that has `known`.
    proto::Assignments answer(const std::string& node, uint64_t known, const Wanted& wanted) const;

private:
    uint64_t epoch_;
    uint64_t last_;
    uint64_t first_ = 0;
    std::map<std::string, uint64_t> versions_;
};

}  // namespace candela::lighthouse
