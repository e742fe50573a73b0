#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace candela {

void check_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "candela: internal error: %s does not hold (%s:%d)\n", expression, file,
                 line);
    std::abort();
}

}  // namespace candela
