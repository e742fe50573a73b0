#include "base/secret.h"

#include <cstring>

namespace candela {

void Secret::wipe() {
    if (!value_.empty()) explicit_bzero(value_.data(), value_.size());
    value_.clear();
}

}  // namespace candela
