// Profiles for tests, made from those in config/ by giving keys other values: what the files show is what
// runs. A key that a file does not mention, written out or commented, is an error: config/ shows every key.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT } from './program.mjs';

// `values` is {section: {key: value}}; returns the profile's text.
export function profileFrom(file, values) {
  const lines = fs.readFileSync(path.join(ROOT, 'config', file), 'utf8').split('\n');
  for (const [section, keys] of Object.entries(values)) {
    for (const [key, value] of Object.entries(keys)) {
      let current = '';
      const at = lines.findIndex((line) => {
        const header = line.match(/^#? ?\[+([\w.]+)\]+\s*(#.*)?$/);
        if (header) current = header[1];
        return current === section && new RegExp(`^#? ?${key}\\s*=`).test(line);
      });
      if (at < 0) throw new Error(`config/${file} does not show the key ${section}.${key}`);
      lines[at] = `${key} = ${JSON.stringify(value)}`;
      // The section's own header may be commented out, too.
      for (let above = at; above >= 0; above -= 1) {
        const header = lines[above].match(/^# ?(\[+[\w.]+\]+)/);
        if (/^\[/.test(lines[above])) break;
        if (header) { [, lines[above]] = header; break; }
      }
    }
  }
  return lines.join('\n');
}
