// A cloud for one test: `candela dev`, or several `candela node` processes from profiles.

import fs from 'node:fs';
import path from 'node:path';
import {
  CANDELA, Program, isAlive, keepersIn, makeTempDir, processesIn, removeDir, run, tempDir,
} from './program.mjs';
import { DEFAULT_PORTS, freeOffset } from './ports.mjs';
import { Load, request } from './http.mjs';
import { until } from './wait.mjs';

// What a test asks of its cloud, however many processes it has.
export class Cloud {
  constructor(t) {
    this.t = t;
    this.dir = makeTempDir();
    // So that neither `candela dev` nor `ctl` meets the developer's own.
    this.env = {
      XDG_STATE_HOME: path.join(this.dir, 'xdg'), XDG_CONFIG_HOME: path.join(this.dir, 'xdg'), XDG_CACHE_HOME: path.join(this.dir, 'cache'),
    };
    this.nodes = [];
    this.beforeRemoval = [];  // of its folder
    this.address = undefined;  // of the API, for ctl
    this.gatewayPort = undefined;
    t.after(() => this.stop());
  }

  start(name, args, options = {}) {
    const node = new Program(options.program ?? CANDELA, args, {
      name, log: path.join(this.dir, `${name}.log`), ...options, env: { ...this.env, ...options.env },
    });
    this.nodes = this.nodes.filter((other) => other.name !== name).concat(node);
    return node;
  }

  node(name) {
    return this.nodes.find((node) => node.name === name);
  }

  async ready(name, port, timeout = 20_000) {
    const node = this.node(name);
    await until(`${name} to be ready`, async () => {
      if (node.how) throw new EndedError(node);
      return (await request(port, '/readyz', { timeout: 2000 })).status === 200;
    }, { timeout, every: 20 }).catch((error) => { throw this.explain(error); });
  }

  // Adds the end of each node's log to an error.
  explain(error) {
    const logs = this.nodes.map((node) => `--- ${node.name} (${JSON.stringify(node.how ?? 'running')})\n${node.tail()}`);
    error.message = `${error.message}\n${logs.join('\n')}`;
    return error;
  }

  // Runs `candela ctl`; options.ok (the default) makes any other exit code than 0 an error.
  async ctl(args, { ok = true, timeout = 90_000, env, cwd, input } = {}) {
    const words = Array.isArray(args) ? args : args.split(' ');
    const result = await run(CANDELA, ['ctl', ...words], {
      timeout, cwd, input, env: { ...this.env, CANDELA_ADDRESS: this.address, NO_COLOR: '1', ...env },
    });
    if (result.timedOut) throw this.explain(new Error(`ctl ${words.join(' ')}: not done within ${timeout} ms\n${result.stderr}`));
    if (ok && result.code !== 0) {
      throw this.explain(new Error(`ctl ${words.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`));
    }
    return result;
  }

  async ctlJson(args, options) {
    const words = Array.isArray(args) ? args : args.split(' ');
    const result = await this.ctl([...words, '--json'], options);
    return JSON.parse(result.stdout);
  }

  get(target, options) {
    return request(this.gatewayPort, target, options);
  }

  load(options) {
    const load = new Load(this.gatewayPort, options);
    this.t.after(() => load.stop());
    return load;
  }

  // Instances of a service as the API lists them.
  async instances(service) {
    const listed = await this.ctlJson(['instances', '--service', service]);
    return Array.isArray(listed) ? listed : listed.instances;
  }

  async readyInstances(service, count, timeout = 30_000) {
    return until(`${count} ready instances of ${service}`, async () => {
      const ready = (await this.instances(service)).filter((i) => i.state === 'ready');
      return ready.length === count && ready;
    }, { timeout, every: 100 }).catch((error) => { throw this.explain(error); });
  }

  async endInstances() {
    for (const pid of keepersIn(this.dir)) process.kill(pid, 'SIGTERM');
    await until('the instances to end', () => processesIn(this.dir).length === 0, { timeout: 15_000, every: 20 }).catch(() => {});
  }

  // Stops every node in reverse order, removes the folder, and fails where a process was left.
  async stop() {
    const wrong = [];
    for (const node of [...this.nodes].reverse()) {
      const how = await node.stop();
      // A test may have killed it; any other end than an orderly one is a fault.
      if (how.code !== 0 && how.signal !== 'SIGKILL' || how.late) wrong.push(`${node.name}: ${JSON.stringify(how)}\n${node.tail(15)}`);
    }
    // Instances outlive their host, but for those of `candela dev`: their keepers end them.
    if (!this.isDev) await this.endInstances();
    const left = processesIn(this.dir);
    const commands = left.map((pid) => `${pid} ${fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')}`);
    for (const pid of left) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    for (const undo of this.beforeRemoval) await undo();
    removeDir(this.dir);
    if (wrong.length > 0) throw new Error(`ended wrongly: ${wrong.join('\n')}`);
    if (left.length > 0 && !this.mayLeaveProcesses) {
      throw new Error(`left behind after the nodes stopped: ${commands.join('; ')}`);
    }
  }
}

class EndedError extends Error {
  constructor(node) {
    super(`${node.name} ended: ${JSON.stringify(node.how)}`);
  }
}

// `candela dev` with a data folder and ports of its own; ready when it returns.
export async function startDev(t, { args = [], env, dataDir } = {}) {
  const cloud = new Cloud(t);
  const { dir } = cloud;
  cloud.isDev = true;
  const offset = await freeOffset();
  cloud.offset = offset;
  cloud.ports = Object.fromEntries(Object.entries(DEFAULT_PORTS).map(([k, v]) => [k, v + offset]));
  cloud.gatewayPort = cloud.ports.gateway;
  cloud.dataDir = dataDir ?? path.join(dir, 'data');
  cloud.address = `unix:${path.join(cloud.dataDir, 'lighthouse.sock')}`;
  cloud.startDev = async () => {
    cloud.start('dev', ['dev', '--data-dir', cloud.dataDir, '--port-offset', String(offset), ...args], { env, cwd: dir });
    await cloud.ready('dev', cloud.ports.node);
  };
  await cloud.startDev();
  return cloud;
}

// Writes files ({'name': 'text' or Buffer}) into a folder of the test's own and returns its path.
export function makeService(t, name, manifest, files = {}) {
  const dir = path.join(tempDir(t, `service-${name}`), name);
  fs.mkdirSync(dir, { recursive: true });
  if (manifest !== undefined) fs.writeFileSync(path.join(dir, 'service.toml'), manifest);
  for (const [file, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    fs.writeFileSync(path.join(dir, file), content);
  }
  return dir;
}
