// A Podman of a test's own: its API service with images and containers in a folder of its own. Its containers share the
// machine's network, so that it makes no bridge and no rules.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Docker } from './docker.mjs';
import { Program, makeTempDir, removeDir } from './program.mjs';
import { until } from './wait.mjs';

const PODMAN = '/usr/bin/podman';

// Why there can be none here; undefined where there can.
export function whyNoPodman() {
  if (process.getuid() !== 0) return 'only root can start containers for every user';
  for (const file of [PODMAN, '/bin/busybox']) if (!fs.existsSync(file)) return `${file} is not there`;
  return undefined;
}

export class Podman extends Docker {
  static async start(t) {
    const podman = new Podman();
    podman.dir = makeTempDir('podman');
    podman.socket = path.join(podman.dir, 'podman.sock');
    podman.options = ['--storage-driver=vfs', `--root=${podman.dir}/data`, `--runroot=${podman.dir}/run`, `--tmpdir=${podman.dir}/tmp`, '--cgroup-manager=cgroupfs', '--events-backend=file',
      // crun refuses a machine with both kinds of cgroups.
      '--runtime=runc'];
    t.after(() => podman.end());
    await podman.run();
    await podman.importImage('candela-test:1');
    return podman;
  }

  async run() {
    // Not more than this process may have itself: where root is kept small it can't give its own default.
    const config = path.join(this.dir, 'containers.conf');
    const [, files] = fs.readFileSync('/proc/self/limits', 'latin1').match(/^Max open files +\d+ +(\d+)/m);
    const ulimits = [`"nofile=${files}:${files}"`, '"nproc=4096:4096"'];
    fs.writeFileSync(config, `[containers]\ndefault_ulimits = [${ulimits.join(', ')}]\n`);
    this.program = new Program(PODMAN, [...this.options, 'system', 'service', '--time=0', `unix://${this.socket}`],
      { log: path.join(this.dir, 'podman.log'), cwd: this.dir, env: { CONTAINERS_CONF: config } });
    await until('podman to answer', async () => {
      if (this.program.how) throw new Error(`podman ended: ${this.program.tail()}`);
      return (await this.ask('GET', '/_ping')).status === 200;
    }, { timeout: 60_000 });
  }

  // Some versions name what is imported "latest", whatever they are told.
  async importImage(name) {
    await super.importImage(name);
    const [repository, tag] = name.split(':');
    if ((await this.ask('GET', `/images/${name}/json`)).status === 200) return;
    const tagged = await this.ask('POST', `/images/${repository}:latest/tag?repo=${repository}&tag=${tag}`);
    if (tagged.status !== 201) throw new Error(`the image was not named: ${tagged.text}`);
  }

  async end() {
    try {
      execFileSync(PODMAN, [...this.options, 'rm', '--all', '--force', '--time=0'], { stdio: 'ignore' });
    } finally {
      await this.program.stop(30_000);
      const mounts = fs.readFileSync('/proc/self/mounts', 'latin1').split('\n').map((line) => line.split(' ')[1]).filter((mount) => mount?.startsWith(`${this.dir}/`));
      for (const mount of mounts.reverse()) execFileSync('umount', ['-l', mount]);
      removeDir(this.dir);
    }
  }
}
