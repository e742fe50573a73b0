// Candela's bus and nats-server by NATS's C client (Debian's libnats), with credentials that candela made and with some that
// npm made.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startParity } from './lib/parity.mjs';
import { ROOT, run } from './lib/program.mjs';

async function compile(dir, name) {
  const program = path.join(dir, name);
  const built = await run('cc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, path.join(ROOT, `tests/e2e/${name}.c`), '-lnats']);
  assert.equal(built.code, 0, built.stderr);
  return program;
}

test('libnats finds all that it needs', { timeout: 120_000 }, async (t) => {
  const servers = await startParity(t);
  const [candela] = servers;
  const { bus } = candela;
  const [core, streams] = await Promise.all(['bus_libnats', 'bus_libnats_streams'].map((name) => compile(bus.dir, name)));
  const creds = path.join(bus.dir, 'user.creds');
  fs.writeFileSync(creds, (await bus.mint()).creds);
  for (const server of servers) {
    for (const program of [core, streams]) {
      await t.test(`${server.name}: ${path.basename(program)}`, async () => {
        const ran = await run(program, [`nats://${server.address}`, creds]);
        assert.equal(ran.stdout, 'all well\n', ran.stderr);
        assert.equal(ran.code, 0);
      });
    }
  }
  await t.test('without rights to do any of it, the same program is let in and then stopped', async () => {
    const limited = await run(core, [`nats://${candela.address}`, path.join(bus.identity, 'creds/admin.creds')], { timeout: 30_000 });
    assert.equal(limited.code, 1);
  });
});
