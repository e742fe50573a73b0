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
    }
    return true;
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
