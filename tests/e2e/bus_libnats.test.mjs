// The bus, by NATS's C client (Debian's libnats), with credentials that candela made and with some that npm made.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startBus } from './lib/bus.mjs';
import { ROOT, run } from './lib/program.mjs';

test('libnats finds all that it needs', async (t) => {
  const bus = await startBus(t);
  const program = path.join(bus.dir, 'bus_libnats');
  const built = await run('cc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, path.join(ROOT, 'tests/e2e/bus_libnats.c'), '-lnats']);
  assert.equal(built.code, 0, built.stderr);
  const creds = path.join(bus.dir, 'user.creds');
  fs.writeFileSync(creds, (await bus.mint()).creds);
  const ran = await run(program, [`nats://${bus.address}`, creds]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stdout, 'all well\n');
  // Without rights to do any of it, the same program is let in and then stopped.
  const limited = await run(program, [`nats://${bus.address}`, path.join(bus.identity, 'creds/admin.creds')], { timeout: 30_000 });
  assert.equal(limited.code, 1);
});
