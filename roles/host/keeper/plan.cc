#include "keeper/plan.h"

#include <cstring>

#include "keeper/wire.h"

namespace candela::keeper {

namespace {

bool read_number(const char* bytes, size_t size, uint32_t& out) {
    if (size != sizeof(out)) return false;
    memcpy(&out, bytes, sizeof(out));
    return true;
}

bool is_text(const char* bytes, size_t size) {
    return size > 0 && memchr(bytes, '\0', size) == bytes + size - 1;
}

// What stands in front of the text of an entry.
template <class Front>
bool read_front(char*& bytes, uint32_t& size, Front& front) {
    if (size < sizeof(front)) return false;
    memcpy(&front, bytes, sizeof(front));
    bytes += sizeof(front);
    size -= static_cast<uint32_t>(sizeof(front));
    return true;
}

bool read_furniture(Entry entry, char* bytes, uint32_t size, Sandbox& sandbox) {
    if (sandbox.furniture_count == Sandbox::kFurnitureMax) return false;
    Furniture& piece = sandbox.furniture[sandbox.furniture_count++];
    piece.kind = entry;
    if (entry == Entry::kDevices || entry == Entry::kProc) return size == 0;
    if (entry == Entry::kTmpfs && !read_front(bytes, size, piece.size_bytes)) return false;
    piece.path = bytes;
    if (entry != Entry::kFile) return is_text(bytes, size) && bytes[0] == '/';
    const char* const end = static_cast<const char*>(memchr(bytes, '\0', size));
    if (end == nullptr || bytes[0] != '/') return false;
    piece.content = end + 1;
    piece.size_bytes = static_cast<uint64_t>(bytes + size - piece.content);
    return true;
}

bool read_walls(Entry entry, char* bytes, uint32_t size, Sandbox& sandbox) {
    switch (entry) {
        case Entry::kNamespaces: return read_number(bytes, size, sandbox.namespaces);
        case Entry::kHostName: sandbox.host_name = bytes; return is_text(bytes, size);
        case Entry::kReadOnly:
        case Entry::kWritable:
        case Entry::kTmpfs:
        case Entry::kFile:
        case Entry::kFolder:
        case Entry::kDevices:
        case Entry::kProc: return read_furniture(entry, bytes, size, sandbox);
        case Entry::kIds: {
            uint32_t ids[2];
            if (!read_front(bytes, size, ids) || size != 0) return false;
            sandbox.has_ids = true;
            sandbox.uid = ids[0];
            sandbox.gid = ids[1];
            return true;
        }
        case Entry::kConfined: sandbox.is_confined = true; return true;
        case Entry::kLimit: {
            if (sandbox.limits_count == Sandbox::kLimitsMax) return false;
            struct {
                uint32_t resource, zero;
                uint64_t soft, hard;
            } limit;
            if (!read_front(bytes, size, limit) || size != 0) return false;
            sandbox.limits[sandbox.limits_count++] = {limit.resource, limit.soft, limit.hard};
            return true;
        }
        case Entry::kOomScore: {
            uint32_t score = 0;
            if (!read_number(bytes, size, score)) return false;
            sandbox.oom_score = static_cast<int32_t>(score);
            return true;
        }
        case Entry::kSeccomp:
            sandbox.seccomp = bytes;
            sandbox.seccomp_size = size;
            return size > 0 && size % 8 == 0;
        case Entry::kLandlock:
            if (size == 0 || size > sizeof(sandbox.landlock) || size % 8 != 0) return false;
            memcpy(sandbox.landlock, bytes, size);
            sandbox.landlock_size = size;
            return true;
        case Entry::kLandlockRule: {
            if (sandbox.landlock_rules_count == Sandbox::kLandlockRulesMax) return false;
            LandlockRule& rule = sandbox.landlock_rules[sandbox.landlock_rules_count++];
            if (!read_front(bytes, size, rule.access)) return false;
            rule.path = bytes;
            return is_text(bytes, size);
        }
        case Entry::kCgroup: sandbox.cgroup = bytes; return is_text(bytes, size);
        default: return false;
    }
}

bool read_entry(Entry entry, char* bytes, uint32_t size, Plan& plan, size_t& arguments,
                size_t& variables) {
    switch (entry) {
        case Entry::kArgument:
            if (!is_text(bytes, size) || arguments == Plan::kArgumentsMax) return false;
            plan.arguments[arguments++] = bytes;
            return true;
        case Entry::kVariable:
            if (!is_text(bytes, size) || variables == Plan::kVariablesMax) return false;
            plan.environment[variables++] = bytes;
            return true;
        case Entry::kDirectory: plan.directory = bytes; return is_text(bytes, size);
        case Entry::kExecutable: plan.executable = bytes; return is_text(bytes, size);
        case Entry::kNote:
            plan.note = bytes;
            plan.note_size = size;
            return size <= kNoteSizeMax;
        case Entry::kEndWithHost: plan.ends_with_host = true; return true;
        case Entry::kGraceMs: return read_number(bytes, size, plan.grace_ms);
        case Entry::kOuterPort: return read_number(bytes, size, plan.outer_port);
        case Entry::kInnerPort: return read_number(bytes, size, plan.inner_port);
        default: return read_walls(entry, bytes, size, plan.sandbox);
    }
}

}  // namespace

bool read_plan(char* bytes, size_t size, Plan& plan) {
    size_t arguments = 0;
    size_t variables = 0;
    while (size > 0) {
        EntryHead head;
        if (size < sizeof(head)) return false;
        memcpy(&head, bytes, sizeof(head));
        bytes += sizeof(head);
        size -= sizeof(head);
        if (head.size > size) return false;
        if (!read_entry(static_cast<Entry>(head.entry), bytes, head.size, plan, arguments,
                        variables)) {
            return false;
        }
        bytes += head.size;
        size -= head.size;
    }
    return arguments > 0;
}

}  // namespace candela::keeper
