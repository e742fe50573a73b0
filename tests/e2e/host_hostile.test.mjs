// A host whose disk is full, or rots, and that is exchanged under load: nothing that runs notices, and what can't be
// done is said.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { startHost } from './lib/host.mjs';
import { request } from './lib/http.mjs';
import { CANDELA, makeTempDir, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const isRoot = process.getuid() === 0;
const APP = `require('node:http').createServer((q, s) => s.end('well')).listen(process.env.PORT, process.env.HOST);`;
const web = (instance, bundle, more = {}) => ({ instance, command: ['node', 'app.js'], bundle, probe: { path: '/' }, ...more });

test('a disk that is full: what runs goes on and heals, nothing new is taken, and it is said', { timeout: 120_000, skip: !isRoot && 'only root can mount' }, async (t) => {
  const disk = makeTempDir('disk');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'none', disk]);
  const cleanUp = () => { execFileSync('umount', ['-l', disk]); fs.rmdirSync(disk); };
  const { cloud, own, lighthouse, start } = await startHost(t, { own: path.join(disk, 'data'), lines: 'disk_reserve = "2MiB"\nbundle_keep = "1h"' })
    .catch((error) => { cleanUp(); throw error; });
  t.after(cleanUp);  // behind the end of the nodes
  const small = lighthouse.add({ 'app.js': APP });
  const second = lighthouse.add({ 'app.js': `${APP}// second` });
  const unused = lighthouse.add({ 'app.js': APP, large: crypto.randomBytes(8 << 20) });
  const large = lighthouse.add({ 'app.js': APP, large: crypto.randomBytes(40 << 20) });

  // What nobody uses any more stays while there is room.
  await lighthouse.assign([web('web-1', small), web('old-1', unused)]);
  await lighthouse.reached('old-1', 'ready');
  const { pid } = await lighthouse.reached('web-1', 'ready');
  await lighthouse.assign([web('web-1', small)]);
  await until('old-1 to be gone', () => !lighthouse.instances()['old-1']);
  const bundles = () => fs.readdirSync(path.join(own, 'host/bundles')).filter((name) => /^[0-9a-f]{64}$/.test(name));
  assert.ok(bundles().includes(unused.digest));

  // A bundle for which there is no room is refused before it fills the disk; what nobody uses has gone for it.
  await lighthouse.assign([web('web-1', small), web('large-1', large)]);
  assert.match((await lighthouse.reached('large-1', 'failed')).cause, /no room on the disk for another bundle, which takes up to 80\.\d MiB: .* are free, and 2\.0 MiB stay so/);
  assert.deepEqual(bundles(), [small.digest]);
  assert.equal(lighthouse.trouble(), '');
  await lighthouse.assign([web('web-1', small)]);

  // Somebody else fills it to the last byte.
  const filler = fs.openSync(path.join(disk, 'filler'), 'w');
  for (const size of [1 << 20, 4096, 1]) {
    try {
      for (;;) fs.writeSync(filler, Buffer.alloc(size));
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    }
  }
  fs.closeSync(filler);
  await until('the trouble to be told', () => /the disk of .* is almost full: 0 B of 48\.0 MiB are free/.test(lighthouse.trouble()), { timeout: 15_000 });
  assert.match(cloud.node('host').output(), /error disk_low /);

  // What crashes is started again, and its end known.
  process.kill(pid, 'SIGKILL');
  const healed = await until('another process', () => {
    const now = lighthouse.instances()['web-1'];
    return now.state === 'ready' && now.pid !== pid && now;
  });
  assert.equal(healed.exitCode, 137);
  // Something new that needs no room of the disk.
  await lighthouse.assign([web('web-1', small), web('web-2', small), web('web-3', second)]);
  assert.match((await lighthouse.reached('web-3', 'failed')).cause, /no room on the disk|No space left/);
  // The host itself may be killed and started.
  await cloud.node('host').kill('SIGKILL');
  await start();
  const found = await lighthouse.reached('web-1', 'ready');
  assert.deepEqual([found.pid, found.restarts], [healed.pid, healed.restarts]);

  // Room again, and all is well by itself.
  fs.rmSync(path.join(disk, 'filler'));
  await until('the trouble to be over', () => lighthouse.trouble() === '', { timeout: 15_000 });
  for (const name of ['web-1', 'web-2', 'web-3']) await lighthouse.reached(name, 'ready', 40_000);
  await lighthouse.assign([]);
  await until('all to be gone', () => fs.readdirSync(path.join(own, 'host/run')).length === 0);
});

test('a bundle that rots on the disk is found out, fetched again, and runs', { timeout: 90_000 }, async (t) => {
  const { cloud, own, lighthouse, start } = await startHost(t);
  const bundle = lighthouse.add({ 'app.js': APP });
  await lighthouse.assign([web('web-1', bundle)]);
  const first = await lighthouse.reached('web-1', 'ready');
  const file = path.join(own, 'host/bundles', bundle.digest, 'app.js');
  const rot = async () => {
    await until('it to be on the disk', () => fs.existsSync(path.join(own, 'host/bundles', `${bundle.digest}.synced`)));
    fs.chmodSync(file, 0o644);
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, 'process.exit(3);//', 0);
    fs.closeSync(fd);
  };
  const fetched = () => lighthouse.reads.filter((read) => read.offset === 0).length;

  // By a new instance: the one that runs is left alone.
  await rot();
  assert.equal(fetched(), 1);
  await lighthouse.assign([web('web-1', bundle), web('web-2', bundle)]);
  await lighthouse.reached('web-2', 'ready');
  assert.equal(fetched(), 2);
  assert.match(cloud.node('host').output(), /error bundle_damaged .*its files (have changed|are not what they were)/);
  assert.equal(lighthouse.instances()['web-1'].pid, first.pid);

  // By one that can't start from it any more.
  const { pid } = lighthouse.instances()['web-2'];
  await rot();
  process.kill(pid, 'SIGKILL');
  const again = await until('another process', () => {
    const now = lighthouse.instances()['web-2'];
    return now.state === 'ready' && now.pid !== pid && now;
  });
  assert.equal(fetched(), 3);
  assert.ok(again.restarts >= 2);

  // By a host that starts, of what was written while none ran.
  await cloud.node('host').kill('SIGKILL');
  await rot();
  await start();
  await lighthouse.assign([web('web-1', bundle), web('web-2', bundle), web('web-3', bundle)]);
  await lighthouse.reached('web-3', 'ready');
  assert.equal(fetched(), 4);
  for (const name of ['web-1', 'web-2', 'web-3']) assert.equal((await request(lighthouse.instances()[name].port, '/')).text, 'well');
});

test('a host is exchanged for another executable under load: no request fails, and every end is known', { timeout: 120_000 }, async (t) => {
  // As a package does it: a new file takes the old one's name.
  const executable = path.join(tempDir(t, 'installed'), 'candela');
  const install = () => {
    fs.copyFileSync(CANDELA, `${executable}.new`);
    fs.chmodSync(`${executable}.new`, 0o755);
    fs.renameSync(`${executable}.new`, executable);
  };
  install();
  const { cloud, lighthouse, start } = await startHost(t, { how: { executable } });
  const bundle = lighthouse.add({ 'app.js': APP, 'index.html': 'static' });
  const stays = { instance: 'stays-1', kind: 'bus', command: ['sleep', '1000'], bundle, probe: {} };
  const ends = (name, code) => ({ instance: name, kind: 'job', command: ['sh', '-c', `sleep 1; exit ${code}`], bundle, probe: {} });
  const all = [web('web-1', bundle), { instance: 'site-1', kind: 'static', bundle, probe: { tcp: true } }, stays];
  await lighthouse.assign(all);
  const before = {};
  for (const { instance } of all) before[instance] = await lighthouse.reached(instance, 'ready');
  let goesOn = true;
  const failures = [];
  let answers = 0;
  const load = Promise.all(['web-1', 'site-1'].map(async (name) => {
    while (goesOn) {
      const answer = await request(before[name].port, '/').catch((error) => error);
      if (answer.status === 200) answers += 1;
      else failures.push(`${name}: ${answer.message ?? answer.status}`);
    }
  }));
  for (const [round, signal] of ['SIGTERM', 'SIGKILL', 'SIGTERM'].entries()) {
    const name = `ends-${round}`;
    all.push(ends(name, 40 + round));
    await lighthouse.assign(all);
    const { pid } = await until(`${name} to run`, () => lighthouse.instances()[name]?.pid && lighthouse.instances()[name]);
    install();
    if (signal === 'SIGKILL') await cloud.node('host').kill();
    else await cloud.node('host').stop();
    await until('it to end while no host runs', () => {
      try { process.kill(pid, 0); return fs.readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z '); } catch { return true; }
    });
    const until0 = answers;
    await until('answers without a host', () => answers > until0 + 20);
    await start({ executable });
    assert.equal((await lighthouse.reached(name, 'failed')).exitCode, 40 + round);
    for (const { instance } of all.slice(0, 3)) {
      const now = await lighthouse.reached(instance, 'ready');
      assert.deepEqual([now.pid, now.port, now.restarts], [before[instance].pid, before[instance].port, 0], instance);
    }
  }
  goesOn = false;
  await load;
  assert.deepEqual(failures, []);
});
