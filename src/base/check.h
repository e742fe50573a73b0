#pragma once

// CANDELA_CHECK(condition) is for what must not happen: it ends the process, in release builds too,
// and says where. Bad input is never a CANDELA_CHECK; it is a Result.

namespace candela {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace candela

#define CANDELA_CHECK(condition)                                     \
    do {                                                             \
        if (!(condition)) [[unlikely]]                               \
            ::candela::check_failed(#condition, __FILE__, __LINE__); \
    } while (false)
