#pragma once

// A disk in memory that keeps no promise it did not make: what was written and not synced may be
// lost, torn at sectors, or arrive out of order when the power fails; names likewise, in order. It
// can be full, fail to sync, and have bits flipped.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "streams/disk.h"

namespace candela::bus_role {

class SimDisk final : public Disk {
public:
    static constexpr size_t kSectorBytes = 512;

    Result<std::unique_ptr<DiskFile>> open(const std::string& path, bool create) override;
    Result<> make_folder(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& folder) override;
    Result<> rename(const std::string& from, const std::string& to) override;
    Result<> remove(const std::string& path) override;
    Result<> sync_folder(const std::string& folder) override;

    // What a machine finds that starts again after the power failed; `kill` is a process that
    // ended.
    std::unique_ptr<SimDisk> after_power_cut(Random& random) const;
    std::unique_ptr<SimDisk> after_kill() const;

    // After so many more changes everything fails; the last one is done in part.
    void fail_after(uint64_t changes) { changes_left_ = changes; }
    bool has_failed() const { return off_; }
    uint64_t changes() const { return changes_; }
    void set_capacity(uint64_t bytes) { capacity_ = bytes; }
    void set_sync_fails(bool fails) { sync_fails_ = fails; }
    // The medium gives nothing of it back.
    void set_unreadable(const std::string& path) { names_.at(path)->is_unreadable = true; }
    void flip_bit(const std::string& path, uint64_t offset, unsigned bit);
    std::vector<std::string> paths() const;
    uint64_t size_of(const std::string& path) const { return names_.at(path)->data.size(); }
    uint64_t bytes() const;

private:
    struct Change {
        bool is_truncate;
        uint64_t offset;
        std::string bytes;
    };
    struct Inode {
        std::string data;
        std::string durable;
        std::vector<Change> pending;
        bool is_unreadable = false;
    };
    using InodePtr = std::shared_ptr<Inode>;
    struct NameChange {
        std::string path;
        InodePtr inode;    // null: removed
        std::string from;  // of a rename
    };
    class File;

    static void apply(std::string& data, const Change& change);
    static void apply(std::map<std::string, InodePtr>& names, const NameChange& change);
    Result<> count_change(bool& partial);
    void change_name(NameChange change);

    std::map<std::string, InodePtr> names_;
    std::map<std::string, InodePtr> durable_names_;
    std::vector<NameChange> pending_names_;
    std::set<std::string> folders_;
    uint64_t changes_ = 0;
    uint64_t changes_left_ = UINT64_MAX;
    uint64_t capacity_ = UINT64_MAX;
    bool off_ = false;
    bool sync_fails_ = false;
};

}  // namespace candela::bus_role
