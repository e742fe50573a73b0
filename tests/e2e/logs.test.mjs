// Logs: what services write, found by level, time, text and trace, the gateway's lines with them; and followed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { request } from './lib/http.mjs';
import { CANDELA } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

// Each request makes a structured line at the level that the path names, with the trace of the request; "/plain" a
// plain one; "/secret" has a query that must be seen nowhere.
const APP = `const http = require('node:http');
const levels = { info: 30, warn: 40, error: 50 };
http.createServer((q, s) => {
  const { pathname } = new URL(q.url, 'http://x');
  const trace = (q.headers.traceparent ?? '').split('-')[1];
  const name = pathname.slice(1);
  if (name === 'plain') console.log('WARN plain trace_id=' + trace);
  else console.log(JSON.stringify({ level: levels[name] ?? 30, time: Date.now(), trace_id: trace, msg: 'at ' + name, answer: 42 }));
  s.statusCode = name === 'error' ? 500 : 200;
  s.end(trace);
}).listen(process.env.PORT, process.env.HOST);
`;

function service(t, name) {
  return makeService(t, name, `name = "${name}"
command = ["node", "app.js"]
[probe]
tcp = true
[[route]]
host = "${name}.localhost"
`, { 'app.js': APP });
}

const parsed = (stdout) => stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

test('logs of services', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', service(t, 'front')]);
  await cloud.ctl(['deploy', service(t, 'back')]);
  const get = (name, target, headers = {}) => request(cloud.gatewayPort, target, { host: `${name}.localhost`, headers });
  const logs = async (...words) => parsed((await cloud.ctl(['logs', ...words, '--json'])).stdout);
  const found = (what, count, ...words) => until(what, async () => {
    const lines = await logs(...words);
    return lines.length >= count && lines;
  }).catch((error) => { throw cloud.explain(error); });

  await t.test('one id finds every line of a request, the gateway\'s too', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    await get('front', '/info?password=hunter2', headers);
    await get('back', '/plain', headers);
    await get('back', '/info');
    const lines = await found('four lines', 4, '--trace', trace);
    assert.deepEqual(lines.map(({ service: from, stream }) => `${from} ${stream}`).sort(),
      ['back access', 'back stdout', 'front access', 'front stdout']);
    assert.ok(lines.every((line) => line.trace_id === trace));
    const access = lines.find(({ service: from, stream }) => from === 'front' && stream === 'access');
    assert.equal(access.fields.path, '/info');
    assert.equal(access.fields.status, 200);
    assert.equal(access.fields.instance, lines.find(({ service: from, stream }) => from === 'front' && stream === 'stdout').instance);
    assert.doesNotMatch(JSON.stringify(lines), /hunter2/);
    // A traceparent as it stands in a header is understood as well, and people read it in the order of time.
    const text = (await cloud.ctl(['logs', '--trace', headers.traceparent])).stdout;
    assert.match(text, /^\S+Z front-\S+ INFO {2}at info answer=42$/m);
    assert.match(text, /^\S+Z front gateway GET front\.localhost\/info 200 \d+\.\d ms$/m);
    assert.match(text, /^\S+Z back-\S+ WARN plain trace_id=/m);
  });

  await t.test('a request without a trace gets one, by which its lines are found', async () => {
    const { text: trace } = await get('front', '/error');
    assert.match(trace, /^[0-9a-f]{32}$/);
    const lines = await found('two lines', 2, '--trace', trace);
    assert.deepEqual(lines.map(({ stream, level }) => `${stream} ${level}`).sort(), ['access error', 'stdout error']);
  });

  await t.test('by level, text, time, release and instance', async () => {
    await get('back', '/warn');
    await found('the warning', 1, 'back', '--grep', 'at warn');
    const levels = await logs('back', '--level', 'warn');
    assert.deepEqual([...new Set(levels.map(({ level }) => level))], ['warn']);
    assert.equal(levels.length, 2);  // a plain and a structured one
    assert.deepEqual((await logs('back', '--grep', 'answer":42')).length, 2);
    assert.deepEqual(await logs('back', '--until', '1h'), []);
    assert.ok((await logs('back', '--since', '1h')).length >= 3);
    assert.deepEqual(await logs('back', '--since', new Date(Date.now() + 60_000).toISOString()), []);
    assert.deepEqual(await logs('back', '--release', '7'), []);
    assert.ok((await logs('back', '--release', '1')).length >= 3);
    const [{ instance }] = levels;
    assert.ok((await logs('--instance', instance)).every((line) => line.instance === instance));
    const one = levels.find(({ message }) => message === 'at warn');
    assert.equal(one.fields.answer, 42);
    assert.match(one.text, /^\{"level":40/);
    const everything = await logs('--access');
    assert.deepEqual([...new Set(everything.map((line) => line.service))].sort(), ['back', 'front']);
  });

  await t.test('what makes no sense is a usage error that says what does', async () => {
    for (const [words, wanted] of [
      [['--since', 'yesterday'], /--since.*15m/], [['--until', '5'], /--until/], [['--level', 'loud'], /--level.*warn/],
      [['--trace', 'a b'], /trace/], [['--release', 'x'], /release|number/i],
    ]) {
      const refused = await cloud.ctl(['logs', ...words], { ok: false });
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, wanted);
    }
  });

  await t.test('who follows sees a line within a tenth of a second', async () => {
    const following = spawn(CANDELA, ['ctl', 'logs', 'front', '-f', '--tail', '0', '--json'], {
      env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address }, stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((done) => { following.on('exit', done); });
    t.after(async () => { following.kill(); await ended; });
    let text = '';
    const seen = new Map();
    following.stdout.on('data', (piece) => {
      text += piece;
      for (const line of text.split('\n').slice(0, -1)) {
        const { time, message } = JSON.parse(line);
        if (!seen.has(time + message)) seen.set(time + message, Date.now() - Date.parse(time));
      }
    });
    await until('the follower to follow', async () => {
      await get('front', '/first');
      return seen.size > 0;
    });
    const before = seen.size;
    for (let i = 1; i <= 20; i += 1) {
      await get('front', `/line-${i}`);
      await until('the line', () => seen.size >= before + i, { every: 5 });
    }
    const delays = [...seen.values()].sort((a, b) => a - b);
    // Of a busy machine some are later; the bench has the figure.
    assert.ok(delays[Math.floor(delays.length / 2)] <= 100, `${delays}`);
  });

  await t.test('metrics say what logs take', async () => {
    const { text } = await request(cloud.ports.node, '/metrics');
    for (const name of ['lighthouse_log_bytes', 'lighthouse_log_lines', 'lighthouse_log_lines_lost', 'host_log_lines_dropped', 'host_log_buffer_bytes', 'gateway_log_lines_dropped']) {
      assert.match(text, new RegExp(`^candela_${name} \\d`, 'm'), name);
    }
  });

  await t.test('a deleted service takes its logs with it', async () => {
    await cloud.ctl('delete back');
    const folder = path.join(cloud.dataDir, 'lighthouse/logs/default');
    await until('the files to be gone', () => !fs.existsSync(path.join(folder, 'back')) && !fs.existsSync(path.join(folder, 'back@access')));
    assert.ok(fs.existsSync(path.join(folder, 'front')));
  });
});
