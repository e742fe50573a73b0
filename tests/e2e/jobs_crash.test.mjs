// Whatever is killed in the middle of a run, the run is neither lost nor made twice: every role on a machine of its own.

import assert from 'node:assert/strict';
import test from 'node:test';
import { makeService } from './lib/cloud.mjs';
import { startScattered } from './lib/scattered.mjs';
import { sleep, until } from './lib/wait.mjs';

const MANIFEST = `
name = "shop"
kind = "job"
[[job]]
name = "long"
command = ["sh", "-c", 'echo "begin $CANDELA_JOB_RUN $CANDELA_JOB_ATTEMPT"; sleep 4; echo "end $CANDELA_JOB_RUN"']
[[job]]
name = "short"
command = ["sh", "-c", 'echo "short $CANDELA_JOB_RUN"']
overlap = "allow"
[[job]]
name = "again"
command = ["sh", "-c", 'echo "again $CANDELA_JOB_ATTEMPT"; test "$CANDELA_JOB_ATTEMPT" = 2 || exec sleep 600']
retries = 1
backoff = "100ms"
`;

const skip = process.getuid() !== 0 && 'needs root, for network namespaces';

test('runs and kills', { skip, timeout: 240_000 }, async (t) => {
  const cloud = await startScattered(t);
  await cloud.ctl(['deploy', makeService(t, 'shop', MANIFEST)]);
  const lines = async () => (await cloud.ctl(['logs', 'shop', '--tail', '1000'])).stdout.split('\n');
  const count = async (text) => (await lines()).filter((line) => line.endsWith(text)).length;
  const runs = async (job) => (await cloud.ctlJson(['jobs', 'history', job])).runs;
  const show = (job, number) => cloud.ctlJson(['jobs', 'show', job, String(number)]);
  const answers = () => until('the lighthouse', async () => (await cloud.ctl('nodes', { ok: false })).code === 0);
  const hostOf = async (instance) => (await cloud.instances('shop')).find((each) => each.id === instance).node;

  for (const role of ['lighthouse', 'host', 'bus']) {
    await t.test(`${role} is killed in the middle of a run and comes back: it is made once`, async () => {
      const { run } = await cloud.ctlJson(['jobs', 'run', 'long', '--detach']);
      await until('it to begin', () => count(`begin ${run} 1`));
      const name = role === 'host' ? await hostOf((await show('long', run)).instance) : role;
      await cloud.node(name).kill();
      await cloud.startRole(name);
      await answers();
      const ended = await until('its end', async () => {
        const shown = await show('long', run);
        return shown.state !== 'running' && shown;
      });
      assert.deepEqual([ended.state, ended.attempts, ended.exit_code], ['done', 1, 0], JSON.stringify(ended));
      await until('its last line', () => count(`end ${run}`));
      assert.deepEqual([await count(`begin ${run} 1`), await count(`end ${run}`)], [1, 1]);
    });
  }

  await t.test('a lighthouse that is killed at any moment of a start loses no run that it confirmed and makes none twice', async () => {
    const confirmed = [];
    for (let round = 0; round < 5; round += 1) {
      const asked = [1, 2, 3].map(() => cloud.ctl(['jobs', 'run', 'short', '--detach', '--json'], { ok: false }));
      await sleep(round * 30);
      await cloud.node('lighthouse').kill();
      for (const { code, stdout } of await Promise.all(asked)) if (code === 0) confirmed.push(JSON.parse(stdout).run);
      await cloud.startRole('lighthouse');
      await answers();
    }
    await until('all ends', async () => (await runs('short')).every((each) => each.state === 'done'));
    const known = (await runs('short')).map((each) => each.run);
    for (const run of confirmed) assert.ok(known.includes(run), `run ${run} is lost`);
    for (const run of known) {
      await until(`the line of ${run}`, () => count(`short ${run}`));
      assert.equal(await count(`short ${run}`), 1, `run ${run}`);
    }
  });

  await t.test('a host that stays away has failed its attempt: the next one is made elsewhere', async () => {
    const { run } = await cloud.ctlJson(['jobs', 'run', 'again', '--detach']);
    await until('it to begin', () => count('again 1'));
    const name = await hostOf((await show('again', run)).instance);
    await cloud.node(name).kill();
    const ended = await until('its end', async () => {
      const shown = await show('again', run);
      return shown.state === 'done' && shown;
    });
    assert.equal(ended.attempts, 2);
    await cloud.startRole(name);
    // What it finds there is not wanted any more, and ends.
    await until('the first one to be gone', async () => (await cloud.instances('shop')).length === 0);
    assert.equal(await count('again 2'), 1);
  });
});
