#include "sim_disk.h"

#include <algorithm>
#include <cerrno>

namespace candela::bus_role {

namespace {
std::unexpected<Error> off() { return fail(Code::kIo, "the power is off"); }
}  // namespace

class SimDisk::File final : public DiskFile {
public:
    File(SimDisk& disk, InodePtr inode) : disk_(disk), inode_(std::move(inode)) {}

    Result<> write(uint64_t offset, std::string_view bytes) override {
        bool partial = false;
        if (Result<> counted = disk_.count_change(partial); !counted) {
            if (partial) put(offset, bytes.substr(0, bytes.size() / 2));
            return counted;
        }
        const uint64_t end = std::max<uint64_t>(inode_->data.size(), offset + bytes.size());
        const uint64_t grows = end - inode_->data.size();
        const uint64_t used = disk_.bytes();
        if (used + grows > disk_.capacity_) {
            const uint64_t room = disk_.capacity_ > used ? disk_.capacity_ - used : 0;
            const uint64_t fits = bytes.size() > grows ? bytes.size() - grows + room : room;
            put(offset, bytes.substr(0, std::min<uint64_t>(fits, bytes.size())));
            return fail(Error(Code::kExhausted, "no space left", ENOSPC));
        }
        put(offset, bytes);
        return {};
    }
    Result<size_t> read(uint64_t offset, std::span<char> into) override {
        if (disk_.off_) return off();
        if (inode_->is_unreadable) return fail(Error(Code::kIo, "can't read", EIO));
        if (offset >= inode_->data.size()) return size_t{0};
        return inode_->data.copy(into.data(), into.size(), offset);
    }
    Result<> sync() override {
        bool partial = false;
        CANDELA_TRY(disk_.count_change(partial));
        if (disk_.sync_fails_) {
            // As Linux does: the pages are dropped, and a second sync would say that all is well.
            inode_->pending.clear();
            return fail(Error(Code::kIo, "sync failed", EIO));
        }
        inode_->durable = inode_->data;
        inode_->pending.clear();
        return {};
    }
    Result<> truncate(uint64_t size) override {
        bool partial = false;
        CANDELA_TRY(disk_.count_change(partial));
        inode_->pending.push_back({true, size, {}});
        apply(inode_->data, inode_->pending.back());
        return {};
    }
    Result<uint64_t> size() override { return static_cast<uint64_t>(inode_->data.size()); }

private:
    void put(uint64_t offset, std::string_view bytes) {
        inode_->pending.push_back({false, offset, std::string(bytes)});
        apply(inode_->data, inode_->pending.back());
    }
    SimDisk& disk_;
    InodePtr inode_;
};

void SimDisk::apply(std::string& data, const Change& change) {
    if (change.is_truncate) {
        data.resize(change.offset, '\0');
        return;
    }
    if (data.size() < change.offset + change.bytes.size()) {
        data.resize(change.offset + change.bytes.size(), '\0');
    }
    data.replace(change.offset, change.bytes.size(), change.bytes);
}

void SimDisk::apply(std::map<std::string, InodePtr>& names, const NameChange& change) {
    if (!change.from.empty()) names.erase(change.from);
    if (change.inode == nullptr) {
        names.erase(change.path);
    } else {
        names[change.path] = change.inode;
    }
}

Result<> SimDisk::count_change(bool& partial) {
    if (off_) return off();
    ++changes_;
    if (changes_left_ != UINT64_MAX && changes_left_-- == 0) {
        off_ = true;
        partial = true;
        return off();
    }
    return {};
}

void SimDisk::change_name(NameChange change) {
    apply(names_, change);
    pending_names_.push_back(std::move(change));
}

Result<std::unique_ptr<DiskFile>> SimDisk::open(const std::string& path, bool create) {
    if (off_) return off();
    const auto found = names_.find(path);
    if (found != names_.end()) return std::make_unique<File>(*this, found->second);
    if (!create) return fail(Code::kNotFound, "no file {}", path);
    bool partial = false;
    CANDELA_TRY(count_change(partial));
    auto inode = std::make_shared<Inode>();
    change_name({path, inode, {}});
    return std::make_unique<File>(*this, std::move(inode));
}

Result<> SimDisk::make_folder(const std::string& path) {
    if (off_) return off();
    folders_.insert(path);
    return {};
}

Result<std::vector<std::string>> SimDisk::list(const std::string& folder) {
    if (off_) return off();
    std::set<std::string> out;
    const std::string prefix = folder + "/";
    const auto take = [&](const std::string& path) {
        if (!path.starts_with(prefix)) return;
        const std::string rest = path.substr(prefix.size());
        out.insert(rest.substr(0, rest.find('/')));
    };
    for (const auto& [path, inode] : names_) take(path);
    for (const std::string& path : folders_) take(path);
    if (out.empty() && !folders_.contains(folder))
        return fail(Code::kNotFound, "no folder {}", folder);
    return std::vector<std::string>(out.begin(), out.end());
}

Result<> SimDisk::rename(const std::string& from, const std::string& to) {
    if (off_) return off();
    const auto found = names_.find(from);
    if (found == names_.end()) return fail(Code::kNotFound, "no file {}", from);
    bool partial = false;
    CANDELA_TRY(count_change(partial));
    change_name({to, found->second, from});
    return {};
}

Result<> SimDisk::remove(const std::string& path) {
    bool partial = false;
    CANDELA_TRY(count_change(partial));
    folders_.erase(path);
    if (names_.contains(path)) change_name({path, nullptr, {}});
    return {};
}

Result<> SimDisk::sync_folder(const std::string&) {
    bool partial = false;
    CANDELA_TRY(count_change(partial));
    for (const NameChange& change : pending_names_) apply(durable_names_, change);
    pending_names_.clear();
    return {};
}

std::unique_ptr<SimDisk> SimDisk::after_power_cut(Random& random) const {
    auto out = std::make_unique<SimDisk>();
    out->folders_ = folders_;
    std::map<std::string, InodePtr> names = durable_names_;
    const uint64_t kept = random.below(pending_names_.size() + 1);
    for (uint64_t i = 0; i < kept; ++i) apply(names, pending_names_[i]);
    for (const auto& [path, inode] : names) {
        std::string data = inode->durable;
        const uint64_t mode = random.below(4);  // nothing, everything, whole writes, sectors
        for (const Change& change : inode->pending) {
            if (mode == 0) break;
            if (mode == 1 || change.is_truncate) {
                apply(data, change);
            } else if (mode == 2) {
                if (random.below(2) == 0) apply(data, change);
            } else {
                for (size_t at = 0; at < change.bytes.size();) {
                    const uint64_t begin = change.offset + at;
                    const size_t count = std::min<size_t>(kSectorBytes - begin % kSectorBytes,
                                                          change.bytes.size() - at);
                    const Change sector{false, begin, change.bytes.substr(at, count)};
                    if (random.below(3) != 0) apply(data, sector);
                    at += count;
                }
            }
        }
        out->names_[path] = std::make_shared<Inode>(Inode{data, data, {}});
    }
    out->durable_names_ = out->names_;
    return out;
}

std::unique_ptr<SimDisk> SimDisk::after_kill() const {
    auto out = std::make_unique<SimDisk>();
    out->folders_ = folders_;
    // What was not synced is still not: a power cut may follow.
    std::map<const Inode*, InodePtr> copies;
    const auto copy = [&](const InodePtr& inode) -> InodePtr {
        if (inode == nullptr) return nullptr;
        InodePtr& made = copies[inode.get()];
        if (made == nullptr) made = std::make_shared<Inode>(*inode);
        return made;
    };
    for (const auto& [path, inode] : names_) out->names_[path] = copy(inode);
    for (const auto& [path, inode] : durable_names_) out->durable_names_[path] = copy(inode);
    for (const NameChange& change : pending_names_) {
        out->pending_names_.push_back({change.path, copy(change.inode), change.from});
    }
    return out;
}

void SimDisk::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
    Inode& inode = *names_.at(path);
    inode.data[offset] = static_cast<char>(inode.data[offset] ^ (1 << bit));
    inode.durable = inode.data;
    inode.pending.clear();
}

std::vector<std::string> SimDisk::paths() const {
    std::vector<std::string> out;
    for (const auto& [path, inode] : names_) out.push_back(path);
    return out;
}

uint64_t SimDisk::bytes() const {
    uint64_t out = 0;
    for (const auto& [path, inode] : names_) out += inode->data.size();
    return out;
}

}  // namespace candela::bus_role
