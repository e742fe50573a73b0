// Jobs: by hand and by schedule, retried, cancelled, over restarts; each run as often as it was decided.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const job = (name, script, more = '') => `
[[job]]
name = "${name}"
command = ["sh", "-c", ${JSON.stringify(script)}, "${name}"]
${more}`;

test('jobs', { timeout: 240_000 }, async (t) => {
  const cloud = await startDev(t);
  const marks = tempDir(t, 'marks');
  const mark = (name) => path.join(marks, name);
  const dir = makeService(t, 'shop', `
name = "shop"
kind = "job"
${job('hello', 'echo "hello $1 and $2"; echo "run $CANDELA_JOB_RUN attempt $CANDELA_JOB_ATTEMPT of $CANDELA_JOB" >&2')}
${job('bad', 'echo trying; exit 7', 'retries = 2\nbackoff = "100ms"')}
${job('slow', 'echo started; exec sleep 600')}
${job('quick', 'exec sleep 600', 'timeout = "1s"')}
${job('tick', 'echo "$CANDELA_JOB_SCHEDULED_AT"', 'schedule = "* * * * *"\ntime_zone = "Asia/Tokyo"')}
${job('nightly', 'true', 'schedule = "30 2 * * *"\ntime_zone = "Europe/Berlin"\noverlap = "replace"')}
`);
  const history = async (name) => (await cloud.ctlJson(['jobs', 'history', name])).runs;
  await cloud.ctl(['deploy', dir]);

  await t.test('mistakes in a job are shown with their places', async () => {
    const bad = makeService(t, 'bad', `name = "bad"\nkind = "job"\n[[job]]\nname = "a"\ncommand = ["true"]\nschedule = "61 * * * *"\n`);
    const refused = await cloud.ctl(['deploy', bad], { ok: false });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /service\.toml:6:\d+: error: "61" is no minute: 0 to 59/);
    const zone = makeService(t, 'zone', `name = "zone"\nkind = "job"\n[[job]]\nname = "a"\ncommand = ["true"]\nschedule = "@daily"\ntime_zone = "Mars/Olympus"\n`);
    const unknown = await cloud.ctl(['deploy', zone], { ok: false });
    assert.match(unknown.stderr, /knows no such time zone/);
    assert.match((await cloud.ctlJson(['plan', zone], { ok: false })).problems.join(), /Mars\/Olympus/);
  });

  await t.test('the list has schedules and next times', async () => {
    const { jobs } = await cloud.ctlJson(['jobs', 'list']);
    assert.deepEqual(jobs.map((each) => each.job), ['bad', 'hello', 'nightly', 'quick', 'slow', 'tick']);
    const nightly = jobs.find((each) => each.job === 'nightly');
    const at = new Date(nightly.next_at).toLocaleTimeString('de', { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit' });
    assert.equal(at, '02:30');
    assert.match((await cloud.ctl('jobs list')).stdout, /shop\/nightly +30 2 \* \* \* +Europe\/Berlin +in \d+/);
  });

  await t.test('a run by hand shows its lines and takes arguments', async () => {
    const ran = await cloud.ctl(['jobs', 'run', 'hello', '--', 'this', '--that one']);
    assert.equal(ran.stdout, 'hello this and --that one\n');
    assert.match(ran.stderr, /run 1 attempt 1 of hello/);
    const shown = await cloud.ctlJson(['jobs', 'show', 'shop/hello', '1']);
    assert.deepEqual([shown.state, shown.exit_code, shown.arguments], ['done', 0, ['this', '--that one']]);
    assert.match((await cloud.ctl('jobs show hello')).stdout, /shop\/hello run 1: done/);
  });

  await t.test('the exit status is carried, after all attempts', async () => {
    const ran = await cloud.ctl('jobs run bad', { ok: false });
    assert.equal(ran.code, 7);
    assert.equal(ran.stdout, 'trying\ntrying\ntrying\n');
    const [last] = await history('bad');
    assert.deepEqual([last.state, last.attempts, last.exit_code, last.cause], ['failed', 3, 7, 'exit code 7']);
  });

  await t.test('a run goes on detached, forbids another, and is cancelled', async () => {
    const { run: number } = await cloud.ctlJson(['jobs', 'run', 'slow', '--detach', '--idempotency-key', 'a']);
    assert.equal((await cloud.ctlJson(['jobs', 'run', 'slow', '--detach', '--idempotency-key', 'a'])).run, number);
    const second = await cloud.ctl('jobs run slow', { ok: false });
    assert.equal(second.code, 5);
    assert.match(second.stderr, /has not ended, and the job forbids another one/);
    await until('it to run', async () => (await cloud.ctl('logs shop')).stdout.includes('started'));
    const late = await cloud.ctl(['jobs', 'run', 'slow', '--idempotency-key', 'a', '--timeout', '300ms'], { ok: false });
    assert.equal(late.code, 7);
    await cloud.ctl('jobs cancel slow');
    await until('its end', async () => (await history('slow'))[0].state === 'cancelled');
    assert.equal((await cloud.ctl('jobs cancel slow', { ok: false })).code, 5);
    assert.deepEqual((await cloud.instances('shop')).map((each) => each.job), []);
  });

  await t.test('what takes too long is stopped', async () => {
    const ran = await cloud.ctl('jobs run quick', { ok: false });
    assert.notEqual(ran.code, 0);
    assert.equal((await history('quick'))[0].cause, 'timed out after 1s');
  });

  await t.test('wrong names get the right hint', async () => {
    const wrong = await cloud.ctl('jobs run helo', { ok: false });
    assert.equal(wrong.code, 3);
    assert.match(wrong.stderr, /did you mean/);
    assert.equal((await cloud.ctl('jobs show hello 99', { ok: false })).code, 3);
    assert.equal((await cloud.ctl('jobs run', { ok: false })).code, 2);
  });

  await t.test('a schedule runs each time once, over a lighthouse that is killed', async () => {
    const due = await until('the time to come', async () => (await history('tick'))[0], { timeout: 70_000, every: 200 });
    assert.match(due.scheduled_at, /:00\.000Z$/);
    await until('it to be done', async () => (await history('tick')).every((each) => each.state === 'done'));
    await cloud.node('dev').kill();
    await cloud.startDev();
    const after = await history('tick');
    const times = after.map((each) => each.scheduled_at);
    assert.equal(new Set(times).size, times.length);
    // What the lighthouse had not taken yet comes from the host's disk.
    const lines = await until('its line', async () => {
      const found = (await cloud.ctl('logs shop')).stdout.split('\n').filter((line) => line.includes(due.scheduled_at));
      return found.length > 0 && found;
    });
    assert.equal(lines.length, 1, lines.join('\n'));
  });

  await t.test('a paused schedule lets its times pass', async () => {
    await cloud.ctl('jobs pause tick');
    assert.match((await cloud.ctl('jobs list')).stdout, /shop\/tick .* paused/);
    await cloud.ctl('jobs resume tick');
    const { jobs } = await cloud.ctlJson(['jobs', 'list', 'shop']);
    assert.ok(jobs.find((each) => each.job === 'tick').next_at);
  });

  await t.test('a host that is killed in the middle of an attempt has failed it', async () => {
    const file = mark('lost');
    const other = makeService(t, 'lossy', `name = "lossy"\nkind = "job"\n${job('lossy', `echo once >> ${file}; exec sleep 600`)}`);
    await cloud.ctl(['deploy', other]);
    await cloud.ctl('jobs run lossy --detach');
    await until('it to run', async () => (await cloud.instances('lossy')).some((each) => each.state === 'ready'));
    await cloud.node('dev').kill();
    await cloud.startDev();
    const ended = await until('its end', async () => {
      const [last] = await history('lossy');
      return last.state === 'failed' && last;
    });
    assert.equal(ended.attempts, 1);
    assert.match(ended.cause, /its host ended while it ran|signal 9/);
  });

  await t.test('everything is in the audit log, and viewers start nothing', async () => {
    const { audit } = await cloud.ctlJson(['audit', 'list', '--count', '1000']);
    const started = audit.find((entry) => entry.action === 'POST /v1/spaces/default/services/shop/jobs/hello/runs');
    assert.deepEqual([started.outcome, started.detail], ['done', 'run 1']);
    const vera = path.join(marks, 'vera.creds');
    await cloud.ctl(['keys', 'create', 'vera', '--role', 'viewer', '--out', vera]);
    const remote = ['--address', `https://127.0.0.1:${7400 + cloud.offset}`, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt'), '--creds', vera];
    assert.equal((await cloud.ctl(['jobs', 'list', ...remote])).code, 0);
    assert.equal((await cloud.ctl(['jobs', 'run', 'hello', ...remote], { ok: false })).code, 4);
  });

  await t.test('a job gets secrets, the newest with its next run', async () => {
    await cloud.ctl('secrets set token', { input: 'one' });
    const keeper = makeService(t, 'keeper', `name = "keeper"\nkind = "job"\n[[secret]]\nname = "token"\n${job('say', 'test "$token" = "$1"')}`);
    await cloud.ctl(['deploy', keeper]);
    await cloud.ctl(['jobs', 'run', 'say', '--', 'one']);
    await cloud.ctl('secrets set token', { input: 'two' });
    await cloud.ctl(['jobs', 'run', 'say', '--', 'two']);
  });

  await t.test('jobs go with their service', async () => {
    await cloud.ctl('delete shop');
    await until('the jobs to go', async () => !(await cloud.ctlJson(['jobs', 'list'])).jobs.some((each) => each.service === 'shop'));
  });
});
