// ./dev bench hosts [--hosts N]: what a lighthouse takes with 2,000 hosts that say each second how they are, over a real
// bus in a process of its own, with 10,000 instances placed on them; and while a service moves from release to release.

import fs from 'node:fs';
import path from 'node:path';
import { Cloud, makeService } from '../e2e/lib/cloud.mjs';
import { freePort } from '../e2e/lib/ports.mjs';
import { CANDELA, Program, run } from '../e2e/lib/program.mjs';
import { sleep, until } from '../e2e/lib/wait.mjs';
import { cpuOf, ROOT } from './http/machine.mjs';

const [, , option, value] = process.argv;
if (option !== undefined && (option !== '--hosts' || !(Number(value) > 0))) {
  console.error('usage: ./dev bench hosts [--hosts N]');
  process.exit(2);
}
const HOSTS = value === undefined ? 2000 : Number(value);
const SERVICES = 50;
const EACH = 200;
const SECONDS = 15;

const endings = [];
const t = { after: (what) => endings.push(what), signal: undefined };
const rss = (pid) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;

try {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  if ((await run(CANDELA, ['init', '--data-dir', data])).code !== 0) throw new Error('candela init');
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const ports = { bus: await freePort(), busNode: await freePort(), node: await freePort(), api: await freePort() };
  const profile = (name, endpoint, more) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, `[node]\nname = "${name}"\nroles = ["${name}"]\ndata_dir = "${data}"\nendpoint = "127.0.0.1:${endpoint}"
workers = 1\nlog_level = "warn"\n${more}`);
    return file;
  };
  cloud.start('bus', ['node', '--config', profile('bus', ports.busNode, `[bus]\nlisten = "127.0.0.1:${ports.bus}"\n`)]);
  await cloud.ready('bus', ports.busNode);
  cloud.start('lighthouse', ['node', '--config', profile('lighthouse', ports.node,
    `[bus]\nurl = "127.0.0.1:${ports.bus}"\n[lighthouse]\nlisten = "127.0.0.1:${ports.api}"\n`)]);
  await cloud.ready('lighthouse', ports.node);
  const { pid } = cloud.node('lighthouse');

  const log = path.join(cloud.dir, 'hosts.log');
  const hosts = new Program(path.join(ROOT, 'build/tests/bench/bench-hosts-load'),
    [`127.0.0.1:${ports.bus}`, path.join(data, 'identity/creds/host.creds'), String(HOSTS)], { name: 'hosts', log });
  t.after(() => hosts.kill());
  await until('all hosts', () => /connected/.test(fs.readFileSync(log, 'utf8')), { timeout: 120_000, every: 100 });
  await until('all hosts to be known', async () => (await cloud.ctlJson('status')).nodes?.length >= HOSTS
    || (await cloud.ctlJson('nodes list')).nodes.length >= HOSTS, { timeout: 60_000, every: 500 });
  const table = [];
  const measure = async (work, seconds = SECONDS) => {
    const before = cpuOf(pid);
    const began = performance.now();
    await sleep(seconds * 1000);
    const cores = (cpuOf(pid) - before) / 1000 / (performance.now() - began);
    table.push({ 'the lighthouse, with': work, CPU: `${(cores * 100).toFixed(1)} % of a core`, memory: `${rss(pid).toFixed(0)} MB`,
      goal: `≤ 100 %, ≤ 300 MB${cores <= 1 && rss(pid) <= 300 ? '' : '  MISSED'}` });
  };
  await measure(`${HOSTS} hosts`);
  const service = (name, more) => makeService(t, name, `name = "${name}"\ncommand = ["true"]\ninstances = ${EACH}\n${more}`, { x: '' });
  const began = performance.now();
  for (let i = 0; i < SERVICES; i += 1) await cloud.ctl(['deploy', service(`s${i}`, ''), '--detach']);
  const serving = async () => (await cloud.ctlJson('services')).services.filter((each) => each.ready === EACH && each.state === 'serving').length;
  await until('all to serve', async () => await serving() === SERVICES, { timeout: 240_000, every: 1000 });
  const seconds = (performance.now() - began) / 1000;
  await measure(`${HOSTS} hosts and ${SERVICES * EACH} instances (deployed in ${seconds.toFixed(0)} s)`);
  await cloud.ctl(['deploy', service('s0', '# another\n[update]\nmax_surge = 50\n'), '--detach']);
  await measure('the same, while a service of 200 is updated');
  console.table(table);
} finally {
  for (const end of endings.reverse()) await Promise.resolve(end()).catch((error) => console.error(error.message.split('\n')[0]));
}
