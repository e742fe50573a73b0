#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace candela {

std::string_view to_string(Code code) {
    switch (code) {
        case Code::kInvalid: return "invalid";
        case Code::kNotFound: return "not_found";
        case Code::kDenied: return "denied";
        case Code::kConflict: return "conflict";
        case Code::kUnreachable: return "unreachable";
        case Code::kTimeout: return "timeout";
        case Code::kCancelled: return "cancelled";
        case Code::kExhausted: return "exhausted";
        case Code::kCorrupt: return "corrupt";
        case Code::kUnsupported: return "unsupported";
        case Code::kIo: return "io";
        case Code::kInternal: return "internal";
    }
    return "internal";
}

static Code code_of_errno(int errno_value) {
    switch (errno_value) {
        case ENOENT: return Code::kNotFound;
        case EACCES:
        case EPERM: return Code::kDenied;
        case EEXIST:
        case EADDRINUSE: return Code::kConflict;
        case ECONNREFUSED:
        case ECONNRESET:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EPIPE: return Code::kUnreachable;
        case ETIMEDOUT: return Code::kTimeout;
        case ECANCELED: return Code::kCancelled;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOSPC:
        case EDQUOT: return Code::kExhausted;
        default: return Code::kIo;
    }
}

Error Error::system(std::string_view what, int errno_value) {
    return Error(code_of_errno(errno_value),
                 fmt::format("{}: {}", what, std::generic_category().message(errno_value)),
                 errno_value);
}

}  // namespace candela
