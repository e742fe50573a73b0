#!/usr/bin/env python3
"""Writes a C++ source that holds an executable's bytes: embed.py EXECUTABLE SOURCE"""
import hashlib
import sys
from pathlib import Path

executable, source = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
digest = hashlib.sha256(executable.read_bytes()).hexdigest()
# The digest makes the source another one when the executable changes: compiler caches see no .incbin.
source.write_text(f'''#include "keeper_image.h"

__asm__(".section .rodata.keeper_image, \\"a\\"\\n"
        "keeper_image_begin_{digest}:\\n"
        ".incbin \\"{executable}\\"\\n"
        "keeper_image_end_{digest}:\\n"
        ".previous\\n");
extern const char keeper_image_begin[] __asm__("keeper_image_begin_{digest}");
extern const char keeper_image_end[] __asm__("keeper_image_end_{digest}");

namespace candela::host {{

std::string_view keeper_image() {{
    return std::string_view(keeper_image_begin, static_cast<size_t>(keeper_image_end - keeper_image_begin));
}}

}}  // namespace candela::host
''')
