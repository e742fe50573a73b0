// Candela's bus and nats-server by NATS's Go client, from Debian's packages of Go libraries: nothing is fetched.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startParity } from './lib/parity.mjs';
import { ROOT, run } from './lib/program.mjs';

test('the Go client finds all that it needs', { timeout: 120_000 }, async (t) => {
  const servers = await startParity(t);
  const [{ bus }] = servers;
  const program = path.join(bus.dir, 'bus_go');
  // A cache that lasts: the client's compilation takes longer than the test.
  const env = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '', GOCACHE: path.join(ROOT, 'build/go-cache') };
  const built = await run('go', ['build', '-o', program, path.join(ROOT, 'tests/e2e/bus_go.go')], { env, timeout: 100_000 });
  assert.equal(built.code, 0, built.stderr);
  const creds = path.join(bus.dir, 'go.creds');
  fs.writeFileSync(creds, await servers[0].plainUser('default'), { mode: 0o600 });
  for (const server of servers) {
    await t.test(server.name, async () => {
      const ran = await run(program, [`nats://${server.address}`, creds]);
      assert.equal(ran.stdout, 'all well\n', ran.stderr.slice(0, 2000));
      assert.equal(ran.code, 0);
    });
  }
});
