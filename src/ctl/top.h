#pragma once

// `candela ctl top`.

#include "ctl/verb.h"

namespace candela::ctl {

Verb top_verb();

}  // namespace candela::ctl
