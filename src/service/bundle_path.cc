#include "service/bundle_path.h"

#include <algorithm>

#include "base/text.h"

namespace candela::service {

Result<std::string> normal_entry_path(std::string_view name, const BundleLimits& limits) {
    if (name.size() > limits.path_length_max) {
        return fail(Code::kExhausted, "\"{}\": a name of {} bytes; at most {} are allowed",
                    printable(name), name.size(), limits.path_length_max);
    }
    if (name.empty() || name.starts_with('/') || name.find('\0') != std::string_view::npos ||
        !is_valid_utf8(name)) {
        return fail(Code::kInvalid, "\"{}\" is not a relative name in UTF-8", printable(name));
    }
    std::string normal;
    size_t depth = 0;
    for (const std::string_view part : split(name, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == "..") return fail(Code::kInvalid, "\"{}\" leads upwards", printable(name));
        if (part.size() > 255) {
            return fail(Code::kExhausted, "\"{}\": a part of the name has more than 255 bytes",
                        printable(name));
        }
        if (!normal.empty()) normal += '/';
        normal += part;
        ++depth;
    }
    if (depth > limits.depth_max) {
        return fail(Code::kExhausted, "\"{}\" is {} folders deep; at most {} are allowed",
                    printable(name), depth, limits.depth_max);
    }
    return normal;
}

Result<> check_link_target(std::string_view link, std::string_view target,
                           const BundleLimits& limits) {
    if (target.empty() || target.size() > limits.path_length_max ||
        target.find('\0') != std::string_view::npos || !is_valid_utf8(target)) {
        return fail(Code::kInvalid, "\"{}\" is a link with a malformed target", printable(link));
    }
    if (target.starts_with('/')) {
        return fail(Code::kInvalid, "\"{}\" is a link to the absolute path \"{}\"", printable(link),
                    printable(target));
    }
    auto levels = std::count(link.begin(), link.end(), '/');
    bool has_name = false;
    for (const std::string_view part : split(target, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            has_name = true;
            continue;
        }
        if (has_name) {
            return fail(Code::kInvalid,
                        "\"{}\" is a link to \"{}\", which has \"..\" after a name; "
                        "write its target in its shortest form",
                        printable(link), printable(target));
        }
        if (--levels < 0) {
            return fail(Code::kInvalid, "\"{}\" is a link to \"{}\", outside of the bundle",
                        printable(link), printable(target));
        }
    }
    return {};
}

}  // namespace candela::service
