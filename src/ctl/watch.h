#pragma once

// The verb `watch` (watch.cc).

#include "ctl/verb.h"

namespace candela::ctl {

Verb watch_verb();

}  // namespace candela::ctl
